import { hiOf, loOf } from '../../memory/index.ts';
import {
  GITS_TRANSLATER,
  PCI_MSIX_ENTRY,
  PCI_MSIX_ENTRY_SIZE,
  PCI_MSIX_FLAGS,
  PCI_MSIX_FLAGS_ENABLE,
  PCI_MSIX_FLAGS_MASKALL,
  PCI_MSIX_FLAGS_QSIZE,
  PCI_MSIX_TABLE,
  V2M_MSI_SETSPI_NS,
  V2M_MSI_TYPER,
  V2M_MSI_TYPER_BASE_SHIFT,
  X86_MSI_BASE,
} from '../../spec/msix.ts';
import {
  PCI_CAP_ID_MSIX,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
} from '../../spec/pci-config.ts';
import type { Device } from '../device.ts';
import type { MsiAnswer } from '../firmware/view.ts';
import type { Vector } from '../interrupts.ts';
import type { Kernel } from '../kernel.ts';
import type { PciFound } from './function.ts';
import { GIC_SPI_FIRST } from '../../spec/gicv2.ts';

const BAR_MASK = 7;
const AT = PCI_MSIX_ENTRY.offsets;

/** Interrupts that a driver set up. */
export interface Interrupts {
  readonly kind: 'msi-x' | 'line';
  free(): void;
}

/** Memory decoding and bus mastering on, as every driver does first. */
export function enableFunction({ config }: PciFound): void {
  const command = config.read(PCI_COMMAND, 2);
  config.write(PCI_COMMAND, 2, command | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

export function disableFunction({ config }: PciFound): void {
  const command = config.read(PCI_COMMAND, 2);
  config.write(PCI_COMMAND, 2, command & ~PCI_COMMAND_MASTER);
}

/**
 * MSI-X with one vector for each handler; undefined when the function has too few, firmware names no
 * controller for it, or its IOMMU does not let the doorbell be mapped.
 */
export function setUpMsix(
  kernel: Kernel,
  device: Device,
  handlers: readonly (() => void)[],
): Interrupts | undefined {
  const { pci } = device;
  const [capability] = pci?.config.capabilities(PCI_CAP_ID_MSIX) ?? [];
  if (pci === undefined || capability === undefined) return undefined;
  const { config } = pci;
  const size = (config.read(capability + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE) + 1;
  const table = config.read(capability + PCI_MSIX_TABLE, 4);
  const base = pci.bars.find(({ index }) => index === (table & BAR_MASK))?.base;
  if (handlers.length > size || base === undefined) return undefined;
  const answer = kernel.firmware.msi(device.asker);
  const made = messages(kernel, device, answer, handlers);
  if (made === undefined) return undefined;
  const flags = config.read(capability + PCI_MSIX_FLAGS, 2);
  config.write(
    capability + PCI_MSIX_FLAGS,
    2,
    flags | PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL,
  );
  for (const [index, { address, data }] of made.entries()) {
    const entry = base + (table & ~BAR_MASK) + index * PCI_MSIX_ENTRY_SIZE;
    kernel.bus.write(entry + AT.lower_addr, 4, loOf(address));
    kernel.bus.write(entry + AT.upper_addr, 4, hiOf(address));
    kernel.bus.write(entry + AT.data, 4, data);
    kernel.bus.write(entry + AT.vector_ctrl, 4, 0);
  }
  const command = config.read(PCI_COMMAND, 2);
  config.write(PCI_COMMAND, 2, command | PCI_COMMAND_INTX_DISABLE);
  config.write(capability + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
  device.interrupts = { kind: 'msi-x', vectors: handlers.length, count: 0 };
  return {
    kind: 'msi-x',
    free: () => {
      config.write(capability + PCI_MSIX_FLAGS, 2, 0);
      for (const { free } of made) free();
    },
  };
}

/** The wired interrupt of a device; undefined when firmware names none. */
export function setUpLine(
  kernel: Kernel,
  device: Device,
  handler: () => void,
): Interrupts | undefined {
  const number = lineOf(kernel, device);
  if (number === undefined) return undefined;
  if (device.pci !== undefined) {
    const { config } = device.pci;
    config.write(PCI_COMMAND, 2, config.read(PCI_COMMAND, 2) & ~PCI_COMMAND_INTX_DISABLE);
  }
  const free = kernel.hub.line(number, () => {
    device.interrupts.count++;
    handler();
  });
  return { kind: 'line', free };
}

/** Pins turn by the device number at each bridge; firmware routes those of the root bus. */
function lineOf(kernel: Kernel, { pci, transport }: Device): number | undefined {
  if (pci === undefined) return transport?.interrupt;
  if (pci.pin === 0) return undefined;
  let { pin } = pci;
  let at = pci;
  while (at.parent !== undefined) {
    pin = ((pin - 1 + ((at.rid >> 3) & 0x1f)) % 4) + 1;
    at = at.parent;
  }
  return kernel.firmware.intx(pci.host, (at.rid >> 3) & 0x1f, pin);
}

interface Message {
  readonly address: bigint;
  readonly data: number;
  readonly free: () => void;
}

function messages(
  kernel: Kernel,
  device: Device,
  answer: MsiAnswer,
  handlers: readonly (() => void)[],
): Message[] | undefined {
  const page = doorbellOf(answer);
  if (page === undefined) return undefined;
  // x86 interrupts are remapped by nobody here, and its window is never mapped by software.
  const address = answer.kind === 'apic' ? page : device.dma.doorbell(page);
  if (address === undefined) return undefined;
  const made: Message[] = [];
  for (const handler of handlers) {
    const counted = (): void => {
      device.interrupts.count++;
      handler();
    };
    const vector = allocate(kernel, answer, counted);
    if (vector === undefined) {
      for (const { free } of made) free();
      return undefined;
    }
    made.push({ address: address + BigInt(vector.address), data: vector.data, free: vector.free });
  }
  return made;
}

function doorbellOf(answer: MsiAnswer): bigint | undefined {
  switch (answer.kind) {
    case 'none':
      return undefined;
    case 'gicv2m':
      return answer.frame + BigInt(V2M_MSI_SETSPI_NS);
    case 'its':
      return answer.page + BigInt(GITS_TRANSLATER);
    case 'apic':
      return BigInt(X86_MSI_BASE);
    default:
      return answer satisfies never;
  }
}

function allocate(kernel: Kernel, answer: MsiAnswer, handler: () => void): Vector | undefined {
  switch (answer.kind) {
    case 'none':
      return undefined;
    case 'gicv2m':
      return kernel.hub.spi(answer.spis ?? frameSpis(kernel, answer.frame), handler);
    case 'its':
      return kernel.hub.event(answer.deviceId, handler);
    case 'apic':
      return kernel.hub.vector(handler);
    default:
      return answer satisfies never;
  }
}

/** The frame itself says which SPIs it has. */
function frameSpis(kernel: Kernel, frame: bigint): { start: number; end: number } {
  const typer = kernel.bus.read(Number(frame) + V2M_MSI_TYPER, 4);
  const first = ((typer >>> V2M_MSI_TYPER_BASE_SHIFT) & 0x3ff) - GIC_SPI_FIRST;
  return { start: first, end: first + (typer & 0x3ff) - 1 };
}
