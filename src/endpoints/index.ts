export { VirtioPciFunction, type VirtioPciOptions } from './virtio-pci-function.ts';
export { MemoryStore, type BlockStore } from './store.ts';
export { VirtioBlock, type BlockEvent, type BlockOptions } from './block.ts';
export { SeededRandom, VirtioEntropy, type RandomSource } from './entropy.ts';
export {
  VirtioNet,
  type Deliver,
  type FrameContext,
  type NetLink,
  type NetOptions,
  type NetTap,
} from './net.ts';
export { DmaEngine, type DmaEngineEvent, type DmaEngineOptions } from './dma-engine.ts';
export { Edu, type EduOptions } from './edu.ts';
export { ipv4, NetPeer, type PeerCounters, type PeerOptions } from './net/peer.ts';
export { patternBytes, patternCrc32 } from './net/out-stream.ts';
export { pcapTap } from './net/pcap.ts';
export type { SinkResult } from './net/tcp.ts';
