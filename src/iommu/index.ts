export { IommuDevice, type IommuDeviceOptions, type IommuExtensions } from './device.ts';
export {
  DEFAULT_CHOICES,
  DEFAULT_LIMITS,
  FEATURE_BITS,
  MODERN_FEATURES,
  type Choices,
  type FeatureName,
  type IommuOptions,
  type Limits,
  type Settings,
} from './options.ts';
export type { Endpoint, EndpointOptions } from './endpoint.ts';
export type { ReservedRegion } from './regions.ts';
export type { HostOutcome, PassthroughPort } from './port.ts';
export type { Pin } from './pins.ts';
export { Translation } from './translation.ts';
export {
  listDomains,
  listEndpoints,
  listMappings,
  translateSpan,
  type DomainInfo,
  type EndpointInfo,
  type SpanPiece,
  type SpanResult,
} from './query.ts';
export { MappingTree, WOULD_SPLIT, type Mapping } from './mapping-tree.ts';
export {
  USUAL_KINDS,
  type IommuEvent,
  type IommuEventKind,
  type IommuStream,
  type RequestFields,
} from './stream.ts';
export { IommuDebug, showEvent, type InjectedFault } from './debug.ts';
export type { Counters, CounterName } from './counters.ts';
export type { FaultReason } from './faults.ts';
export type { PropertySource } from './properties.ts';
export type { Request, RequestContext, RequestType } from './request.ts';
export type { Canary, IommuState } from './state.ts';
