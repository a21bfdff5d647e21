import type { ConsoleState } from './console-log.ts';
import type { GicState } from './gicv2.ts';
import type { Gicv3State } from './gicv3.ts';
import type { ItsState } from './its.ts';
import type { UartState } from './pl011.ts';
import type { RealTime } from './real-time.ts';
import type { WasmModule } from './wasm.ts';

export interface EmulatorOptions {
  /** Of `coreModule()`. */
  readonly module: WasmModule;
  /** Bytes, a multiple of 64 KiB. */
  readonly ramSize: number;
  readonly fp?: boolean;
  /** The interrupt controller: GICv2 (default), or GICv3, to which ITSs can be added. */
  readonly gic?: 2 | 3;
  /** Every byte the guest writes to its UART. */
  readonly onByte?: (byte: number) => void;
  /** Every line, without its end. */
  readonly onLine?: (line: string) => void;
}

/** The rest of the machine: buses, devices. */
export interface Surroundings {
  read(address: number, size: number): number | undefined;
  write(address: number, size: number, value: number): boolean | void;
  /**
   * Called now and then, at fixed instruction counts, and while the CPU sleeps: devices do a round
   * of the work they put off. True when some is left.
   */
  work?(): boolean;
}

export interface RunOptions {
  /** Instructions, from now on, after which the guest counts as hung. */
  readonly budget: number;
  readonly signal?: AbortSignal;
  /**
   * Virtual time follows this clock: sleeps take as long as they say, and a run comes back after a
   * second at the latest. Default: time is what the instructions say, and sleeps are skipped.
   */
  readonly realTime?: RealTime;
}

/** A machine's state as plain data, without RAM. Devices on the bus save theirs themselves. */
export interface CpuSideState {
  readonly cpu: Uint8Array;
  readonly gic: GicState | Gicv3State;
  readonly its: readonly (readonly [name: string, state: ItsState])[];
  readonly uart: UartState;
  readonly console: ConsoleState;
  readonly work: WorkState;
}

/** When devices do the work that they put off. */
export interface WorkState {
  /** Instructions retired at the next round. */
  readonly next: bigint;
  /** Of a sleep that is not over: rounds done, and whether the last one left something. */
  readonly sleep?: { readonly round: number; readonly more?: boolean };
}

export interface EmulatorState extends CpuSideState {
  readonly ram: Uint8Array;
}

/** What a boot starts with. */
export interface BootFiles {
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array;
  /** Makes the device tree when it is known where the initramfs lies (addresses; end exclusive). */
  readonly dtb: (initrdStart: bigint, initrdLimit: bigint) => Uint8Array;
}
