/** Boots whose every byte is pinned: nothing on the machine but the CPU's own parts, nothing random. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';

import { Emulator, type Outcome, type WasmModule } from '../../src/emulator/index.ts';
import { bootCmdline, writeCpio, type BootOptionSet, type Guest } from '../../src/guest/index.ts';
import { bareTree } from './emulator.ts';

/** A row of test/golden/emulator/boots.json: what went in, and what came out. */
export interface PinnedBoot {
  readonly release: string;
  readonly options: BootOptionSet;
  readonly kernel: string;
  readonly initramfs: string;
  readonly tree: string;
  readonly instructions: number;
  readonly console: string;
}

const RAM_SIZE = 512 << 20;

/** Tells what the kernel's self-tests found, when all have ended. */
const INIT = `#!/bin/busybox sh
busybox mkdir -p /proc
busybox mount -t proc proc /proc
seconds=0
while busybox grep -q 'selftest *: unknown' /proc/crypto && [ $seconds -lt 30 ]; do
  busybox sleep 1
  seconds=$((seconds + 1))
done
busybox cat /proc/crypto
busybox poweroff -f
`;

export interface BootResult {
  readonly row: PinnedBoot;
  readonly outcome: Outcome;
  readonly lines: readonly string[];
}

export async function pinnedBoot(
  module: WasmModule,
  guest: Guest,
  options: BootOptionSet,
): Promise<BootResult> {
  const kernel = await readFile(guest.kernel);
  const initrd = writeCpio([
    { kind: 'directory', path: 'dev' },
    { kind: 'char', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
    { kind: 'directory', path: 'bin' },
    { kind: 'file', path: 'bin/busybox', mode: 0o755, data: await readFile(guest.busybox) },
    { kind: 'file', path: 'init', mode: 0o755, data: Buffer.from(INIT) },
  ]);
  const console = createHash('sha256');
  const lines: string[] = [];
  const machine = new Emulator({
    module,
    ramSize: RAM_SIZE,
    fp: true,
    onByte: (byte) => void console.update(Uint8Array.of(byte)),
    onLine: (line) => lines.push(line),
  });
  let tree: Uint8Array = new Uint8Array();
  machine.load({
    kernel,
    initrd,
    dtb: (...at) =>
      (tree = bareTree({
        ramSize: RAM_SIZE,
        bootargs: bootCmdline('arm64', options),
        initrd: at,
      })),
  });
  const outcome = await machine.run({ budget: 5e9 });
  const row = {
    release: guest.release,
    options,
    kernel: sha256(kernel),
    initramfs: sha256(initrd),
    tree: sha256(tree),
    instructions: Number(outcome.instructions),
    console: console.digest('hex'),
  };
  return { row, outcome, lines };
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
