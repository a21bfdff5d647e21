import type { Bus } from './core.ts';

/** Registers at a place in the physical address space; what `MmioBus` of src/machine takes. */
export interface Region {
  readonly name: string;
  readonly base: number;
  readonly size: number;
  read(offset: number, size: number): number;
  write(offset: number, size: number, value: number): void;
}

/** A bus of a few regions, for a machine with nothing but its own interrupt controller and UART. */
export function regionBus(regions: readonly Region[], timerLine: (level: boolean) => void): Bus {
  const find = (address: number): Region | undefined =>
    regions.find(({ base, size }) => address >= base && address < base + size);
  return {
    read(address, size) {
      const region = find(address);
      return region?.read(address - region.base, size);
    },
    write(address, size, value) {
      const region = find(address);
      region?.write(address - region.base, size, value);
      return region !== undefined;
    },
    timerLine,
  };
}
