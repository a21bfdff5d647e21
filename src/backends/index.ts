export { bootAndJudge } from './boot.ts';
export { builtImages, imagesFrom } from './firmware-images.ts';
export { qemuBackend } from './qemu.ts';
export type { QemuBackendOptions } from './qemu-prepare.ts';
export { modelBackend, type ModelBackendOptions } from './model.ts';
export type { MachineTarget, MachineVisitor, TapMaker } from './visit.ts';
export { emulatorBackend, type EmulatorBackendOptions } from './emulator.ts';
export { qemuVfioUserBackend, vfioUserPreflight } from './qemu-vfio-user.ts';
export type { VfioUserBackendOptions } from './qemu-vfio-user-prepare.ts';
