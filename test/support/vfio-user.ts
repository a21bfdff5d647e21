import { readdirSync, readFileSync } from 'node:fs';
import { fetchQemu, findVfioUserQemu, type QemuArch } from '../../src/qemu/index.ts';

/** The program of a QEMU with a client of vfio-user; fetched when this machine has none. */
export async function vfioUserQemu(arch: QemuArch): Promise<string> {
  const found = await findVfioUserQemu(arch).catch(() => undefined);
  return found?.path ?? (await fetchQemu()).programs[arch];
}

/** Processes that have connected, or will, to a socket below one of these directories. */
export function clientsOf(directory: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/u.test(name))
    .map(Number)
    .filter((pid) => {
      const command = commandOf(pid);
      return command.includes('vfio-user-pci') && command.includes(directory);
    });
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}
