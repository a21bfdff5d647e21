export { ConfigSpace, type ConfigRegister, type ConfigWindow } from './config-space.ts';
export { layOut, type Capability, type CapabilityList } from './capabilities.ts';
export { Bar, type BarOptions, type BarRegion } from './bar.ts';
export { BusMasterDma } from './bus-master.ts';
export { Msix, type MsiMessage, type MsixState } from './msix.ts';
export { Msi } from './msi.ts';
export { expressCapability, type ExpressOptions, type ExpressType } from './express.ts';
export type { PciIdentity } from './header.ts';
export {
  PciFunction,
  type PciDevice,
  type PciFunctionOptions,
  type PciFunctionState,
} from './function.ts';
export type { BusSide } from './tree.ts';
export { isBridge, PciBus, type BridgeLike } from './bus.ts';
export { PciBridge, pciePciBridge, type BridgeOptions } from './bridge.ts';
export { RootPort, type RootPortOptions } from './root-port.ts';
export { PciHost, type PciHostOptions, type PciHostState } from './host.ts';
export {
  doorbellSink,
  GicV2m,
  ItsTranslater,
  X86MsiWindow,
  type MsiDoorbell,
  type X86Message,
} from './doorbell.ts';
