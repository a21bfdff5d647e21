import { isDeepStrictEqual } from 'node:util';
import { DirectDma, GuestMemory } from '../../src/memory/index.ts';
import {
  COMMON_REGISTERS,
  MMIO_REGISTERS,
  MmioTransport,
  PciTransport,
  RING_FEATURES,
  VirtioCore,
} from '../../src/virtio/index.ts';
import { EchoDevice } from '../support/virtio-device.ts';
import { VIRTIO_F_RING_PACKED } from '../../src/spec/virtio.ts';
import { Dice } from './virtqueue.ts';

/** What a run saw; a run that never came to life, or never broke, tests nothing. */
export interface TransportFuzzCount {
  readonly lived: number;
  readonly answered: number;
  readonly broken: number;
  readonly features: number;
}

const RAM = 0x4000_0000n;
const RAM_LO = Number(RAM);
const RAM_BYTES = 0x4000;
const MMIO_QUEUE = [
  'QueueSel',
  'QueueSize',
  'QueueDescLow',
  'QueueDescHigh',
  'QueueDriverLow',
  'QueueDriverHigh',
  'QueueDeviceLow',
  'QueueDeviceHigh',
  'QueueReady',
];
const PCI_QUEUE = [
  'queue_select',
  'queue_size',
  'queue_desc_lo',
  'queue_desc_hi',
  'queue_driver_lo',
  'queue_driver_hi',
  'queue_device_lo',
  'queue_device_hi',
  'queue_enable',
];
/** All states of a device, see the test of the status machine. */
const STATES = new Set([0, 1, 3, 0xb, 0xf].flatMap((s) => [s, s | 0x40, s | 0x80, s | 0xc0]));

type Transport = MmioTransport | PciTransport;

interface Spot {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

interface Rig {
  readonly transport: Transport;
  readonly device: EchoDevice;
  readonly registers: readonly Spot[];
}

function make(kind: 'mmio' | 'pci', memory: GuestMemory, interrupts: () => void): Rig {
  const device = new EchoDevice();
  device.budget = 16;
  const core = new VirtioCore(device, { dma: new DirectDma(memory), ringFeatures: RING_FEATURES });
  if (kind === 'mmio') {
    const transport = new MmioTransport(core, { line: interrupts });
    return { transport, device, registers: MMIO_REGISTERS.registers };
  }
  const fn = { msixEnabled: true, vectors: 3, message: interrupts, intx: interrupts };
  return { transport: new PciTransport(core, fn), device, registers: COMMON_REGISTERS.registers };
}

/** A value that means something to the register, most of the time. */
function valueFor(name: string, dice: Dice): number {
  const small = dice.below(10);
  if (small === 0) return dice.u32();
  const lower = name.toLowerCase();
  if (lower.includes('status')) return dice.pick([0, 1, 3, 0xb, 0xb, 0xf, 0xf, 0xf, 0x80]);
  if (/(low|_lo)$/.test(lower)) return RAM_LO + 16 * dice.below(RAM_BYTES / 16);
  if (/(high|_hi)$/.test(lower)) return 0;
  if (/driver_?features?$/.test(lower)) return dice.pick([0, 1, 5, 0x2000_0000, 0x1, 0x9, 0x10d]);
  if (/queue_?size$/.test(lower)) return dice.pick([1, 2, 4, 4, 8, 3]);
  return dice.below(3);
}

function assertThat(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}

function run(dice: Dice, count: { -readonly [K in keyof TransportFuzzCount]: number }): void {
  const ram = new Uint8Array(RAM_BYTES);
  const memory = new GuestMemory([{ gpa: RAM, bytes: ram }]);
  let interrupts = 0;
  const kind = dice.pick<'mmio' | 'pci'>(['mmio', 'pci']);
  const rig = make(kind, memory, () => interrupts++);
  const { transport, device } = rig;
  const { core } = transport;
  const write = (name: string, value: number): void => {
    const register = rig.registers.find((one) => one.name.toLowerCase() === name.toLowerCase());
    if (register) transport.write(register.offset, register.size, value);
  };
  const negotiate = (): void => {
    for (const value of [0, 1, 3]) write(kind === 'mmio' ? 'Status' : 'device_status', value);
    for (const select of [0, 1]) {
      write(kind === 'mmio' ? 'DriverFeaturesSel' : 'driver_feature_select', select);
      const bits = select === 0 ? 0x3000_0005 & dice.u32() : (dice.u32() & 0x14d) | 1;
      write(kind === 'mmio' ? 'DriverFeatures' : 'driver_feature', bits);
    }
    write(kind === 'mmio' ? 'Status' : 'device_status', 0xb);
  };
  const notify = (index: number): void => {
    if (kind === 'mmio') write('QueueNotify', index);
    else transport.write(0x3000 + 4 * index, 2, index);
  };
  /** Queue 0 as a driver sets it up, now and then with one thing wrong. */
  const setUp = (): void => {
    negotiate();
    const names = kind === 'mmio' ? MMIO_QUEUE : PCI_QUEUE;
    const values = [0, 4, RAM_LO, 0, RAM_LO + 0x400, 0, RAM_LO + 0x500, 0, 1];
    for (const [index, name] of names.entries()) {
      write(name, dice.below(40) === 0 ? dice.u32() : (values[index] ?? 0));
    }
    ram.fill(0, 0, 0x600);
    write(kind === 'mmio' ? 'Status' : 'device_status', 0xf);
  };
  const offer = (): void => {
    const data = new DataView(ram.buffer);
    const packed = core.hasFeature(VIRTIO_F_RING_PACKED);
    const [index, flags] = [dice.below(4), dice.pick([0, 2, 0x80, 0x82, 0x80, 0x8000])];
    data.setBigUint64(16 * index, RAM + BigInt(0x1000 + dice.below(0x2000)), true);
    data.setUint32(16 * index + 8, dice.below(64), true);
    data.setUint16(16 * index + (packed ? 14 : 12), flags, true);
    data.setUint16(16 * index + (packed ? 12 : 14), 0, true);
    if (!packed) {
      const idx = data.getUint16(0x402, true);
      data.setUint16(0x404 + 2 * (idx & 3), index, true);
      data.setUint16(0x402, idx + 1, true);
    }
    notify(0);
  };
  for (let step = 0; step < 200; step++) {
    const before = device.log.length + interrupts;
    const choice = dice.below(24);
    if (choice === 0) (dice.below(3) === 0 ? negotiate : setUp)();
    else if (choice < 8) offer();
    else if (choice < 16) {
      const register = rig.registers[dice.below(rig.registers.length)];
      if (register) write(register.name, valueFor(register.name, dice));
    } else if (choice < 18) {
      // A notification, wherever this transport has it.
      if (kind === 'mmio') write('QueueNotify', dice.below(3));
      else transport.write(0x3000 + dice.below(9), dice.pick([1, 2, 4]), dice.u32());
    } else if (choice < 20) {
      const [offset, size] = [dice.below(0x4200), dice.pick([1, 2, 4, 8])];
      transport.write(offset, size, dice.u32());
      const value = transport.read(offset, size);
      assertThat(Number.isInteger(value) && value >= 0 && value < 2 ** 32, `read ${value}`);
    } else if (choice < 22) {
      for (let i = 0; i < 40; i++) ram[dice.below(RAM_BYTES)] = dice.below(8);
    } else if (choice === 22) core.runPending();
    else {
      const state = transport.snapshot();
      const other = make(kind, memory, () => undefined);
      other.transport.restore(structuredClone(state) as never);
      const again = { ...other.transport.snapshot() };
      assertThat(
        isDeepStrictEqual(
          { ...again, core: { ...again.core, device: 0 } },
          { ...state, core: { ...state.core, device: 0 } },
        ),
        'another state after a restore',
      );
    }
    assertThat(STATES.has(core.status), `status 0x${core.status.toString(16)}`);
    const work = device.log.length + interrupts - before;
    assertThat(work <= 16, `${work} effects of one access`);
    count.lived += Number(core.status === 0xf);
    count.features += Number(core.features > 0n);
  }
  count.answered += interrupts;
  count.broken += Number((core.status & 0x40) !== 0);
}

/**
 * Plays `count` drivers that write registers and memory at random, on both transports. Throws, with
 * the seed and number that repeat it, when anything is thrown, a state is impossible, one access has
 * too many effects, or a restored device differs.
 */
export function fuzzTransports(seed: number, count: number, first = 0): TransportFuzzCount {
  const seen = { lived: 0, answered: 0, broken: 0, features: 0 };
  for (let index = first; index < first + count; index++) {
    try {
      run(new Dice(Math.imul(seed, 0x0100_0193) ^ index), seen);
    } catch (error) {
      throw new Error(`fuzzTransports(${seed}, 1, ${index})`, { cause: error });
    }
  }
  return seen;
}
