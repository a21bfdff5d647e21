import { describe, expect, it } from 'vitest';
import { ByteView } from '../../../src/bytes/index.ts';
import { DirectDma, GuestMemory } from '../../../src/memory/index.ts';
import {
  VIRTIO_PCI_CAP,
  VIRTIO_PCI_COMMON_CFG,
  VIRTIO_PCI_NOTIFY_CAP,
} from '../../../src/spec/virtio-pci.ts';
import {
  VIRTIO_F_NOTIF_CONFIG_DATA,
  VIRTIO_F_RING_RESET,
  VIRTIO_F_VERSION_1,
} from '../../../src/spec/virtio.ts';
import {
  COMMON_REGISTERS,
  DriverSplitQueue,
  featureBits,
  PciCfgWindow,
  PciTransport,
  RegisterBlock,
  VirtioCore,
  virtioPciCapabilities,
} from '../../../src/virtio/index.ts';
import { EchoDevice } from '../../support/virtio-device.ts';

const RAM = 0x4000_0000n;
const AT = VIRTIO_PCI_COMMON_CFG.offsets;
const FEATURES = featureBits(VIRTIO_F_VERSION_1, VIRTIO_F_RING_RESET);

class Function_ {
  msixEnabled = true;
  vectors = 3;
  readonly log: string[] = [];
  message(vector: number): void {
    this.log.push(`msi ${vector}`);
  }
  intx(level: boolean): void {
    this.log.push(`intx ${level}`);
  }
}

function bench(): {
  memory: GuestMemory;
  device: EchoDevice;
  pci: PciTransport;
  fn: Function_;
} {
  const memory = new GuestMemory([{ gpa: RAM, bytes: new Uint8Array(0x4000) }]);
  const device = new EchoDevice();
  const fn = new Function_();
  const core = new VirtioCore(device, { dma: new DirectDma(memory), ringFeatures: FEATURES });
  return { memory, device, fn, pci: new PciTransport(core, fn) };
}

/** Writes fields of the common configuration in the order given. */
function put(pci: PciTransport, fields: Partial<Record<keyof typeof AT, number>>): void {
  for (const [name, value] of Object.entries(fields)) {
    const register = COMMON_REGISTERS.registers.find((one) => one.name === name);
    if (register) pci.write(register.offset, register.size, value);
  }
}

function get(pci: PciTransport, name: keyof typeof AT): number {
  const register = COMMON_REGISTERS.registers.find((one) => one.name === name);
  return register ? pci.read(register.offset, register.size) : -1;
}

function live(): ReturnType<typeof bench> & { driver: DriverSplitQueue } {
  const made = bench();
  const { pci, memory } = made;
  put(pci, { device_status: 0 });
  put(pci, { device_status: 1 });
  put(pci, { device_status: 3 });
  put(pci, { driver_feature_select: 0, driver_feature: 1 });
  put(pci, { driver_feature_select: 1, driver_feature: Number(FEATURES >> 32n) });
  put(pci, { device_status: 0xb });
  expect(get(pci, 'device_status')).toBe(0xb);
  const driver = new DriverSplitQueue({ memory, area: RAM, size: 4, features: FEATURES });
  put(pci, {
    config_msix_vector: 0,
    queue_select: 0,
    queue_size: 4,
    queue_msix_vector: 1,
    queue_desc_lo: Number(driver.descArea),
    queue_driver_lo: Number(driver.driverArea),
    queue_device_lo: Number(driver.deviceArea),
    queue_enable: 1,
  });
  put(pci, { device_status: 0xf });
  return { ...made, driver };
}

const IN = { hi: 0, lo: 0x4000_1000, length: 3 };
const OUT = { hi: 0, lo: 0x4000_2000, length: 8 };

describe('common configuration', () => {
  it('every field of the structure is a register of its width, and nothing else', () => {
    const fields = Object.entries(AT).toSorted(([, a], [, b]) => a - b);
    const ends = [...fields.slice(1).map(([, offset]) => offset), VIRTIO_PCI_COMMON_CFG.size];
    expect(
      COMMON_REGISTERS.registers
        .toSorted((a, b) => a.offset - b.offset)
        .map(({ name, offset, size }) => [name, offset, offset + size]),
    ).toEqual(fields.map(([name, offset], index) => [name, offset, ends[index]]));
  });

  it('other widths and places read zero, write nothing, and throw nothing', () => {
    const { pci, device } = live();
    const before = pci.snapshot();
    const legal = new Set(
      COMMON_REGISTERS.registers.map(({ offset, size }) => `${offset}/${size}`),
    );
    for (let offset = 0; offset < 0x100; offset++) {
      for (const size of [1, 2, 4, 8]) {
        if (legal.has(`${offset}/${size}`)) continue;
        expect(pci.read(offset, size)).toBe(0);
        pci.write(offset, size, 0xffff_ffff);
      }
    }
    for (const offset of [-1, 0x1001, 0x2ffc, 0x3008, 0x4000, 2 ** 32]) {
      expect(pci.read(offset, 1)).toBe(0);
      pci.write(offset, 1, 0xff);
    }
    expect(pci.snapshot()).toEqual(before);
    expect(device.log).toEqual(['reset', 'start']);
  });

  it('shows queues by selection; what is not there has size 0', () => {
    const { pci } = bench();
    const seen = [0, 1, 2].map((index) => {
      put(pci, { queue_select: index });
      return [get(pci, 'queue_size'), get(pci, 'queue_notify_off'), get(pci, 'queue_enable')];
    });
    expect(seen).toEqual([
      [8, 0, 0],
      [4, 1, 0],
      [0, 0, 0],
    ]);
    expect(get(pci, 'num_queues')).toBe(2);
  });

  it('a queue once enabled stays so until reset', () => {
    const { pci } = live();
    put(pci, { queue_enable: 0, queue_size: 2, queue_desc_hi: 1 });
    const seen = ['queue_enable', 'queue_size', 'queue_desc_hi'] as const;
    expect(seen.map((name) => get(pci, name))).toEqual([1, 4, 0]);
    put(pci, { queue_reset: 1 });
    expect(get(pci, 'queue_reset')).toBe(0);
    expect(seen.map((name) => get(pci, name))).toEqual([0, 8, 0]);
  });

  it('a vector that is not there reads back as NO_VECTOR', () => {
    const { pci } = bench();
    put(pci, { config_msix_vector: 2 });
    expect(get(pci, 'config_msix_vector')).toBe(2);
    put(pci, { config_msix_vector: 3 });
    expect(get(pci, 'config_msix_vector')).toBe(0xffff);
    put(pci, { queue_select: 5, queue_msix_vector: 1 });
    expect(get(pci, 'queue_msix_vector')).toBe(0xffff);
  });

  it('a reset takes everything back', () => {
    const { pci } = live();
    put(pci, { device_status: 0 });
    expect(get(pci, 'device_status')).toBe(0);
    expect(get(pci, 'config_msix_vector')).toBe(0xffff);
    expect(get(pci, 'queue_msix_vector')).toBe(0xffff);
    expect(get(pci, 'queue_enable')).toBe(0);
  });
});

describe('interrupts', () => {
  it('MSI-X: a message each, the queue bit of ISR stays clear', () => {
    const { pci, driver, fn } = live();
    driver.add([IN], [OUT]);
    pci.write(0x3000, 2, 0);
    expect(driver.poll()?.length).toBe(3);
    expect(fn.log).toEqual(['msi 1']);
    expect(pci.read(0x1000, 1)).toBe(0);
    pci.core.configChanged();
    expect(fn.log).toEqual(['msi 1', 'msi 0']);
    expect(get(pci, 'config_generation')).toBe(1);
    expect(pci.read(0x1000, 1)).toBe(2);
    put(pci, { queue_msix_vector: 0xffff });
    driver.add([IN], [OUT]);
    pci.write(0x3000, 4, 0);
    expect(fn.log).toHaveLength(2);
  });

  it('INTx: on until ISR is read, which clears it', () => {
    const { pci, driver, fn } = live();
    fn.msixEnabled = false;
    driver.add([IN], [OUT]);
    pci.write(0x3000, 2, 0);
    pci.core.configChanged();
    expect(fn.log).toEqual(['intx true']);
    expect(pci.read(0x1000, 4)).toBe(0);
    expect(pci.read(0x1000, 1)).toBe(3);
    expect(fn.log).toEqual(['intx true', 'intx false']);
    expect(pci.read(0x1000, 1)).toBe(0);
  });

  it('INTx goes when MSI-X comes, and at a reset', () => {
    const { pci, fn } = live();
    fn.msixEnabled = false;
    pci.core.configChanged();
    fn.msixEnabled = true;
    expect(pci.updateIntx()).toBe(false);
    fn.msixEnabled = false;
    expect(pci.updateIntx()).toBe(true);
    put(pci, { device_status: 0 });
    expect(fn.log).toEqual(['intx true', 'intx false', 'intx true', 'intx false']);
  });
});

describe('notification', () => {
  it('goes to the queue of the address', () => {
    const { pci, device } = live();
    pci.write(0x3004, 2, 0);
    expect(device.log).toEqual(['reset', 'start']);
    for (const [offset, size] of [
      [0x3002, 2],
      [0x3001, 1],
      [0x3000, 1],
      [0x3008, 4],
    ] as const) {
      pci.write(offset, size, 0);
    }
    expect(device.log).toEqual(['reset', 'start']);
    pci.write(0x3000, 2, 0);
    expect(device.log.at(-1)).toBe('kick 0');
    expect(pci.read(0x3000, 2)).toBe(0);
  });
});

describe('capabilities', () => {
  it('are these bytes', () => {
    const { pci } = bench();
    const hex = virtioPciCapabilities(pci.layout, 4).map((cap) => Buffer.from(cap).toString('hex'));
    const wanted = [
      // id next len type | bar id pad pad | offset | length
      '09001001 04000000 00000000 3c000000', // COMMON_CFG, 60 bytes at 0
      '09001402 04000000 00300000 08000000 04000000', // NOTIFY_CFG, two queues of 4
      '09001003 04000000 00100000 01000000', // ISR_CFG
      '09001004 04000000 00200000 07000000', // DEVICE_CFG, 7 bytes
    ];
    expect(hex).toEqual(wanted.map((line) => line.replaceAll(' ', '')));
    for (const [index, cap] of virtioPciCapabilities(pci.layout, 4).entries()) {
      const table = index === 1 ? VIRTIO_PCI_NOTIFY_CAP : VIRTIO_PCI_CAP;
      const read = table.read(new ByteView(cap, 'le', 'pci'), 0);
      expect(read.cap_len).toBe(cap.length);
      expect(read.offset + read.length).toBeLessThanOrEqual(pci.layout.size);
    }
  });

  it('PCI_CFG is a window to the BAR', () => {
    const { pci, device } = live();
    const bars: string[] = [];
    const window = new PciCfgWindow({
      read: (bar, offset, size) => {
        bars.push(`read ${bar} ${offset}+${size}`);
        return bar === 4 ? pci.read(offset, size) : 0;
      },
      write: (bar, offset, size, value) => {
        bars.push(`write ${bar} ${offset}+${size} ${value}`);
        if (bar === 4) pci.write(offset, size, value);
      },
    });
    expect(Buffer.from(window.bytes).toString('hex')).toBe(`09001405${'00000000'.repeat(4)}`);
    const aim = (offset: number, length: number): void => {
      window.write(4, 1, 4);
      window.write(8, 4, offset);
      window.write(12, 4, length);
    };
    aim(0x2000, 4);
    expect(bars).toEqual([]);
    expect(window.read(16, 4)).toBe(0x0403_0201);
    aim(AT.device_status, 1);
    expect(window.read(16, 1)).toBe(0xf);
    aim(0x2004, 1);
    window.write(16, 4, 0xffff_ff09);
    expect(device.log.at(-1)).toBe('config[4+1] = 9');
    expect(bars.at(-1)).toBe('write 4 8196+1 9');
    // Lengths and offsets that cannot be.
    const { length } = bars;
    for (const [offset, size] of [
      [0, 0],
      [0, 3],
      [0, 8],
      [2, 4],
      [1, 2],
      [0, 0xffff_ffff],
    ] as const) {
      aim(offset, size);
      window.read(16, 4);
      window.write(16, 4, 1);
    }
    expect(bars).toHaveLength(length);
    // The head is not the driver's.
    window.write(0, 4, 0xffff_ffff);
    window.write(4, 4, 0xffff_ff02);
    expect([...window.bytes.subarray(0, 8)]).toEqual([9, 0, 0x14, 5, 2, 0, 0, 0]);
    const saved = window.bytes.slice();
    window.reset();
    expect(window.read(8, 4)).toBe(0);
    window.restore(saved);
    expect(window.bytes).toEqual(saved);
  });
});

it('goes on after snapshot and restore', () => {
  const first = live();
  first.device.hold = true;
  first.driver.add([IN], [OUT]);
  first.pci.write(0x3000, 2, 0);
  first.pci.core.configChanged();
  const state = structuredClone(first.pci.snapshot());
  const device = new EchoDevice();
  const fn = new Function_();
  fn.msixEnabled = false;
  const core = new VirtioCore(device, {
    dma: new DirectDma(first.memory),
    ringFeatures: FEATURES,
  });
  const pci = new PciTransport(core, fn);
  pci.restore(state);
  expect(fn.log).toEqual(['intx true']);
  expect(get(pci, 'queue_msix_vector')).toBe(1);
  const queue = core.queue(0);
  const [chain] = queue?.taken() ?? [];
  expect(chain && queue?.push(chain, 1)).toBe(true);
  expect(first.driver.poll()?.length).toBe(1);
});

it('a list of registers with a mistake does not load', () => {
  const make =
    (...at: [number, 1 | 2 | 4][]) =>
    (): unknown =>
      new RegisterBlock(at.map(([offset, size]) => ({ name: 'r', offset, size })));
  expect(make([0, 4], [2, 2])).toThrow('byte 2 belongs to another');
  expect(make([2, 4])).toThrow('offset 2 is not aligned');
  expect(make([0, 4], [4, 2], [6, 1])).not.toThrow();
});

describe('what a driver may read back, and what is not there', () => {
  it('selectors hold what was written', () => {
    const { pci } = bench();
    put(pci, { device_feature_select: 5, driver_feature_select: 6, queue_select: 7 });
    const selects = ['device_feature_select', 'driver_feature_select', 'queue_select'] as const;
    expect(selects.map((name) => get(pci, name))).toEqual([5, 6, 7]);
    expect([get(pci, 'device_feature'), get(pci, 'queue_desc_lo')]).toEqual([0, 0]);
    put(pci, { device_feature_select: 0 });
    expect(get(pci, 'device_feature')).toBe(5);
    put(pci, { queue_desc_lo: 0x1000, queue_size: 4, queue_enable: 1 });
    put(pci, { queue_select: 0 });
    expect([get(pci, 'queue_desc_lo'), get(pci, 'queue_enable')]).toEqual([0, 0]);
  });

  it('queue_notif_config_data is the index, once NOTIF_CONFIG_DATA is negotiated', () => {
    const data = featureBits(VIRTIO_F_VERSION_1, VIRTIO_F_NOTIF_CONFIG_DATA);
    const core = new VirtioCore(new EchoDevice(), {
      dma: new GuestMemory(),
      ringFeatures: data,
    });
    const pci = new PciTransport(core, new Function_());
    put(pci, { queue_select: 1 });
    expect(get(pci, 'queue_notif_config_data')).toBe(0);
    put(pci, { device_status: 1 });
    put(pci, { device_status: 3 });
    put(pci, { driver_feature_select: 1, driver_feature: Number(data >> 32n) });
    put(pci, { device_status: 0xb });
    expect(get(pci, 'queue_notif_config_data')).toBe(1);
    put(pci, { queue_select: 2 });
    expect(get(pci, 'queue_notif_config_data')).toBe(0);
  });

  it('a reset of the function forgets vectors, selectors and the device`s own', () => {
    const { pci, device } = live();
    pci.systemReset();
    expect([get(pci, 'config_msix_vector'), get(pci, 'queue_msix_vector')]).toEqual([
      0xffff, 0xffff,
    ]);
    expect(get(pci, 'device_status')).toBe(0);
    expect(device.log.at(-1)).toBe('system reset');
  });

  it('a snapshot with vectors of more queues than there are is cut', () => {
    const { pci } = live();
    const saved = pci.snapshot();
    pci.restore({ ...saved, queueVectors: [...saved.queueVectors, 2] });
    expect(pci.snapshot().queueVectors).toEqual(saved.queueVectors);
  });

  it('a device without configuration has no DEVICE_CFG capability', () => {
    const { pci } = bench();
    const device = { offset: 0x2000, length: 0 };
    expect(virtioPciCapabilities(pci.layout, 4)).toHaveLength(4);
    expect(virtioPciCapabilities({ ...pci.layout, device }, 4)).toHaveLength(3);
  });
});

describe('the PCI_CFG window', () => {
  it('passes as many bytes as its length says, and reads zero beyond its end', () => {
    const log: string[] = [];
    const window = new PciCfgWindow({
      read: () => 0x1234_5678,
      write: (bar, offset, size, value) => log.push(`${bar}:${offset}/${size}=${value}`),
    });
    for (const length of [1, 2, 4]) {
      window.write(12, 4, length);
      window.write(16, 4, 0x8899_aabb);
    }
    expect(log).toEqual(['0:0/1=187', '0:0/2=43707', '0:0/4=2291772091']);
    window.write(12, 4, 2);
    expect(window.read(18, 4)).toBe(0x8899);
  });
});
