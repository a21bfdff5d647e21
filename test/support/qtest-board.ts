import type { HostView } from '../../src/driver/firmware/view.ts';
import { assignBars } from '../../src/driver/pci/bars.ts';
import type { PciFound } from '../../src/driver/pci/function.ts';
import { scanHost } from '../../src/driver/pci/scan.ts';
import { PciDriverTransport } from '../../src/driver/virtio/pci.ts';
import { PCI_COMMAND, PCI_COMMAND_MASTER, PCI_COMMAND_MEMORY } from '../../src/spec/pci-config.ts';
import {
  EDU_DEVICE_ID,
  EDU_DMA_RUN,
  EDU_DMA_TO_MEMORY,
  EDU_R_DMA_COMMAND,
  EDU_R_DMA_COUNT,
  EDU_R_DMA_SOURCE,
  EDU_R_DMA_TARGET,
  EDU_BUFFER,
  EDU_VENDOR_ID,
} from '../../src/spec/pci-devices.ts';
import { VIRTIO_ID_IOMMU } from '../../src/spec/virtio-iommu.ts';
import { VIRTIO_PCI_DEVICE_ID_BASE, VIRTIO_PCI_VENDOR_ID } from '../../src/spec/virtio-pci.ts';
import { Qtest, writeCommand } from './qtest.ts';

const CONFIG_ADDRESS = 0xcf8;
const CONFIG_DATA = 0xcfc;
/** PCIEXBAR of the q35's host bridge: where ECAM is, and the bit that turns it on. */
const PCIEXBAR = 0x8000_0060;
const ECAM = 0xb000_0000;
const ENABLE = 1;

/** The machine as its firmware would describe it, had it any. */
const HOST: HostView = {
  index: 0,
  name: 'q35',
  segment: 0,
  buses: { start: 0, end: 0 },
  ecam: BigInt(ECAM),
  windows: [{ start: 0xc000_0000n, end: 0xdfff_ffffn, wide: false }],
};

export interface BoardOptions {
  /** `edu` devices behind the vIOMMU. */
  readonly edus: number;
  /** Properties of virtio-iommu-pci beside its place. */
  readonly viommu: string;
  readonly memory: number;
  readonly timeLimit: number;
}

/** A q35 with a virtio-iommu and DMA devices, enumerated by the model guest's own code. */
export class QtestBoard {
  readonly qtest: Qtest;
  readonly transport: PciDriverTransport;
  readonly edus: readonly QtestEdu[];
  /** Requester IDs of all functions. */
  readonly functions: readonly number[];

  private constructor(qtest: Qtest, found: readonly PciFound[]) {
    this.qtest = qtest;
    this.functions = found.map(({ rid }) => rid);
    for (const { config } of found) {
      config.write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    }
    const viommu = found.find(
      ({ vendorId, deviceId }) =>
        vendorId === VIRTIO_PCI_VENDOR_ID &&
        deviceId === VIRTIO_PCI_DEVICE_ID_BASE + VIRTIO_ID_IOMMU,
    );
    const transport = viommu && PciDriverTransport.of(qtest, viommu);
    if (transport === undefined) throw new Error('QEMU shows no virtio-iommu');
    this.transport = transport;
    this.edus = found
      .filter(({ vendorId, deviceId }) => vendorId === EDU_VENDOR_ID && deviceId === EDU_DEVICE_ID)
      .map(({ rid, bars }) => new QtestEdu(qtest, rid, bars[0]?.base ?? 0));
  }

  close(): Promise<void> {
    return this.qtest.close();
  }

  static async start(options: BoardOptions): Promise<QtestBoard> {
    const devices = ['-device', `virtio-iommu-pci,addr=3,${options.viommu}`];
    for (let i = 0; i < options.edus; i++) {
      devices.push('-device', `edu,addr=${4 + i},dma_mask=0xffffffffffffffff`);
    }
    const { memory, timeLimit } = options;
    const qtest = await Qtest.start({ devices, memory, timeLimit });
    try {
      qtest.out32(CONFIG_ADDRESS, PCIEXBAR);
      qtest.out32(CONFIG_DATA, ECAM | ENABLE);
      const found = scanHost(qtest, HOST);
      assignBars(HOST, found);
      return new QtestBoard(qtest, found);
    } catch (error) {
      await qtest.close();
      throw error;
    }
  }
}

/** QEMU's DMA device behind the vIOMMU. Its buffer can be seen by DMA only. */
export class QtestEdu {
  readonly rid: number;
  readonly #qtest: Qtest;
  readonly #bar: number;

  constructor(qtest: Qtest, rid: number, bar: number) {
    if (bar === 0) throw new Error('edu has no BAR');
    this.#qtest = qtest;
    this.rid = rid;
    this.#bar = bar;
  }

  /** Memory to the buffer. Waits until it is done. */
  load(iova: bigint, at: number, length: number): void {
    this.#go(iova, BigInt(EDU_BUFFER + at), length, EDU_DMA_RUN);
  }

  /** The buffer to memory. */
  store(iova: bigint, at: number, length: number): void {
    this.#go(BigInt(EDU_BUFFER + at), iova, length, EDU_DMA_RUN | EDU_DMA_TO_MEMORY);
  }

  #go(source: bigint, target: bigint, length: number, command: number): void {
    const wide = (offset: number, value: bigint): string =>
      `writeq 0x${(this.#bar + offset).toString(16)} 0x${value.toString(16)}`;
    this.#qtest.run([
      wide(EDU_R_DMA_SOURCE, source),
      wide(EDU_R_DMA_TARGET, target),
      wide(EDU_R_DMA_COUNT, BigInt(length)),
      writeCommand(this.#bar + EDU_R_DMA_COMMAND, 4, command),
    ]);
    // The transfer hangs on a timer of the guest's clock, which runs by itself.
    while ((this.#qtest.read(this.#bar + EDU_R_DMA_COMMAND, 4) & EDU_DMA_RUN) !== 0);
  }
}
