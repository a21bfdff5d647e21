import type { GuestMemory } from '../memory/index.ts';
import { Gic, type GicState } from './gicv2.ts';
import { Lpis, ramBytes } from './gic-lpis.ts';
import { SystemInterface } from './gicv3-cpu.ts';
import { distributorV3 } from './gicv3-distributor.ts';
import { Redistributor } from './gicv3-redistributor.ts';
import type { LpiSink } from './its.ts';
import type { Region } from './regions.ts';
import { GIC_SPURIOUS } from '../spec/gicv2.ts';
import * as gicv3 from '../spec/gicv3.ts';
import { GIC_LPI_FIRST } from '../spec/gicv3.ts';

/** System registers of the CPU interface, for the core. */
export const ICC_REGISTERS: readonly number[] = Object.entries(gicv3)
  .filter(([name]) => name.startsWith('ICC_'))
  .map(([, at]) => at);

/** State of a GICv3, as plain data. */
export interface Gicv3State extends GicState {
  readonly lpis: {
    readonly on: boolean;
    readonly table: bigint;
    readonly pending: readonly number[];
  };
  readonly asleep: boolean;
  readonly pendingTable: bigint;
}

/**
 * A GIC of architecture version 3 (ARM IHI 0069H) for one CPU: one security state, affinity routing
 * always on, LPIs.
 */
export class Gicv3 extends Gic implements LpiSink {
  readonly #system: SystemInterface;
  readonly #lpis: Lpis;
  readonly #redistributor: Redistributor;

  /** @param memory where the guest keeps what it says of LPIs */
  constructor(signal: (level: boolean) => void, memory: GuestMemory) {
    super(signal);
    this.#lpis = new Lpis(ramBytes(memory));
    this.#system = new SystemInterface(this.cpu, this);
    this.#redistributor = new Redistributor(this.distributor, this.#lpis, () => this.update());
    // Affinity routing: every SPI goes to the CPU there is.
    this.target.fill(1);
  }

  override regions(distributorBase: number, redistributorBase: number): Region[] {
    return [
      distributorV3(this.distributor, distributorBase),
      this.#redistributor.region(redistributorBase),
    ];
  }

  /** A system register of the CPU interface, by op0[0]:op1:CRn:CRm:op2; undefined: it is none. */
  readSystem(register: number): number | undefined {
    return this.#system.read(register);
  }

  writeSystem(register: number, value: number): boolean {
    return this.#system.write(register, value);
  }

  setLpi(id: number, pending: boolean): void {
    this.#lpis.set(id, pending);
  }

  override highest(): number {
    const id = super.highest();
    if (!this.distributor.on || (this.cpu.control & 1) === 0) return id;
    const urgency = id === GIC_SPURIOUS ? 0x100 : this.priorityOf(id);
    const lpi = this.#lpis.best(Math.min(urgency, this.cpu.mask, this.runningPriority));
    return lpi?.id ?? id;
  }

  override acknowledge(): number {
    const id = super.acknowledge();
    if (id >= GIC_LPI_FIRST) {
      this.setLpi(id, false);
      this.update();
    }
    return id;
  }

  saveV3(): Gicv3State {
    return {
      ...this.save(),
      lpis: this.#lpis.save(),
      asleep: this.#redistributor.asleep,
      pendingTable: this.#redistributor.pendingTable,
    };
  }

  restoreV3(state: Gicv3State): void {
    this.#lpis.restore(state.lpis);
    this.#redistributor.asleep = state.asleep;
    this.#redistributor.pendingTable = state.pendingTable;
    this.restore(state);
  }

  protected override priorityOf(id: number): number {
    return id < GIC_LPI_FIRST ? super.priorityOf(id) : this.#lpis.priorityOf(id);
  }
}
