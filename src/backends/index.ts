export { bootAndJudge } from './boot.ts';
export { builtImages, imagesFrom } from './firmware-images.ts';
export { qemuBackend, type QemuBackendOptions } from './qemu.ts';
