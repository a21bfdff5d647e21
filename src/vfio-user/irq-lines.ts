import type { PciFunction } from '../pci/index.ts';
import {
  EBADF,
  EINVAL,
  ENOTSUP,
  VFIO_IRQ_INFO_AUTOMASKED,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_INFO_MASKABLE,
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_TYPE_MASK,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_IRQ_SET_DATA_TYPE_MASK,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
} from '../spec/vfio-user.ts';
import type { Sys } from './sys.ts';

/** A SET_IRQS request. */
export interface IrqRequest {
  readonly flags: number;
  readonly index: number;
  readonly start: number;
  readonly count: number;
}

/** No descriptor. */
const NONE = -1;

/**
 * The interrupts of one function as a VMM wants them: eventfds. It owns the MSI-X table, its masks and
 * the doorbells; a message of the function becomes a count on the vector's eventfd.
 */
export class IrqLines {
  /** Interrupts that were signalled. */
  signalled = 0;
  readonly #fn: PciFunction;
  readonly #sys: Sys;
  readonly #fds: readonly number[][];
  /** Messages of vectors that have no eventfd at the moment: a VMM takes all away to add one. */
  readonly #owed = new Set<number>();
  /** INTx: masked by the VMM, or by itself after a signal until the VMM says that it was handled. */
  #masked = false;

  constructor(fn: PciFunction, sys: Sys) {
    this.#fn = fn;
    this.#sys = sys;
    this.#fds = [1, 1, fn.msix?.vectors ?? 0].map((count) =>
      Array.from({ length: count }, () => NONE),
    );
    if (fn.msix) fn.msix.outlet = (vector) => this.#message(VFIO_PCI_MSIX_IRQ_INDEX, vector);
    if (fn.msi) fn.msi.outlet = (vector) => this.#message(VFIO_PCI_MSI_IRQ_INDEX, vector);
    fn.onPin = (level) => {
      if (level) this.#pin();
    };
  }

  /** Eventfds that are held now. */
  get held(): number {
    return this.#fds.reduce((sum, fds) => sum + fds.filter((fd) => fd !== NONE).length, 0);
  }

  /** Undefined: the function has no such interrupts, and an errno is the answer. */
  info(index: number): { readonly flags: number; readonly count: number } | undefined {
    switch (index) {
      case VFIO_PCI_INTX_IRQ_INDEX: {
        const flags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
        return { flags, count: this.#fn.pin > 0 ? 1 : 0 };
      }
      case VFIO_PCI_MSI_IRQ_INDEX:
        return { flags: VFIO_IRQ_INFO_EVENTFD, count: this.#fn.msi === undefined ? 0 : 1 };
      case VFIO_PCI_MSIX_IRQ_INDEX:
        return { flags: VFIO_IRQ_INFO_EVENTFD, count: this.#fn.msix?.vectors ?? 0 };
      default:
        return undefined;
    }
  }

  /**
   * @param fds descriptors of the request; those that are kept are taken out
   * @param bools one byte for each interrupt, with DATA_BOOL
   * @returns an errno
   */
  set(request: IrqRequest, fds: number[], bools: Uint8Array): number {
    const { flags, index, start, count } = request;
    const known = this.info(index);
    if (known === undefined || start + count > known.count) return EINVAL;
    const data = flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
    switch (flags & VFIO_IRQ_SET_ACTION_TYPE_MASK) {
      case VFIO_IRQ_SET_ACTION_TRIGGER:
        if (data === VFIO_IRQ_SET_DATA_EVENTFD) return this.#assign(request, fds);
        return this.#trigger(request, data, bools);
      case VFIO_IRQ_SET_ACTION_MASK:
      case VFIO_IRQ_SET_ACTION_UNMASK:
        return this.#mask(request, data, bools);
      default:
        return EINVAL;
    }
  }

  /** Takes all eventfds back, as when nobody is connected. */
  clear(): void {
    for (const index of this.#fds.keys()) this.#drop(index);
    this.#masked = false;
  }

  #assign({ index, start, count }: IrqRequest, fds: number[]): number {
    // Without descriptors: these have none from now on.
    if (fds.length > 0 && fds.length !== count) return EINVAL;
    if (fds.some((fd) => !this.#sys.isEventfd(fd))) return EBADF;
    const taken = fds.splice(0);
    const mine = this.#fds[index] ?? [];
    for (let i = 0; i < count; i++) {
      const before = mine[start + i] ?? NONE;
      if (before !== NONE) this.#sys.close(before);
      mine[start + i] = taken[i] ?? NONE;
      if (taken[i] === undefined) continue;
      if (index === VFIO_PCI_INTX_IRQ_INDEX) this.#again();
      else if (this.#owed.delete(index * 0x1_0000 + start + i)) this.#message(index, start + i);
    }
    return 0;
  }

  #trigger(request: IrqRequest, data: number, bools: Uint8Array): number {
    const { index, start, count } = request;
    if (data === VFIO_IRQ_SET_DATA_NONE && count === 0) {
      this.#drop(index);
      return 0;
    }
    if (data !== VFIO_IRQ_SET_DATA_NONE && data !== VFIO_IRQ_SET_DATA_BOOL) return EINVAL;
    if (data === VFIO_IRQ_SET_DATA_BOOL && bools.length < count) return EINVAL;
    for (let i = 0; i < count; i++) {
      const wanted = data === VFIO_IRQ_SET_DATA_NONE || bools[i] !== 0;
      if (wanted) this.#signal(this.#fds[index]?.[start + i] ?? NONE);
    }
    return 0;
  }

  #mask({ flags, index, count }: IrqRequest, data: number, bools: Uint8Array): number {
    if (index !== VFIO_PCI_INTX_IRQ_INDEX || count !== 1) return EINVAL;
    // An unmasking eventfd is for KVM's irqfd; a VMM that is refused it sends UNMASK instead.
    if (data === VFIO_IRQ_SET_DATA_EVENTFD) return ENOTSUP;
    if (data === VFIO_IRQ_SET_DATA_BOOL && bools.length < 1) return EINVAL;
    if (data === VFIO_IRQ_SET_DATA_BOOL && bools[0] === 0) return 0;
    if ((flags & VFIO_IRQ_SET_ACTION_MASK) !== 0) this.#masked = true;
    else this.#again();
    return 0;
  }

  /** The VMM has handled the last INTx, or can for the first time. */
  #again(): void {
    this.#masked = false;
    if (this.#fn.pinLevel) this.#pin();
  }

  #pin(): void {
    const fd = this.#fds[VFIO_PCI_INTX_IRQ_INDEX]?.[0] ?? NONE;
    if (this.#masked || fd === NONE) return;
    this.#masked = true;
    this.#signal(fd);
  }

  #message(index: number, vector: number): boolean {
    const fd = this.#fds[index]?.[vector] ?? NONE;
    if (fd === NONE) this.#owed.add(index * 0x1_0000 + vector);
    else this.#signal(fd);
    return fd !== NONE;
  }

  #signal(fd: number): void {
    if (fd === NONE) return;
    this.signalled++;
    this.#sys.signal(fd);
  }

  #drop(index: number): void {
    const fds = this.#fds[index] ?? [];
    for (const [vector, fd] of fds.entries()) {
      if (fd !== NONE) this.#sys.close(fd);
      fds[vector] = NONE;
    }
    // What is owed stays so while the function still sends messages: the VMM is adding a vector.
    const on = index === VFIO_PCI_MSIX_IRQ_INDEX ? this.#fn.msixEnabled : this.#fn.msi?.enabled;
    if (on !== true) for (const key of this.#owed) if (key >> 16 === index) this.#owed.delete(key);
  }
}
