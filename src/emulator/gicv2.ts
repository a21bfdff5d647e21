import { GIC_SPI_FIRST, GIC_SPURIOUS } from '../spec/gicv2.ts';
import { CpuInterface } from './gic-cpu.ts';
import { Distributor } from './gic-distributor.ts';
import { GIC_INTERRUPTS, type GicInterrupts } from './gic-interrupts.ts';
import type { Region } from './regions.ts';

const IDLE_PRIORITY = 0x100;

/** State of the interrupt controller, as plain data; arrays by interrupt number. */
export interface GicState {
  readonly enabled: Uint8Array;
  readonly latched: Uint8Array;
  readonly level: Uint8Array;
  readonly active: Uint8Array;
  readonly edge: Uint8Array;
  readonly priority: Uint8Array;
  readonly target: Uint8Array;
  readonly distributorOn: boolean;
  readonly cpu: { readonly control: number; readonly mask: number; readonly binaryPoint: number };
  /** Interrupts acknowledged and not ended, and their priorities, outermost first. */
  readonly running: readonly { readonly id: number; readonly priority: number }[];
}

/**
 * A GIC of architecture version 2 (ARM IHI 0048B.b), without the Security Extensions, for one CPU.
 *
 * Interrupts are numbered as the GIC does: SPI n is 32 + n.
 */
export class Gic implements GicInterrupts {
  readonly enabled = new Uint8Array(GIC_INTERRUPTS);
  /** Pending by an edge, by a write to GICD_ISPENDR, or as an SGI. */
  readonly latched = new Uint8Array(GIC_INTERRUPTS);
  readonly level = new Uint8Array(GIC_INTERRUPTS);
  readonly active = new Uint8Array(GIC_INTERRUPTS);
  /** 1 for edge-triggered. */
  readonly edge = new Uint8Array(GIC_INTERRUPTS);
  readonly priority = new Uint8Array(GIC_INTERRUPTS);
  readonly target = new Uint8Array(GIC_INTERRUPTS);
  readonly distributor: Distributor;
  readonly cpu: CpuInterface;
  readonly #running: { id: number; priority: number }[] = [];
  readonly #signal: (level: boolean) => void;
  #signalled = false;

  /** @param signal told whenever the IRQ line to the CPU changes */
  constructor(signal: (level: boolean) => void) {
    this.#signal = signal;
    this.distributor = new Distributor(this);
    this.cpu = new CpuInterface(this);
    this.enabled.fill(1, 0, 16);
    this.edge.fill(1, 0, 16);
    this.target.fill(1, 0, GIC_SPI_FIRST);
  }

  /** Registers of distributor and CPU interface, for a bus. */
  regions(distributorBase: number, cpuBase: number): Region[] {
    return [this.distributor.region(distributorBase), this.cpu.region(cpuBase)];
  }

  /** The level of an SPI (counted from 0); numbers beyond the GIC's are nobody's. */
  setLine(spi: number, level: boolean): void {
    this.setLevel(GIC_SPI_FIRST + spi, level);
  }

  /** An edge of an SPI: what a write to a GICv2m frame makes. */
  pulse(spi: number): void {
    const id = GIC_SPI_FIRST + spi;
    if (id >= GIC_INTERRUPTS) return;
    this.latched[id] = 1;
    this.update();
  }

  /** The level of an interrupt by its number: PPIs too. */
  setLevel(id: number, level: boolean): void {
    if (id >= GIC_INTERRUPTS) return;
    if (level && this.level[id] === 0 && this.edge[id] !== 0) this.latched[id] = 1;
    this.level[id] = level ? 1 : 0;
    this.update();
  }

  isPending(id: number): boolean {
    return this.latched[id] !== 0 || (this.edge[id] === 0 && this.level[id] !== 0);
  }

  /** Priority of what runs; lower is more urgent. */
  get runningPriority(): number {
    return this.#running.at(-1)?.priority ?? IDLE_PRIORITY;
  }

  /** The most urgent interrupt that the CPU may be told of, or GIC_SPURIOUS. */
  highest(): number {
    if (!this.distributor.on || (this.cpu.control & 1) === 0) return GIC_SPURIOUS;
    let best = GIC_SPURIOUS;
    let urgency = Math.min(this.cpu.mask, this.runningPriority);
    for (let id = 0; id < GIC_INTERRUPTS; id++) {
      if (this.enabled[id] === 0 || this.active[id] !== 0 || !this.isPending(id)) continue;
      if ((this.target[id] ?? 0) % 2 === 0) continue;
      const priority = this.priority[id] ?? 0;
      if (priority >= urgency) continue;
      urgency = priority;
      best = id;
    }
    return best;
  }

  /** GICC_IAR: the interrupt becomes active. */
  acknowledge(): number {
    const id = this.highest();
    if (id === GIC_SPURIOUS) return id;
    const priority = this.priorityOf(id);
    // Beyond the arrays there are LPIs, which are never active.
    this.latched[id] = 0;
    this.active[id] = 1;
    this.taken(id);
    this.#running.push({ id, priority });
    this.update();
    return id;
  }

  /** Priority of an interrupt; a GICv3 has more of them. */
  protected priorityOf(id: number): number {
    return this.priority[id] ?? 0;
  }

  /** The CPU took an interrupt: it is pending no more, wherever that is kept. */
  protected taken(_id: number): void {}

  /** GICC_EOIR: drops the priority, and deactivates unless that is left to GICC_DIR. */
  end(id: number, deactivates: boolean): void {
    const at = this.#running.findLastIndex((entry) => entry.id === id);
    if (at >= 0) this.#running.splice(at, 1);
    if (deactivates && id < GIC_INTERRUPTS) this.active[id] = 0;
    this.update();
  }

  deactivate(id: number): void {
    if (id < GIC_INTERRUPTS) this.active[id] = 0;
    this.update();
  }

  /** Recomputes the line to the CPU. */
  update(): void {
    const signalled = this.highest() !== GIC_SPURIOUS;
    if (signalled === this.#signalled) return;
    this.#signalled = signalled;
    this.#signal(signalled);
  }

  save(): GicState {
    const { control, mask, binaryPoint } = this.cpu;
    return {
      enabled: this.enabled.slice(),
      latched: this.latched.slice(),
      level: this.level.slice(),
      active: this.active.slice(),
      edge: this.edge.slice(),
      priority: this.priority.slice(),
      target: this.target.slice(),
      distributorOn: this.distributor.on,
      cpu: { control, mask, binaryPoint },
      running: this.#running.map((entry) => ({ ...entry })),
    };
  }

  restore(state: GicState): void {
    for (const name of [
      'enabled',
      'latched',
      'level',
      'active',
      'edge',
      'priority',
      'target',
    ] as const)
      this[name].set(state[name]);
    this.distributor.on = state.distributorOn;
    this.cpu.control = state.cpu.control;
    this.cpu.mask = state.cpu.mask;
    this.cpu.binaryPoint = state.cpu.binaryPoint;
    this.#running.length = 0;
    this.#running.push(...state.running.map((entry) => ({ ...entry })));
    this.#signalled = this.highest() !== GIC_SPURIOUS;
    this.#signal(this.#signalled);
  }
}
