export { showLoss, type Loss, type VmmExport } from './loss.ts';
export { exportFor, VMMS, type Vmm } from './export/index.ts';
export {
  importLibvirt,
  importQemu,
  importRunning,
  ImportError,
  machineYaml,
  type ImportedMachine,
  type SeenFunction,
} from './import/index.ts';
