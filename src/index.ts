/**
 * viommu-topo as a library.
 *
 * Rooms are documented in docs/internals/architecture.md. What is exported here is the public
 * surface, listed in docs/reference/library.md; everything else may change with any version.
 * A comment `// ## …` begins a section of that page.
 */

// ## Topologies: from YAML to a model, to what firmware will say, and the rules
export {
  DEFAULT_KERNEL,
  checkFacts,
  describe,
  jsonSchema,
  loadTopology,
  parseTopology,
  rules,
  starterTopology,
  type Descriptions,
  type Diagnostic,
  type Facts,
  type KernelVersion,
  type LoadOptions,
  type Loaded,
  type Model,
  type Place,
  type Rule,
  type StarterMachine,
  type StarterWishes,
  type TreeDescription,
  type ViotDescription,
} from './topology/index.ts';

// ## Explanations: why Linux puts an endpoint behind a vIOMMU, or does not
export {
  askerNames,
  explain,
  findAskers,
  type AddressExplanation,
  type Asker,
  type Conclusion,
  type Explanation,
  type Fate,
  type Step,
} from './topology/index.ts';
export { explanationsJson, renderExplanation } from './report/index.ts';

// ## Firmware: writers, and readers of anyone's
export {
  FirmwareError,
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
export {
  layOutTables,
  readIort,
  readMadt,
  readMcfg,
  readViot,
  IortBuilder,
  ViotBuilder,
  type AcpiBlob,
} from './acpi/index.ts';
export { FormatError } from './bytes/index.ts';

// ## Device model: a machine of a topology, its vIOMMUs, and a vIOMMU alone
export {
  boardTables,
  buildMachine,
  Machine,
  type Interrupt,
  type ListenOptions,
  type MachineEvent,
  type MachineListener,
  type MachineOptions,
  type MachineState,
} from './machine/index.ts';
export {
  DEFAULT_LIMITS,
  IommuDebug,
  IommuDevice,
  listDomains,
  listEndpoints,
  listMappings,
  translateSpan,
  type DomainInfo,
  type EndpointInfo,
  type EndpointOptions,
  type InjectedFault,
  type IommuDeviceOptions,
  type IommuEvent,
  type IommuEventKind,
  type Limits,
  type Mapping,
  type ReservedRegion,
  type SpanPiece,
  type SpanResult,
} from './iommu/index.ts';
export { VirtioCore, type VirtioDevice, type VirtioOptions } from './virtio/index.ts';
export { GuestMemory, type DmaSpace, type GuestWindow } from './memory/index.ts';

// ## Guests: stock kernels, and kernels of your own
export {
  EnvironmentError,
  cachedGuests,
  customGuest,
  fetchGuest,
  type EnvironmentCode,
  type FetchOptions,
  type Guest,
  type GuestArch,
} from './guest/index.ts';

// ## Backends: who plays the machine
export {
  bootAndJudge,
  builtImages,
  emulatorBackend,
  emulatorPreflight,
  imagesFrom,
  modelBackend,
  qemuBackend,
  qemuVfioUserBackend,
  serveTopology,
  vfioUserPreflight,
  type EmulatorBackendOptions,
  type ModelBackendOptions,
  type QemuBackendOptions,
  type ServedTopology,
  type ServeTopologyOptions,
  type VfioUserBackendOptions,
} from './backends/index.ts';
export { bootScript, preflight } from './qemu/index.ts';

// ## Scenario: promises, observations, the verdict
export {
  BootAborted,
  CAUSES,
  PROMISES,
  exitCode,
  judge,
  type Backend,
  type BootHooks,
  type BootInput,
  type Cause,
  type DeviceEvent,
  type FirmwareImages,
  type Item,
  type Observation,
  type Outcome,
  type Promised,
  type PromiseResult,
  type Verdict,
} from './scenario/index.ts';

// ## Other VMMs: their tests, their configurations
export {
  foreignGuest,
  judgeConsole,
  writeForeignDisks,
  type ForeignGuest,
  type ForeignOptions,
} from './backends/index.ts';
export {
  ImportError,
  VMMS,
  exportFor,
  importLibvirt,
  importQemu,
  importRunning,
  machineYaml,
  showLoss,
  type ImportedMachine,
  type Loss,
  type SeenFunction,
  type Vmm,
  type VmmExport,
} from './vmm/index.ts';

// ## Traces: what devices did, written, read and compared
export {
  ChromeTrace,
  JsonLinesTrace,
  diffTraces,
  readTrace,
  showRecord,
  type RunEnd,
  type RunHeader,
  type TraceDifference,
  type TraceDiffOptions,
  type TraceEntry,
  type TraceRecord,
  type TraceSink,
} from './trace/index.ts';

// ## Debugging: a running machine asked, stopped and disturbed
export { DebugClient, DebugError, SocketError, type Notice } from './debug/index.ts';

// ## Reports: diagnostics and verdicts as text, JSON, JUnit, TAP, pages and pictures
export {
  RunRecorder,
  diagnosticsJson,
  renderDiagnostics,
  renderVerdict,
  reportIndex,
  reportPage,
  topologyDot,
  topologySvg,
  verdictJson,
  verdictsJunit,
  verdictsTap,
  type DiagnosticOptions,
  type FirmwareText,
  type RecordedRun,
  type ReportEntry,
  type ReportInput,
  type Sources,
  type Style,
  type TextOptions,
} from './report/index.ts';
