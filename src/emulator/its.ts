import type { GuestMemory } from '../memory/index.ts';
import { LPI_ID_BITS, ramBytes, type RamBytes } from './gic-lpis.ts';
import { half, withHalf } from './gicv3-redistributor.ts';
import type { Region } from './regions.ts';
import * as its from '../spec/gicv3.ts';

/** Bits of a DeviceID: a requester ID, and 16 segments. */
const DEVICE_BITS = 20;
const EVENT_BITS = 16;
/** Devices and translations that a guest can make us keep; beyond them commands do nothing. */
const DEVICES_MAX = 4096;
const EVENTS_MAX = 65_536;

const TYPER = 1 | (7 << 4) | ((EVENT_BITS - 1) << 8) | ((DEVICE_BITS - 1) << 13);
const IIDR = 0x0000_043b;
const ENTRY_BYTES_LESS_1 = 7n;
const VALID = 1n << 63n;
const ADDRESS = 0x000f_ffff_ffff_f000n;
/** GITS_BASER: type and entry size are for reading only. */
const BASER_FIXED = (7n << 56n) | (0x1fn << 48n);

interface Device {
  readonly eventBits: number;
  /** EventID → LPI. */
  readonly events: Map<number, number>;
}

/** Where LPIs go. */
export interface LpiSink {
  /** Makes an LPI pending, or takes that back; the CPU hears of it with the next `update`. */
  setLpi(id: number, pending: boolean): void;
  /** Looks again at what is pending and enabled. */
  update(): void;
}

/** State of an ITS, as plain data. */
export interface ItsState {
  readonly on: boolean;
  readonly commandBase: bigint;
  readonly write: number;
  readonly read: number;
  readonly tables: readonly bigint[];
  readonly devices: readonly (readonly [
    id: number,
    eventBits: number,
    events: readonly (readonly [event: number, lpi: number])[],
  ])[];
}

/**
 * An interrupt translation service (ARM IHI 0069H, chapter 5) of a machine of one CPU.
 *
 * The tables that a guest gives it stay untouched: their format is the ITS's own, and all of this
 * one's state is here. All collections are the one CPU's.
 */
export class Its {
  #on = false;
  #commandBase = 0n;
  #write = 0;
  #read = 0;
  readonly #tables: bigint[] = Array.from({ length: its.GITS_BASER_COUNT }, (_, n) => fixed(n));
  readonly #devices = new Map<number, Device>();
  #eventCount = 0;
  readonly #gic: LpiSink;
  readonly #ram: RamBytes;

  constructor(gic: LpiSink, memory: GuestMemory) {
    this.#gic = gic;
    this.#ram = ramBytes(memory);
  }

  /** The control frame, and the translation frame, which only devices write to. */
  region(base: number): Region {
    return {
      name: 'gic its',
      base,
      size: its.GITS_SIZE,
      read: (offset) => this.#readRegister(offset & ~3),
      write: (offset, _size, value) => this.#writeRegister(offset & ~3, value),
    };
  }

  /** A write to GITS_TRANSLATER. False: nobody has mapped that event. */
  translate(deviceId: number, eventId: number): boolean {
    const lpi = this.#on ? this.#devices.get(deviceId)?.events.get(eventId) : undefined;
    if (lpi === undefined) return false;
    this.#gic.setLpi(lpi, true);
    this.#gic.update();
    return true;
  }

  save(): ItsState {
    return {
      on: this.#on,
      commandBase: this.#commandBase,
      write: this.#write,
      read: this.#read,
      tables: this.#tables.slice(),
      devices: Array.from(this.#devices, ([id, { eventBits, events }]) => [
        id,
        eventBits,
        [...events],
      ]),
    };
  }

  restore(state: ItsState): void {
    this.#on = state.on;
    this.#commandBase = state.commandBase;
    this.#write = state.write;
    this.#read = state.read;
    this.#tables.splice(0, its.GITS_BASER_COUNT, ...state.tables);
    this.#devices.clear();
    this.#eventCount = 0;
    for (const [id, eventBits, events] of state.devices) {
      this.#devices.set(id, { eventBits, events: new Map(events) });
      this.#eventCount += events.length;
    }
  }

  #readRegister(offset: number): number {
    const at = offset & 4;
    switch (offset & ~7) {
      case its.GITS_CTLR:
        if (at !== 0) return IIDR;
        return (this.#on ? its.GITS_CTLR_ENABLED : 0) + its.GITS_CTLR_QUIESCENT;
      case its.GITS_TYPER:
        return at === 0 ? TYPER : 0;
      case its.GITS_CBASER:
        return half(this.#commandBase, at);
      case its.GITS_CWRITER:
        return at === 0 ? this.#write : 0;
      case its.GITS_CREADR:
        return at === 0 ? this.#read : 0;
      default: {
        if (offset === its.GICV3_PIDR2) return its.GICV3_ARCH_REV;
        return half(this.#tables[(offset - its.GITS_BASER) >> 3] ?? 0n, at);
      }
    }
  }

  #writeRegister(offset: number, value: number): void {
    const at = offset & 4;
    switch (offset & ~7) {
      case its.GITS_CTLR:
        if (at === 0) this.#on = (value & its.GITS_CTLR_ENABLED) !== 0;
        break;
      case its.GITS_CBASER:
        this.#commandBase = withHalf(this.#commandBase, at, value);
        this.#read = 0;
        break;
      case its.GITS_CWRITER:
        if (at === 0) this.#write = value & 0xf_ffe0;
        break;
      default: {
        const index = (offset - its.GITS_BASER) >> 3;
        const table = this.#tables[index];
        if (table === undefined || fixed(index) === 0n) return;
        this.#tables[index] = (withHalf(table, at, value) & ~BASER_FIXED) | fixed(index);
        return;
      }
    }
    this.#commands();
  }

  /** Does the commands that wait; at most once round the queue. */
  #commands(): void {
    if (!this.#on || (this.#commandBase & VALID) === 0n) return;
    const size = (Number(this.#commandBase & 0xffn) + 1) * 4096;
    if (this.#read === this.#write || this.#write >= size) return;
    const queue = this.#ram(this.#commandBase & ADDRESS, size);
    do {
      const bytes = queue.subarray(this.#read, this.#read + its.GITS_CMD_SIZE);
      if (bytes.length === its.GITS_CMD_SIZE) this.#command(bytes);
      this.#read = (this.#read + its.GITS_CMD_SIZE) % size;
    } while (this.#read !== this.#write);
    // Once for all of them: to find the most urgent one means to look at each that is pending.
    this.#gic.update();
  }

  #command(bytes: Uint8Array): void {
    const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const deviceId = data.getUint32(4, true);
    const eventId = data.getUint32(8, true);
    const device = this.#devices.get(deviceId);
    switch (bytes[0]) {
      case its.GITS_CMD_MAPD:
        this.#mapDevice(deviceId, (eventId & 0x1f) + 1, data.getUint32(20, true) >>> 31 !== 0);
        break;
      case its.GITS_CMD_MAPTI:
        this.#mapEvent(device, eventId, data.getUint32(12, true));
        break;
      case its.GITS_CMD_MAPI:
        this.#mapEvent(device, eventId, eventId);
        break;
      case its.GITS_CMD_DISCARD:
      case its.GITS_CMD_CLEAR:
      case its.GITS_CMD_INT: {
        const lpi = device?.events.get(eventId);
        if (device === undefined || lpi === undefined) break;
        this.#gic.setLpi(lpi, bytes[0] === its.GITS_CMD_INT);
        if (bytes[0] !== its.GITS_CMD_DISCARD) break;
        device.events.delete(eventId);
        this.#eventCount--;
        break;
      }
      default:
        // MAPC, MOVI, MOVALL: there is one CPU. INV, INVALL, SYNC: nothing is cached; what is
        // enabled may have changed, and is looked at again after the last command.
        break;
    }
  }

  #mapDevice(deviceId: number, eventBits: number, valid: boolean): void {
    this.#eventCount -= this.#devices.get(deviceId)?.events.size ?? 0;
    this.#devices.delete(deviceId);
    if (!valid || deviceId >= 2 ** DEVICE_BITS || this.#devices.size >= DEVICES_MAX) return;
    this.#devices.set(deviceId, { eventBits, events: new Map() });
  }

  #mapEvent(device: Device | undefined, eventId: number, lpi: number): void {
    if (device === undefined || eventId >= 2 ** Math.min(device.eventBits, EVENT_BITS)) return;
    if (lpi < its.GIC_LPI_FIRST || lpi >= 1 << LPI_ID_BITS) return;
    if (!device.events.has(eventId)) {
      if (this.#eventCount >= EVENTS_MAX) return;
      this.#eventCount++;
    }
    device.events.set(eventId, lpi);
  }
}

/** What GITS_BASER n always says: a device table, a collection table, or nothing. */
function fixed(index: number): bigint {
  if (index > 1) return 0n;
  const type = index === 0 ? its.GITS_BASER_TYPE_DEVICE : its.GITS_BASER_TYPE_COLLECTION;
  return (BigInt(type) << 56n) | (ENTRY_BYTES_LESS_1 << 48n);
}
