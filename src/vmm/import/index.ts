export { machineYaml, ImportError, type ImportedMachine } from './machine.ts';
export { importQemu } from './qemu.ts';
export { importLibvirt } from './libvirt.ts';
export { importRunning, type SeenFunction } from './running.ts';
