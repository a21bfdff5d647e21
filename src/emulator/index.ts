export { Core, coreModule, RAM_SIZE_MAX, type Bus, type CoreOptions } from './core.ts';
export {
  Emulator,
  EMULATOR_GICC_BASE,
  EMULATOR_GICD_BASE,
  EMULATOR_GICR_BASE,
  EMULATOR_RAM_BASE,
} from './emulator.ts';
export type {
  BootFiles,
  CpuSideState,
  EmulatorOptions,
  EmulatorState,
  RunOptions,
  Surroundings,
} from './contract.ts';
export { RealTime } from './real-time.ts';
export { SystemMap } from './system-map.ts';
export { describeOutcome, describeWhereabouts, type Outcome, type Whereabouts } from './outcome.ts';
export { Gic, type GicState } from './gicv2.ts';
export { Gicv3, type Gicv3State } from './gicv3.ts';
export { Its, type ItsState } from './its.ts';
export { Pl011, UART_INPUT_MAX, type UartState } from './pl011.ts';
export { readImage, type KernelImage } from './image.ts';
export { disassemble, listing } from './disassemble.ts';
export { COUNTER_HZ } from './sysregs.ts';
export { regionBus, type Region } from './regions.ts';
export type { WasmModule } from './wasm.ts';
export { attach } from './attach.ts';
export { rngSeed } from './seed.ts';
export {
  readSnapshot,
  restoreSnapshot,
  takeSnapshot,
  writeSnapshot,
  type SaidLine,
  type Snapshot,
} from './snapshot.ts';
