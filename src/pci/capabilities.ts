import { PCI_CFG_SPACE_SIZE, PCI_STD_HEADER_SIZEOF } from '../spec/pci-config.ts';
import type { ConfigRegister, ConfigWindow } from './config-space.ts';

/** Bytes before the registers of a capability: ID and pointer to the next. */
const HEAD = 2;
/** What a window leaves to the list: the first 32 bits, which are constant. */
const WINDOW_START = 4;

/** A capability of a function. Offsets of its registers and window are inside it. */
export interface Capability {
  readonly name: string;
  /** PCI_CAP_ID_…. */
  readonly id: number;
  /** Bytes in all, ID and pointer included. */
  readonly size: number;
  /** What it holds, constant where no register says otherwise. ID and pointer are filled in. */
  readonly bytes?: Uint8Array;
  readonly registers?: readonly ConfigRegister[];
  /** Takes accesses to the bytes from 4 on. */
  readonly window?: Omit<ConfigWindow, 'offset' | 'length'>;
}

/** Capabilities laid out one after the other. */
export interface CapabilityList {
  /** Offset of the first; 0 when there is none. */
  readonly first: number;
  /** Offset of each, in the order given. */
  readonly offsets: readonly number[];
  readonly registers: readonly ConfigRegister[];
  readonly windows: readonly ConfigWindow[];
}

/**
 * Chains capabilities from 0x40 on, each on a multiple of 4 (PCI Local Bus 3.0, 6.7).
 *
 * @throws RangeError when they do not fit 256 bytes: our own mistake
 */
export function layOut(capabilities: readonly Capability[]): CapabilityList {
  const offsets: number[] = [];
  let end = PCI_STD_HEADER_SIZEOF;
  for (const { size } of capabilities) {
    offsets.push(end);
    end += (size + 3) & ~3;
  }
  if (end > PCI_CFG_SPACE_SIZE) throw new RangeError(`capabilities need ${end} bytes`);
  const registers: ConfigRegister[] = [];
  const windows: ConfigWindow[] = [];
  for (const [index, capability] of capabilities.entries()) {
    const at = offsets[index] ?? 0;
    registers.push(...place(capability, at, offsets[index + 1] ?? 0));
    const { window, size } = capability;
    if (window) windows.push(windowAt(window, at, size));
  }
  return { first: offsets[0] ?? 0, offsets, registers, windows };
}

function place(capability: Capability, at: number, next: number): ConfigRegister[] {
  const { name, id, bytes, registers = [], window } = capability;
  const size = window === undefined ? capability.size : WINDOW_START;
  const own = registers.map((register) => ({ ...register, offset: register.offset + at }));
  const taken = new Set(
    registers.flatMap(({ offset, size: width }) =>
      Array.from({ length: width }, (_, i) => offset + i),
    ),
  );
  const fixed: ConfigRegister[] = [
    { name: `${name} ID`, offset: at, size: 1, value: id },
    { name: `${name} next`, offset: at + 1, size: 1, value: next },
  ];
  for (const [i, value] of (bytes ?? []).entries()) {
    if (i < HEAD || i >= size || taken.has(i)) continue;
    fixed.push({ name: `${name} byte ${i}`, offset: at + i, size: 1, value });
  }
  return [...fixed, ...own];
}

function windowAt(
  window: Omit<ConfigWindow, 'offset' | 'length'>,
  at: number,
  size: number,
): ConfigWindow {
  return {
    offset: at + WINDOW_START,
    length: size - WINDOW_START,
    read: (offset, width) => window.read(offset + WINDOW_START, width),
    write: (offset, width, value) => window.write(offset + WINDOW_START, width, value),
  };
}
