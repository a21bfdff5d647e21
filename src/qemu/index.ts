export {
  type QemuVersion,
  OLDEST_QEMU,
  parseQemuVersion,
  qemuAtLeast,
  showQemuVersion,
} from './version.ts';
export { cachedQemu, fetchQemu, type FetchedQemu, type FetchQemuOptions } from './fetch.ts';
export { findVfioUserQemu, type VfioUserQemuOptions } from './vfio-user-program.ts';
export { findQemu, type QemuArch, type QemuProgram } from './find.ts';
export { queryCapabilities, type QemuCapabilities } from './capabilities.ts';
export { QemuError, showStory, shellWord, type QemuErrorCode, type QemuStory } from './error.ts';
export { connectQmp, QmpClient, type QmpEvent } from './qmp.ts';
export {
  QemuProcess,
  startQemu,
  workDirectory,
  type QemuExit,
  type StartOptions,
} from './process.ts';
export { releaseEverything } from './guard.ts';
export type { TraceEvent } from './trace-event.ts';
export { parseTraceLine, traceEvents, type TraceLevel } from './trace.ts';
export {
  diskChunks,
  diskSector,
  diskSha256,
  writeDiskImage,
  DISK_SIZE_DEFAULT,
  type DiskImage,
} from './disk.ts';
export {
  argumentVector,
  escapeComma,
  filesOf,
  type Argument,
  type ArgumentGroup,
  type Bindings,
  type FileName,
  type Part,
} from './argument.ts';
export {
  argumentLines,
  buildCommand,
  commandArgv,
  cpuModel,
  ownTablesParameters,
  pxbSlots,
  type CommandOptions,
  type QemuCommand,
} from './command.ts';
export {
  boardFunctions,
  buildVfioUserCommand,
  vfioUserDevice,
  vfioUserProperties,
  type BoardFunction,
  type VfioUserCommandOptions,
  type VfioUserFunction,
} from './vfio-user-command.ts';
export { busName, busNumbers, qemuId, type BusNumber } from './bus-numbers.ts';
export { ACPI_TABLES_ADDRESS, ACPI_TABLES_ROOM, findRootPointer } from './rsdp.ts';
export { guestMemory, ownTablesBlob, qemuTables, type PlacedTable } from './tables.ts';
export {
  preflight,
  PREFLIGHT_RULES,
  TREE_BYTES_MAX,
  VFIO_USER_RULES,
  type PreflightOptions,
  type PreflightRule,
} from './preflight/index.ts';
export { bootScript, diskFileName, scriptProducts, type ScriptOptions } from './script.ts';
export { stockSeries } from './series.ts';
export { chooseAccel, tryKvm, type Acceleration, type AccelOptions } from './accel.ts';
