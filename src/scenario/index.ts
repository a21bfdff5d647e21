export { AccessAudit, type AuditRecord, type Stray } from './access-audit.ts';
export {
  BootAborted,
  type Backend,
  type BootHooks,
  type BootInput,
  type FirmwareImages,
} from './backend.ts';
export type { Cause } from './cause.ts';
export { CAUSES } from './causes/catalogue.ts';
export {
  DeviceRecorder,
  recordOf,
  type DeviceRecord,
  type EndpointRecord,
  type Tally,
} from './device-record.ts';
export type {
  AccessEvent,
  AttachEvent,
  Capability,
  DeviceEvent,
  EventBase,
  EventRegion,
  FaultEvent,
  MapEvent,
} from './events.ts';
export {
  doorbellOf,
  expectedEndpoints,
  expectedRegions,
  type ExpectedEndpoint,
  type ExpectedRegion,
} from './expected.ts';
export { logFindings, type FindingKind, type LogFinding } from './log-findings.ts';
export type {
  DescribedFirmware,
  DiskObservation,
  Ending,
  Environment,
  FaultCheckObservation,
  FirmwareComparison,
  GuestDevice,
  GuestGroup,
  GuestIommu,
  GuestObservation,
  FaultAim,
  LogLine,
  LogMeaning,
  NicObservation,
  Observation,
  OverlapObservation,
  PlugObservation,
  RebindObservation,
  TransferObservation,
  TransferStep,
} from './observation.ts';
export type {
  LeftMapping,
  MachineRecord,
  StartRecord,
  UnbindRecord,
  UnmapRecord,
} from './machine-record.ts';
export { EndpointTraces, type EndpointTraceRecord } from './endpoint-traces.ts';
export type { HostRecord } from './host-audit.ts';
export type { TraceRecord, TracedEvent } from './request-trace.ts';
export type { UserspaceObservation, UserspaceStep } from './userspace.ts';
export type { Evidence, Item, Outcome, Promised, PromiseResult } from './promise.ts';
export { PROMISES } from './promises/index.ts';
export { transferring } from './promises/transfer.ts';
export { rebindable } from './promises/variations.ts';
export { isAt } from './names.ts';
export { exitCode, judge, type Verdict } from './verdict.ts';
