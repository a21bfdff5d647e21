import { hex } from '../bytes/index.ts';
import * as ops from './core/ops.ts';
import { decodeTable } from './decode.ts';

const NAMES = new Map(
  Object.entries(ops).map(([name, op]) => [op, name.slice('OP_'.length).toLowerCase()]),
);
const TABLE = decodeTable();
const AROUND = 4;

/** The group of an instruction as the core's decoder sees it, and its registers. */
export function disassemble(word: number): string {
  const name = NAMES.get(TABLE[word >>> 21] ?? 0) ?? 'unsupported';
  const [rd, rn, rm] = [word & 31, (word >>> 5) & 31, (word >>> 16) & 31];
  return `${name} rd=${rd} rn=${rn} rm=${rm}`;
}

/** The instructions around an address, `>` before the one there. `fetch` may fail. */
export function listing(fetch: (address: bigint) => number | undefined, pc: bigint): string[] {
  const lines: string[] = [];
  for (let n = -AROUND; n <= AROUND; n++) {
    const address = BigInt.asUintN(64, pc + BigInt(4 * n));
    const word = fetch(address);
    const text = word === undefined ? '?' : `${hex(word, 8)} ${disassemble(word)}`;
    lines.push(`${n === 0 ? '>' : ' '} ${hex(address)} ${text}`);
  }
  return lines;
}
