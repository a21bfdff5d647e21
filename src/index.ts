/**
 * viommu-topo as a library.
 *
 * Rooms are documented in docs/internals/architecture.md. What is exported here is the public
 * surface; everything else may change with any version.
 */
export {
  DEFAULT_KERNEL,
  checkFacts,
  describe,
  jsonSchema,
  loadTopology,
  parseTopology,
  rules,
  type Diagnostic,
  type Facts,
  type KernelVersion,
  type LoadOptions,
  type Loaded,
  type Model,
  type Place,
  type Rule,
  type TreeDescription,
  type ViotDescription,
} from './topology/index.ts';
export {
  buildFirmware,
  describeIort,
  describeMcfg,
  describeTree,
  describeViot,
  inspect,
  mergeDeviceTree,
  toTopologyYaml,
  writeOutputs,
  type Firmware,
  type Inspection,
} from './firmware/index.ts';
export { mergeFdt, printDts, readFdt, writeFdt, FdtNode, type FdtBlob } from './fdt/index.ts';
export { readIort, readViot, ViotBuilder, IortBuilder } from './acpi/index.ts';
export { EnvironmentError, customGuest, fetchGuest, type Guest } from './guest/index.ts';
export { bootScript, preflight } from './qemu/index.ts';
export {
  judge,
  type Backend,
  type BootHooks,
  type BootInput,
  type FirmwareImages,
  type Observation,
  type Verdict,
} from './scenario/index.ts';
export {
  bootAndJudge,
  builtImages,
  emulatorBackend,
  imagesFrom,
  modelBackend,
  qemuBackend,
} from './backends/index.ts';
export { buildMachine, type Machine } from './machine/index.ts';
export {
  diagnosticsJson,
  renderDiagnostics,
  renderVerdict,
  verdictJson,
  verdictsJunit,
} from './report/index.ts';
export { FormatError } from './bytes/index.ts';
