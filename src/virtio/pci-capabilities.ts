import { structBytes } from '../bytes/index.ts';
import {
  PCI_CAP_ID_VNDR,
  VIRTIO_PCI_CAP,
  VIRTIO_PCI_CAP_COMMON_CFG,
  VIRTIO_PCI_CAP_DEVICE_CFG,
  VIRTIO_PCI_CAP_ISR_CFG,
  VIRTIO_PCI_CAP_NOTIFY_CFG,
  VIRTIO_PCI_CAP_PCI_CFG,
  VIRTIO_PCI_CFG_CAP,
  VIRTIO_PCI_NOTIFY_CAP,
} from '../spec/virtio-pci.ts';
import { NOTIFY_MULTIPLIER, type PciLayout } from './pci.ts';

/** Reads or writes memory behind a function's BARs. */
export interface BarAccess {
  read(bar: number, offset: number, size: number): number;
  write(bar: number, offset: number, size: number, value: number): void;
}

/**
 * The vendor-specific capabilities of a device whose structures lie in `bar`, in the order of the
 * specification but for PCI_CFG, which is a {@link PciCfgWindow}. `cap_next` is 0, for the function
 * to fill in. A device without configuration has no DEVICE_CFG.
 */
export function virtioPciCapabilities(layout: PciLayout, bar: number): Uint8Array[] {
  const head = { cap_vndr: PCI_CAP_ID_VNDR, bar };
  const plain = (cfg_type: number, region: { offset: number; length: number }): Uint8Array =>
    structBytes(VIRTIO_PCI_CAP, 'le', {
      ...head,
      cap_len: VIRTIO_PCI_CAP.size,
      cfg_type,
      ...region,
    });
  const caps = [
    plain(VIRTIO_PCI_CAP_COMMON_CFG, layout.common),
    structBytes(VIRTIO_PCI_NOTIFY_CAP, 'le', {
      ...head,
      cap_len: VIRTIO_PCI_NOTIFY_CAP.size,
      cfg_type: VIRTIO_PCI_CAP_NOTIFY_CFG,
      ...layout.notify,
      notify_off_multiplier: NOTIFY_MULTIPLIER,
    }),
    plain(VIRTIO_PCI_CAP_ISR_CFG, layout.isr),
  ];
  if (layout.device.length > 0) caps.push(plain(VIRTIO_PCI_CAP_DEVICE_CFG, layout.device));
  return caps;
}

const AT = VIRTIO_PCI_CFG_CAP.offsets;

/**
 * VIRTIO 1.3, "PCI configuration access capability": a window through which firmware that has not
 * mapped the BAR gets at it. The function routes accesses to these 20 bytes of its config space here,
 * but for the first two, which it keeps.
 */
export class PciCfgWindow {
  readonly #bytes: Uint8Array;
  readonly #data: DataView;
  readonly #bars: BarAccess;

  constructor(bars: BarAccess) {
    this.#bars = bars;
    this.#bytes = structBytes(VIRTIO_PCI_CFG_CAP, 'le', {
      cap_vndr: PCI_CAP_ID_VNDR,
      cap_len: VIRTIO_PCI_CFG_CAP.size,
      cfg_type: VIRTIO_PCI_CAP_PCI_CFG,
    });
    this.#data = new DataView(this.#bytes.buffer);
  }

  /** The capability as it stands now: for the config space, and for snapshots. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** Reads `size` bytes at an offset in the capability; of `pci_cfg_data` through the BAR. */
  read(offset: number, size: number): number {
    if (offset + size > AT.pci_cfg_data && offset < VIRTIO_PCI_CFG_CAP.size) {
      const length = this.#length();
      if (length > 0) {
        const value = this.#bars.read(this.#bar(), this.#offset(), length);
        for (let i = 0; i < length; i++) this.#bytes[AT.pci_cfg_data + i] = value >>> (8 * i);
      }
    }
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 0x100 + (this.#bytes[offset + i] ?? 0);
    return value;
  }

  /** Writes `bar`, `offset`, `length` or `pci_cfg_data`, the last through the BAR. */
  write(offset: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) {
      const at = offset + i;
      const fixed = at < AT.bar || (at > AT.bar && at < AT.offset);
      if (!fixed && at < VIRTIO_PCI_CFG_CAP.size) this.#bytes[at] = value >>> (8 * i);
    }
    if (offset + size <= AT.pci_cfg_data || offset >= VIRTIO_PCI_CFG_CAP.size) return;
    const length = this.#length();
    if (length === 0) return;
    const data = this.#data.getUint32(AT.pci_cfg_data, true);
    const masked = length === 4 ? data : data & (2 ** (8 * length) - 1);
    this.#bars.write(this.#bar(), this.#offset(), length, masked);
  }

  /** Back to power-on values. */
  reset(): void {
    this.#bytes.fill(0, AT.bar, AT.bar + 1);
    this.#bytes.fill(0, AT.offset);
  }

  restore(bytes: Uint8Array): void {
    this.#bytes.set(bytes.subarray(0, VIRTIO_PCI_CFG_CAP.size));
  }

  #bar(): number {
    return this.#data.getUint8(AT.bar);
  }

  #offset(): number {
    return this.#data.getUint32(AT.offset, true);
  }

  /** 1, 2 or 4 when the driver chose an access that may be made, else 0. */
  #length(): number {
    const length = this.#data.getUint32(AT.length, true);
    const legal = length === 1 || length === 2 || length === 4;
    return legal && this.#offset() % length === 0 ? length : 0;
  }
}
