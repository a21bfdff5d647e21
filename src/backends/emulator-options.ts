import type { SystemMap } from '../emulator/index.ts';
import type { BootOptionSet, Guest, ModuleTree } from '../guest/index.ts';
import type { Terminal } from './emulator-terminal.ts';
import type { SnapshotCache } from './snapshot-cache.ts';
import type { RunTape } from './tape.ts';
import type { TapAttachment } from './taps.ts';
import type { LinkMaker, MachineVisitor, TapMaker } from './visit.ts';

/** Of stock Linux on our own CPU and devices. */
export interface EmulatorBackendOptions {
  /** Kernel, modules and userspace for arm64. */
  readonly guest: Guest;
  /** Modules of the guest, where a boot before this one has read some. */
  readonly modules?: ModuleTree;
  /** Which firmware the guest is given; default: the device tree where there is one. */
  readonly firmware?: 'device-tree' | 'acpi';
  readonly bootOptions?: BootOptionSet;
  /** More kernel parameters. */
  readonly append?: readonly string[];
  /** Time is the wall's: sleeps take as long as they say. Runs are not the same each time then. */
  readonly realTime?: boolean;
  /** The guest runs a shell after its checks, for a person at its console; in real time, without limits. */
  readonly terminal?: Terminal;
  /** Names for addresses in the kernel, for a run that goes wrong. */
  readonly symbols?: SystemMap;
  /** Where the serial log goes; default: a file in the temporary directory. */
  readonly serialLog?: string;
  /** Seconds, of the guest's time, that the guest waits for each device; default 15. */
  readonly patience?: number;
  /** Instructions after which the guest counts as hung; default 30 thousand million. */
  readonly instructions?: number;
  /** Instructions without a line on the console after which it does; default 4 thousand million. */
  readonly silence?: number;
  /** Writes the run down, or compares it with one that was. */
  readonly tape?: RunTape;
  /** Boots start from snapshots here, where there is one of the same machine, or leave one. */
  readonly snapshots?: SnapshotCache;
  /** Told of the machine before its first instruction. */
  readonly visit?: MachineVisitor;
  /** Sees the frames of each NIC. */
  readonly tap?: TapMaker;
  /** Default: the peer inside the process, for every NIC. */
  readonly link?: LinkMaker;
  /** NICs on TAP interfaces; the run is in real time then. */
  readonly taps?: readonly TapAttachment[];
}
