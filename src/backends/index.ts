export { bootAndJudge } from './boot.ts';
export { builtImages, imagesFrom } from './firmware-images.ts';
export { qemuBackend } from './qemu.ts';
export type { QemuBackendOptions } from './qemu-prepare.ts';
export { modelBackend, type ModelBackendOptions } from './model.ts';
export type { MachineTarget, MachineVisitor, RemoteVisitor, TapMaker } from './visit.ts';
export type { Terminal } from './emulator-terminal.ts';
export { TAP_ADDRESS, TAP_PEER, type TapAttachment } from './taps.ts';
export { emulatorBackend } from './emulator.ts';
export { TapeRecorder } from './tape-record.ts';
export { TapeReplayer, type ReplayResult } from './tape-replay.ts';
export type { RunTape } from './tape.ts';
export { SnapshotCache } from './snapshot-cache.ts';
export type { EmulatorBackendOptions } from './emulator-options.ts';
export { emulatorPreflight } from './emulator-preflight.ts';
export { qemuVfioUserBackend, vfioUserPreflight } from './qemu-vfio-user.ts';
export type { VfioUserBackendOptions } from './qemu-vfio-user-prepare.ts';
export { serveTopology, type ServedTopology, type ServeTopologyOptions } from './serve-topology.ts';
export {
  foreignGuest,
  judgeConsole,
  writeForeignDisks,
  type ForeignGuest,
  type ForeignOptions,
} from './foreign.ts';
