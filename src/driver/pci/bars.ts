import {
  PCI_BASE_ADDRESS_0,
  PCI_BASE_ADDRESS_MEM_PREFETCH,
  PCI_BASE_ADDRESS_MEM_TYPE_64,
  PCI_BRIDGE_WINDOW_UNIT,
  PCI_COMMAND,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_MEMORY_BASE,
  PCI_MEMORY_LIMIT,
  PCI_PREF_BASE_UPPER32,
  PCI_PREF_LIMIT_UPPER32,
  PCI_PREF_MEMORY_BASE,
  PCI_PREF_MEMORY_LIMIT,
  PCI_STD_NUM_BARS,
} from '../../spec/pci-config.ts';
import type { HostView } from '../firmware/view.ts';
import type { ConfigAccess } from './config.ts';
import type { PciBar, PciFound } from './function.ts';

const BRIDGE_BARS = 2;
const FLAGS = 0xf;
const IO_SPACE = 1;
/** What Linux keeps free below a hot-plug port (pci=hpmemsize). */
const HOTPLUG_ROOM = 2 * 2 ** 20;

/** Sizes by the answer to ones. I/O BARs are passed over: none of our devices has one. */
export function sizeBars(config: ConfigAccess, isBridge: boolean): PciBar[] {
  const bars: PciBar[] = [];
  const count = isBridge ? BRIDGE_BARS : PCI_STD_NUM_BARS;
  for (let index = 0; index < count; index++) {
    const at = PCI_BASE_ADDRESS_0 + 4 * index;
    const before = config.read(at, 4);
    config.write(at, 4, 0xffff_ffff);
    const low = config.read(at, 4);
    config.write(at, 4, before);
    if ((low & IO_SPACE) !== 0) continue;
    const wide = (low & PCI_BASE_ADDRESS_MEM_TYPE_64) !== 0;
    let size = low === 0 ? 0 : (~(low & ~FLAGS) >>> 0) + 1;
    if (wide) {
      config.write(at + 4, 4, 0xffff_ffff);
      const high = config.read(at + 4, 4);
      config.write(at + 4, 4, 0);
      if ((low & ~FLAGS) >>> 0 === 0) size = ((~high >>> 0) + 1) * 2 ** 32;
    }
    const prefetchable = (low & PCI_BASE_ADDRESS_MEM_PREFETCH) !== 0;
    if (size >= 16 && Number.isSafeInteger(size)) bars.push({ index, size, wide, prefetchable });
    if (wide) index++;
  }
  return bars;
}

/** A window of addresses that is handed out upwards. */
export class Window {
  readonly end: number;
  #next: number;

  constructor(start: number, end: number) {
    this.#next = start;
    this.end = end;
  }

  take(size: number, alignment: number): number | undefined {
    const at = Math.ceil(this.#next / alignment) * alignment;
    if (size <= 0 || at + size - 1 > this.end) return undefined;
    this.#next = at + size;
    return at;
  }
}

/** `low`: 32-bit, not prefetchable. `high`: prefetchable, and 64-bit BARs only. */
export interface Windows {
  readonly low: Window;
  readonly high: Window | undefined;
}

/** Gives every BAR below a host its address, and every bridge its windows. */
export function assignBars(host: HostView, functions: readonly PciFound[]): void {
  const window = (wide: boolean): Window | undefined => {
    const found = host.windows.find((one) => one.wide === wide);
    return found && new Window(Number(found.start), Number(found.end));
  };
  const low = window(false);
  if (low !== undefined) place(functions, { low, high: window(true) });
}

/** Gives BARs their addresses out of these windows: those of a host, or what is left of a bridge's. */
export function place(functions: readonly PciFound[], windows: Windows): void {
  const wanted = functions.flatMap((found) => found.bars.map((bar) => ({ found, bar })));
  // Large ones first: what is aligned to its size leaves no gaps then.
  for (const { found, bar } of wanted.toSorted((a, b) => b.bar.size - a.bar.size)) {
    const base = windowFor(bar, windows).take(bar.size, Math.max(bar.size, 0x1000));
    if (base === undefined) continue;
    bar.base = base;
    const at = PCI_BASE_ADDRESS_0 + 4 * bar.index;
    found.config.write(at, 4, base % 2 ** 32);
    if (bar.wide) found.config.write(at + 4, 4, Math.floor(base / 2 ** 32));
  }
  for (const found of functions) if (found.bridge !== undefined) placeBridge(found, windows);
}

function windowFor(bar: PciBar, { low, high }: Windows): Window {
  return bar.wide && bar.prefetchable && high !== undefined ? high : low;
}

/** Bytes that are needed below, in each kind of window; an upper bound with room to align. */
function needed(functions: readonly PciFound[], split: boolean): { low: number; high: number } {
  const unit = PCI_BRIDGE_WINDOW_UNIT;
  let low = 0;
  let high = 0;
  for (const { bars, bridge } of functions) {
    for (const { size, wide, prefetchable } of bars) {
      if (split && wide && prefetchable) high += 2 * Math.max(size, 0x1000);
      else low += 2 * Math.max(size, 0x1000);
    }
    if (bridge === undefined) continue;
    const below = bridgeNeeds(bridge.children, bridge.hotplug, split);
    low += below.low + unit;
    high += below.high + (below.high > 0 ? unit : 0);
  }
  return { low, high };
}

function bridgeNeeds(
  children: readonly PciFound[],
  hotplug: boolean,
  split: boolean,
): { low: number; high: number } {
  const { low, high } = needed(children, split);
  const room = hotplug ? HOTPLUG_ROOM : 0;
  const whole = (size: number): number =>
    Math.ceil(size / PCI_BRIDGE_WINDOW_UNIT) * PCI_BRIDGE_WINDOW_UNIT;
  return { low: whole(low + room), high: split ? whole(high + room) : 0 };
}

function placeBridge({ config, bridge }: PciFound, windows: Windows): void {
  if (bridge === undefined) return;
  const { low, high } = bridgeNeeds(bridge.children, bridge.hotplug, windows.high !== undefined);
  const unit = PCI_BRIDGE_WINDOW_UNIT;
  const lowAt = windows.low.take(low, unit);
  const highAt = windows.high?.take(high, unit);
  setWindow(config, PCI_MEMORY_BASE, PCI_MEMORY_LIMIT, lowAt, low);
  setWindow(config, PCI_PREF_MEMORY_BASE, PCI_PREF_MEMORY_LIMIT, highAt, high);
  const upper = (address: number): number => Math.floor(address / 2 ** 32);
  config.write(PCI_PREF_BASE_UPPER32, 4, upper(highAt ?? 0));
  config.write(PCI_PREF_LIMIT_UPPER32, 4, highAt === undefined ? 0 : upper(highAt + high - 1));
  config.write(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
  const inner = new Window(lowAt ?? 1, lowAt === undefined ? 0 : lowAt + low - 1);
  const innerHigh = highAt === undefined ? undefined : new Window(highAt, highAt + high - 1);
  bridge.windows = { low: inner, high: innerHigh };
  place(bridge.children, bridge.windows);
}

/** Base and limit count MiB in their upper twelve bits; base above limit: closed. */
function setWindow(
  config: ConfigAccess,
  base: number,
  limit: number,
  at: number | undefined,
  size: number,
): void {
  const field = (address: number): number => Math.floor((address % 2 ** 32) / 0x1_0000) & 0xfff0;
  config.write(base, 2, at === undefined ? 0xfff0 : field(at));
  config.write(limit, 2, at === undefined ? 0 : field(at + size - 1));
}
