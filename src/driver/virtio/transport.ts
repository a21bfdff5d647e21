/** Where the parts of a queue lie for the device. */
export interface QueuePlace {
  readonly size: number;
  readonly desc: bigint;
  readonly driver: bigint;
  readonly device: bigint;
  /** MSI-X vector of its interrupts; none: no interrupt, or the device's one line. */
  readonly vector?: number;
}

/** Registers of a virtio device, whichever way they are reached. */
export interface VirtioTransport {
  /** For messages: `virtio-pci`, `virtio-mmio`. */
  readonly name: string;
  /** Device type; 0: nothing is there. */
  readonly deviceId: number;
  /** False: the legacy interface, through which no feature above 31 can be had. */
  readonly modern: boolean;
  status: number;
  deviceFeatures(): bigint;
  setDriverFeatures(features: bigint): void;
  /** Largest size of a queue; 0: there is no such queue. */
  queueMax(index: number): number;
  /** Sets up and enables a queue; false when the device did not take the vector. */
  setQueue(index: number, place: QueuePlace): boolean;
  /** Tells the device of new buffers; VIRTIO_F_NOTIFICATION_DATA is never negotiated. */
  notify(index: number): void;
  /** Vector of configuration changes; false when the device did not take it. */
  setConfigVector(vector: number): boolean;
  readConfig(offset: number, size: 1 | 2 | 4): number;
  writeConfig(offset: number, size: 1 | 2 | 4, value: number): void;
  /** Grows when the device changed its configuration. */
  generation(): number;
  /** Takes and clears what the interrupt line stands for: 1 queue, 2 configuration. */
  takeInterrupt(): number;
}
