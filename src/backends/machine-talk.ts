import { hex } from '../bytes/index.ts';
import type { Machine } from '../machine/index.ts';
import { hiOf, loOf } from '../memory/index.ts';
import type { FaultAim, FaultCheckObservation } from '../scenario/index.ts';
import type { Endpoint } from '../topology/index.ts';
import { AIM_BYTES, chooseTarget, type Target } from './aims.ts';
import type { MachineWatch } from './machine-watch.ts';
import { planName } from './plan.ts';

/** What the engine's buffer holds while it is aimed: DMA_WORD of `qemu/init/init.sh`. */
const WORD = Uint8Array.of(0xa5, 0xa5, 0x5a, 0x5a);

/**
 * The machine's side of what the guest does for it: answers on the console, devices plugged in at
 * its word, looks at memory. On the emulator all of it happens at the record's last byte, between two
 * instructions; elsewhere a little later, which only the answers may be.
 */
export class MachineTalk {
  readonly #answer: (text: string) => void;
  readonly #machine: Machine;
  readonly #watch: MachineWatch;
  readonly #harmed: boolean[] = [];
  #target: Target | undefined;

  constructor(machine: Machine, watch: MachineWatch, answer: (text: string) => void) {
    this.#answer = answer;
    this.#machine = machine;
    this.#watch = watch;
  }

  record(kind: string, fields: ReadonlyMap<string, string>): void {
    if (kind === 'await') {
      this.#answer('\n');
      return;
    }
    const at = fields.get('at');
    const endpoint = this.#machine.model.endpoints.find((one) => planName(one) === at);
    if (endpoint === undefined) return;
    switch (kind) {
      case 'aim':
        this.#aim(endpoint, fields);
        break;
      case 'dma':
        this.#harmed.push(this.#isHarmed());
        break;
      case 'unbind':
        this.#watch.unbound(endpoint.id);
        break;
      case 'bind':
        this.#watch.bound(endpoint.id);
        break;
      case 'plugin':
        if (this.#machine.unit(endpoint.id) === undefined) this.#machine.plug(endpoint);
        break;
      default:
    }
  }

  /** Of each DMA, in order, whether it reached what it must not. */
  get harmed(): readonly boolean[] {
    return this.#harmed;
  }

  #aim(endpoint: Endpoint, fields: ReadonlyMap<string, string>): void {
    const aim = aimOf(fields.get('aim'));
    const gpa = /^0x[0-9a-f]{1,16}$/u.exec(fields.get('gpa') ?? '')?.[0] ?? '0x0';
    this.#target =
      aim === undefined ? undefined : chooseTarget(this.#machine, endpoint, aim, BigInt(gpa));
    const answer = this.#target === undefined ? 'none' : hex(this.#target.address);
    this.#answer(`${answer}\n`);
  }

  #isHarmed(): boolean {
    const word = new Uint8Array(AIM_BYTES);
    return (this.#target?.landings ?? []).some((gpa) => {
      this.#machine.memory.read(hiOf(gpa), loOf(gpa), word, 0, AIM_BYTES);
      return Buffer.compare(word, WORD) === 0;
    });
  }
}

function aimOf(text: string | undefined): FaultAim | undefined {
  return (['unmapped', 'read-only', 'reserved', 'foreign'] as const).find((aim) => aim === text);
}

/** The guest can watch one page only; the machine knows where each DMA would have landed. */
export function withHarm(
  checks: readonly FaultCheckObservation[],
  harmed: readonly boolean[],
): FaultCheckObservation[] {
  return checks.map((check, index) => ({
    ...check,
    ...(harmed[index] === true ? { memoryUnchanged: false } : {}),
  }));
}
