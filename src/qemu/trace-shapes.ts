import type { Range } from '../bytes/index.ts';
import {
  VIRTIO_IOMMU_FAULT_F_ADDRESS,
  VIRTIO_IOMMU_FAULT_F_WRITE,
  VIRTIO_IOMMU_FAULT_R_DOMAIN,
  VIRTIO_IOMMU_FAULT_R_MAPPING,
  VIRTIO_IOMMU_RESV_MEM_T_MSI,
} from '../spec/virtio-iommu.ts';
import type { TraceEvent } from './trace-event.ts';

type Without<T> = T extends TraceEvent ? Omit<T, 'text' | 'time'> : never;
type Body = Without<TraceEvent>;
type Groups = Readonly<Record<string, string>>;

const big = (g: Groups, name: string): bigint => BigInt.asUintN(64, BigInt(g[name] ?? '0'));
const u32 = (g: Groups, name: string): number => Number(BigInt.asUintN(32, BigInt(g[name] ?? '0')));
const virt = (g: Groups): Range => ({ start: big(g, 'start'), end: big(g, 'end') });

const HEX = '0x[0-9a-f]{1,16}';
const INT = '-?\\d{1,10}';

/** What follows a trace point's name, and the event it makes. */
export interface Shape {
  readonly pattern: RegExp;
  readonly make: (groups: Groups) => Body;
}

const shape = (pattern: string, make: Shape['make']): Shape => ({
  pattern: new RegExp(`^${pattern}$`),
  make,
});

/** One entry per trace point of QEMU's hw/virtio/trace-events, 7.2 to 11.1. */
export const SHAPES: ReadonlyMap<string, Shape> = new Map([
  [
    'get_features',
    shape(`device supports features=(?<f>${HEX})`, (g) => ({
      kind: 'features',
      features: big(g, 'f'),
    })),
  ],
  [
    'device_status',
    shape(`driver status = (?<s>${INT})`, (g) => ({ kind: 'status', status: u32(g, 's') })),
  ],
  ['device_reset', shape('reset!', () => ({ kind: 'reset', system: false }))],
  ['device_reset_exit', shape('reset!', () => ({ kind: 'reset', system: false }))],
  ['system_reset', shape('system reset!', () => ({ kind: 'reset', system: true }))],
  [
    'get_config',
    shape(
      `page_size_mask=(?<mask>${HEX}) input range start=(?<start>${HEX}) input range end=(?<end>${HEX}) ` +
        `domain range start=(?<ds>${INT}) domain range end=(?<de>${INT}) probe_size=(?<probe>${HEX}) bypass=(?<bypass>${HEX})`,
      (g) => ({
        kind: 'config',
        pageSizeMask: big(g, 'mask'),
        inputRange: virt(g),
        domainRange: { start: u32(g, 'ds'), end: u32(g, 'de') },
        probeSize: u32(g, 'probe'),
        bypass: big(g, 'bypass') !== 0n,
      }),
    ),
  ],
  [
    'set_config',
    shape(`bypass=(?<b>${HEX})`, (g) => ({ kind: 'set-config', bypass: big(g, 'b') !== 0n })),
  ],
  [
    'fill_resv_property',
    shape(
      `dev= ?(?<ep>${INT}), type=(?<type>${INT}) start=(?<start>${HEX}) end=(?<end>${HEX})`,
      (g) => ({
        kind: 'probe-region',
        endpoint: u32(g, 'ep'),
        type: u32(g, 'type') === VIRTIO_IOMMU_RESV_MEM_T_MSI ? 'msi' : 'reserved',
        range: virt(g),
      }),
    ),
  ],
  [
    'attach',
    shape(`domain=(?<d>${INT}) endpoint=(?<ep>${INT})`, (g) => ({
      kind: 'attach',
      domain: u32(g, 'd'),
      endpoint: u32(g, 'ep'),
    })),
  ],
  [
    'detach',
    shape(`domain=(?<d>${INT}) endpoint=(?<ep>${INT})`, (g) => ({
      kind: 'detach',
      domain: u32(g, 'd'),
      endpoint: u32(g, 'ep'),
    })),
  ],
  [
    'map',
    shape(
      `domain=(?<d>${INT}) virt_start=(?<start>${HEX}) virt_end=(?<end>${HEX}) phys_start=(?<phys>${HEX}) flags=(?<flags>${INT})`,
      (g) => ({
        kind: 'map',
        domain: u32(g, 'd'),
        virt: virt(g),
        phys: big(g, 'phys'),
        flags: u32(g, 'flags'),
      }),
    ),
  ],
  [
    'unmap',
    shape(`domain=(?<d>${INT}) virt_start=(?<start>${HEX}) virt_end=(?<end>${HEX})`, (g) => ({
      kind: 'unmap',
      domain: u32(g, 'd'),
      virt: virt(g),
    })),
  ],
  [
    'unmap_done',
    shape(`domain=(?<d>${INT}) virt_start=(?<start>${HEX}) virt_end=(?<end>${HEX})`, (g) => ({
      kind: 'unmap-done',
      domain: u32(g, 'd'),
      virt: virt(g),
    })),
  ],
  [
    'get_endpoint',
    shape(`Alloc endpoint=(?<ep>${INT})`, (g) => ({ kind: 'endpoint', endpoint: u32(g, 'ep') })),
  ],
  [
    'put_endpoint',
    shape(`Free endpoint=(?<ep>${INT})`, (g) => ({
      kind: 'endpoint-gone',
      endpoint: u32(g, 'ep'),
    })),
  ],
  [
    'get_domain',
    shape(`Alloc domain=(?<d>${INT})`, (g) => ({ kind: 'domain', domain: u32(g, 'd') })),
  ],
  [
    'put_domain',
    shape(`Free domain=(?<d>${INT})`, (g) => ({ kind: 'domain-gone', domain: u32(g, 'd') })),
  ],
  [
    'translate',
    shape(
      `mr=(?<mr>\\S{1,200}) rid=(?<rid>${INT}) addr=(?<iova>${HEX}) flag=(?<flag>${INT})`,
      (g) => ({
        kind: 'translate',
        region: g['mr'] ?? '',
        rid: u32(g, 'rid'),
        iova: big(g, 'iova'),
        flag: u32(g, 'flag'),
      }),
    ),
  ],
  [
    'translate_out',
    shape(`(?<iova>${HEX}) -> (?<phys>${HEX}) for sid=(?<ep>${INT})`, (g) => ({
      kind: 'translated',
      endpoint: u32(g, 'ep'),
      iova: big(g, 'iova'),
      phys: big(g, 'phys'),
    })),
  ],
  [
    'report_fault',
    shape(
      `FAULT reason=(?<r>${INT}) flags=(?<f>${INT}) endpoint=(?<ep>${INT}) address =(?<a>${HEX})`,
      makeFault,
    ),
  ],
]);

function makeFault(g: Groups): Body {
  const flags = u32(g, 'f');
  return {
    kind: 'fault',
    reason: faultReason(u32(g, 'r')),
    endpoint: u32(g, 'ep'),
    write: (flags & VIRTIO_IOMMU_FAULT_F_WRITE) !== 0,
    // Without the flag the field holds nothing (VIRTIO 1.3, IOMMU Device / Fault reporting).
    ...((flags & VIRTIO_IOMMU_FAULT_F_ADDRESS) === 0 ? {} : { address: big(g, 'a') }),
  };
}

function faultReason(reason: number): 'unknown' | 'domain' | 'mapping' {
  if (reason === VIRTIO_IOMMU_FAULT_R_DOMAIN) return 'domain';
  return reason === VIRTIO_IOMMU_FAULT_R_MAPPING ? 'mapping' : 'unknown';
}
