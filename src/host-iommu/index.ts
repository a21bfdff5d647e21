export {
  HOST_READ,
  HOST_WRITE,
  HostContainer,
  type ContainerOptions,
  type HostCall,
  type HostCallMade,
  type HostErrno,
  type HostMapping,
  type HostReserved,
  type HostResult,
} from './container.ts';
export { HOST_BASE, HostPort, type PortOutcome } from './port.ts';
export { HostTranslator, type HostFault } from './translator.ts';
