import { createHash } from 'node:crypto';

import { Core, type WasmModule } from '../../src/emulator/index.ts';
import * as layout from '../../src/emulator/core/layout.ts';
import { BASE, ENTRY, type Kind, type Known, type RandomProgram } from './a64-random.ts';

/** A part of the random test: the same seed gives the same program for ever. */
export interface Part {
  readonly kind: Kind;
  readonly seed: number;
  readonly blocks: number;
  readonly length: number;
}

/** A million instructions and more. */
export const PARTS: readonly Part[] = [
  ...parts('integer', 10, 2500, 24),
  ...parts('memory', 4, 1500, 24),
  ...parts('float', 4, 1500, 24),
  ...parts('vector', 6, 1500, 24),
];

function parts(kind: Kind, count: number, blocks: number, length: number): Part[] {
  return Array.from({ length: count }, (_, n) => ({ kind, seed: 1000 + n, blocks, length }));
}

const HVC = 0xd400_0002;

function coreWithFp(module: WasmModule, ramSize: number): Core {
  const core = new Core({ module, ramBase: BigInt(BASE), ramSize, fp: true });
  core.state.setBigUint64(layout.SYSREGS + 8 * layout.SR_CPACR, 3n << 20n, true);
  core.state.setBigUint64(layout.SYSREGS + 8 * layout.SR_VBAR, BigInt(BASE), true);
  return core;
}

/** Whether the core executes a word; memory accesses count as known. */
export function knownTo(module: WasmModule): Known {
  const core = coreWithFp(module, 0x1_0000);
  const code = new DataView(core.ram.buffer, core.ram.byteOffset, core.ram.length);
  return (word) => {
    code.setUint32(ENTRY, word, true);
    core.pc = BigInt(BASE + ENTRY);
    return core.run(1) !== layout.STOP_UNSUPPORTED;
  };
}

/** The dumps and the scratch memory that a program leaves on the core. */
export function runOnCore(module: WasmModule, program: RandomProgram): Uint8Array {
  const core = coreWithFp(module, Math.ceil(program.image.length / 0x1_0000) * 0x1_0000);
  core.ram.set(program.image);
  // The program's first system call goes to the vector of EL1, and there ends the run.
  new DataView(core.ram.buffer, core.ram.byteOffset).setUint32(0x200, HVC, true);
  core.pc = BigInt(BASE + ENTRY);
  const reason = core.run(10_000_000);
  if (reason !== layout.STOP_HVC) {
    throw new Error(
      `stopped: ${reason} at ${core.pc.toString(16)}, word ${core.stopWord.toString(16)}`,
    );
  }
  return core.ram.slice(program.output, program.output + program.outputSize);
}

export function hashOf(output: Uint8Array): string {
  return createHash('sha256').update(output).digest('hex');
}
