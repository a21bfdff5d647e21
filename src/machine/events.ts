import type { IommuEventKind } from '../iommu/index.ts';
import type { MsiMessage } from '../pci/index.ts';
import type { VirtioEvent } from '../virtio/index.ts';
import type { HostEvent } from './passthrough.ts';
import type { ListenOptions, MachineEvent, MachineListener } from './stream.ts';
import type { MachineViommu, Unit } from './unit.ts';

/** Distributes over the union, which `Omit` alone does not. */
type Unordered<T> = T extends unknown ? Omit<T, 'order'> : never;

interface Subscription {
  readonly listener: MachineListener;
  readonly kinds: readonly IommuEventKind[] | undefined;
  readonly ends: (() => void)[];
}

/** The events of all devices in one order. Costs nothing while nobody listens. */
export class Events {
  /** Number of events so far. */
  order = 0;
  readonly #subscriptions: Subscription[] = [];
  readonly #viommus: MachineViommu[] = [];

  get heard(): boolean {
    return this.#subscriptions.length > 0;
  }

  subscribe(listener: MachineListener, options: ListenOptions): () => void {
    const subscription = { listener, kinds: options.iommu, ends: [] };
    this.#subscriptions.push(subscription);
    for (const viommu of this.#viommus) this.#follow(subscription, viommu);
    return () => {
      const index = this.#subscriptions.indexOf(subscription);
      if (index >= 0) this.#subscriptions.splice(index, 1);
      for (const end of subscription.ends.splice(0)) (end as () => void)();
    };
  }

  addViommu(viommu: MachineViommu): void {
    this.#viommus.push(viommu);
    for (const subscription of this.#subscriptions) this.#follow(subscription, viommu);
  }

  virtio(device: string, event: VirtioEvent): void {
    if (this.heard) this.#tell({ source: 'virtio', device, event });
  }

  message(unit: Unit, message: MsiMessage): void {
    if (!this.heard) return;
    const { placed } = unit;
    this.#tell({
      source: 'message',
      device: unit.id,
      message,
      ...(placed === undefined ? {} : placed),
    });
  }

  host(device: string, event: HostEvent, unit: () => Unit | undefined): void {
    if (this.heard) this.#tell({ source: 'host', device, event, ...unit()?.placed });
  }

  #follow({ listener, kinds, ends }: Subscription, { viommu, device }: MachineViommu): void {
    const end = device.stream.subscribe(
      (event) => listener({ order: ++this.order, source: 'viommu', viommu: viommu.id, event }),
      kinds,
    );
    ends.push(end);
  }

  #tell(event: Unordered<MachineEvent>): void {
    const whole = { ...event, order: ++this.order } as MachineEvent;
    for (const { listener } of this.#subscriptions) listener(whole);
  }
}
