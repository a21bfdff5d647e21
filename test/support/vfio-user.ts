import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fetchQemu, findVfioUserQemu, type QemuArch } from '../../src/qemu/index.ts';

/** The program of a QEMU with a client of vfio-user; fetched when this machine has none. */
export async function vfioUserQemu(arch: QemuArch): Promise<string> {
  const found = await findVfioUserQemu(arch).catch(() => undefined);
  return found?.path ?? (await fetchQemu()).programs[arch];
}

/** QEMUs with devices over vfio-user that `parent` has started. */
export function clientsOf(parent: number = process.pid): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/u.test(name))
    .map(Number)
    .filter((pid) => parentOf(pid) === parent && commandOf(pid).includes('vfio-user-pci'));
}

/** Where the sockets are that a QEMU was told of. */
export function socketDirectory(pid: number): string {
  const path = /"path":"([^"]*)\/[^"/]*"/u.exec(commandOf(pid))?.[1];
  if (path === undefined) throw new Error(`process ${pid} has no sockets`);
  return path;
}

/** A program that answers as a QEMU of some version does, and does `then` when it is started. */
export function fakeQemu(directory: string, version: string, then: string): string {
  const path = join(directory, `qemu-${version}`);
  const lines = [
    '#!/bin/sh',
    'case "$*" in',
    `  *--version*) echo 'QEMU emulator version ${version}' ;;`,
    "  *vfio-user-pci,help*) echo 'vfio-user-pci options:'; echo '  socket=<SocketAddress> - x' ;;",
    `  *) ${then} ;;`,
    'esac',
    '',
  ];
  writeFileSync(path, lines.join('\n'), { mode: 0o755 });
  return path;
}

function parentOf(pid: number): number {
  try {
    // The name, in parentheses, may hold anything.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /su, '')
      .split(' ');
    return Number(fields[1]);
  } catch {
    return 0;
  }
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}
