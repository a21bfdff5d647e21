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
export { DEFAULT_SERIES, customGuest, fetchGuest, type FetchOptions, type Guest } from './fetch.ts';
export { type GuestArch } from './manifest.ts';
export { ModuleTree, type KernelModule } from './modules.ts';
export { moduleName, readModuleInfo, type ModuleInfo } from './modinfo.ts';
export { readCpio, writeCpio, type CpioEntry } from './cpio.ts';
export { buildInitramfs, type InitramfsOptions } from './initramfs.ts';
