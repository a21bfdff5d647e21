import type { DeviceKind } from '../../topology/index.ts';

/** What QEMU's devices are here; a name of virtio comes with several endings. */
const QEMU_KINDS: Readonly<Record<string, DeviceKind>> = {
  'virtio-blk': 'virtio-blk',
  'virtio-net': 'virtio-net',
  'virtio-rng': 'virtio-rng',
  edu: 'edu',
  e1000e: 'e1000e',
  nvme: 'nvme',
  'qemu-xhci': 'xhci',
};

/** The kind of a `-device`; `generic` for what has no counterpart here. */
export function kindOf(driver: string): DeviceKind {
  const plain = driver.replace(/(?:-pci)?(?:-non-transitional|-transitional)?$/u, '');
  return QEMU_KINDS[plain] ?? 'generic';
}

/** Gives every device a name of its own: its id, or its kind with a number. */
export class Names {
  readonly #used = new Set<string>();

  /** @param wished as somebody wrote it; what an id may not hold becomes `-` */
  take(wished: string | undefined, otherwise: string): string {
    const clean = (wished ?? '').replaceAll(/[^A-Za-z0-9_-]/gu, '-').replace(/^[^A-Za-z]+/u, '');
    const base = clean === '' ? undefined : clean.slice(0, 40);
    if (base !== undefined && this.#add(base)) return base;
    for (let number = 0; ; number++) {
      const name = `${base ?? otherwise}${base === undefined ? '' : '-'}${number}`;
      if (this.#add(name)) return name;
    }
  }

  #add(name: string): boolean {
    if (this.#used.has(name)) return false;
    this.#used.add(name);
    return true;
  }
}
