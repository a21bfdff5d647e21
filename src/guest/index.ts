export { EnvironmentError, type EnvironmentCode } from './environment.ts';
export { cacheDirectory, withLock, writeWhole } from './cache.ts';
export {
  aptFetch,
  sha256File,
  unpackDeb,
  withApt,
  type AptPackage,
  type AptRecord,
  type AptRequest,
  type PrivateApt,
} from './apt.ts';
export {
  cachedGuests,
  DEFAULT_SERIES,
  fetchGuest,
  guestName,
  type FetchOptions,
  type Guest,
} from './fetch.ts';
export { customGuest } from './custom.ts';
export { type GuestArch } from './manifest.ts';
export { ModuleTree, type KernelModule } from './modules.ts';
export { moduleName, readModuleInfo, type ModuleInfo } from './modinfo.ts';
export { readCpio, writeCpio, type CpioEntry } from './cpio.ts';
export { sourceHash, vfioProgram, type ProgramOptions } from './program.ts';
export { genericInitramfs } from './generic.ts';
export { buildInitramfs, type InitramfsOptions } from './initramfs.ts';
export { SHELL_FILES } from './shell.ts';
export { deviceAt, formatPlan, type Aim, type GuestAction } from './plan.ts';
export { parseConsoleLine, type ConsoleLine } from './console-line.ts';
export { classify, type KernelEvent, type KernelEventCode } from './kernel-log.ts';
export { ReportReader, parseReport } from './report.ts';
export type {
  GuestBlob,
  GuestGroup,
  GuestInventory,
  GuestIommu,
  GuestPciFunction,
  GuestPlatformDevice,
  GuestReport,
  GuestResult,
  GuestVirtioDevice,
} from './report-types.ts';
export {
  bootCmdline,
  bootOptions,
  consoleOf,
  type BootOption,
  type BootOptionSet,
} from './cmdline.ts';
