import type { Range } from '../bytes/index.ts';

/** A request's decoded fields, for people and traces. */
export interface RequestFields {
  readonly domain?: number;
  readonly endpoint?: number;
  readonly virt?: Range;
  readonly phys?: bigint;
  readonly flags?: number;
}

/** What a vIOMMU did. Addresses are bigint here: nobody listens on the hot path. */
export type IommuEvent =
  | {
      readonly kind: 'request';
      /** `attach`, `detach`, `map`, `unmap`, `probe`, or `unknown`. */
      readonly name: string;
      readonly type: number;
      readonly fields: RequestFields;
      /** Absent when the buffer went back unwritten. */
      readonly status?: number;
      /** Length in the used ring. */
      readonly used: number;
    }
  | {
      readonly kind: 'attach';
      readonly endpoint: number;
      readonly domain: number;
      readonly bypass: boolean;
    }
  | { readonly kind: 'detach'; readonly endpoint: number; readonly domain: number }
  | {
      readonly kind: 'fault';
      readonly endpoint: number;
      readonly reason: 'unknown' | 'domain' | 'mapping';
      readonly address: bigint;
      /** ACCESS_READ | ACCESS_WRITE. */
      readonly access: number;
      /** `silent`: the endpoint is unknown or nothing answered, for which there is no record. */
      readonly report: 'queued' | 'dropped' | 'silent';
    }
  | {
      readonly kind: 'translation';
      readonly endpoint: number;
      readonly iova: bigint;
      readonly length: number;
      readonly access: number;
      readonly how: 'translated' | 'bypassed' | 'msi';
    }
  | {
      readonly kind: 'bypass';
      readonly value: boolean;
      readonly cause: 'driver' | 'system-reset' | 'restore';
    }
  | { readonly kind: 'reset'; readonly system: boolean }
  | { readonly kind: 'endpoint'; readonly endpoint: number; readonly present: boolean };

/** Kinds of events, for subscribing to some. */
export type IommuEventKind = IommuEvent['kind'];

const BIT: Readonly<Record<IommuEventKind, number>> = {
  request: 1,
  attach: 2,
  detach: 4,
  fault: 8,
  translation: 16,
  bypass: 32,
  reset: 64,
  endpoint: 128,
};

/** All kinds but `translation`, which is as frequent as DMA. */
export const USUAL_KINDS: readonly IommuEventKind[] = [
  'request',
  'attach',
  'detach',
  'fault',
  'bypass',
  'reset',
  'endpoint',
];

interface Listener {
  readonly mask: number;
  readonly tell: (event: IommuEvent) => void;
}

/** Subscriptions. Whoever makes an event asks `wants` first, which costs one AND when nobody listens. */
export class IommuStream {
  #mask = 0;
  #listeners: readonly Listener[] = [];

  /** @returns a function that ends the subscription */
  subscribe(
    tell: (event: IommuEvent) => void,
    kinds: readonly IommuEventKind[] = USUAL_KINDS,
  ): () => void {
    const listener = { mask: kinds.reduce((bits, kind) => bits | BIT[kind], 0), tell };
    this.#set([...this.#listeners, listener]);
    return () => this.#set(this.#listeners.filter((other) => other !== listener));
  }

  wants(kind: IommuEventKind): boolean {
    return this.#mask !== 0 && (this.#mask & BIT[kind]) !== 0;
  }

  emit(event: IommuEvent): void {
    const bit = BIT[event.kind];
    for (const { mask, tell } of this.#listeners) if ((mask & bit) !== 0) tell(event);
  }

  #set(listeners: readonly Listener[]): void {
    this.#listeners = listeners;
    this.#mask = listeners.reduce((bits, { mask }) => bits | mask, 0);
  }
}
