export { showLoss, type Loss, type VmmExport } from './loss.ts';
export { exportFor, VMMS, type Vmm } from './export/index.ts';
