import { ByteSink, ByteView, type Range } from '../../bytes/index.ts';
import {
  VIRTIO_IOMMU_PROBE_PROPERTY,
  VIRTIO_IOMMU_PROBE_RESV_MEM,
  VIRTIO_IOMMU_PROBE_T_MASK,
  VIRTIO_IOMMU_PROBE_T_NONE,
  VIRTIO_IOMMU_PROBE_T_RESV_MEM,
  VIRTIO_IOMMU_REQ_ATTACH,
  VIRTIO_IOMMU_REQ_DETACH,
  VIRTIO_IOMMU_REQ_MAP,
  VIRTIO_IOMMU_REQ_PROBE,
  VIRTIO_IOMMU_REQ_UNMAP,
  VIRTIO_IOMMU_RESV_MEM_T_MSI,
  VIRTIO_IOMMU_T_ATTACH,
  VIRTIO_IOMMU_T_DETACH,
  VIRTIO_IOMMU_T_MAP,
  VIRTIO_IOMMU_T_PROBE,
  VIRTIO_IOMMU_T_UNMAP,
} from '../../spec/virtio-iommu.ts';
import type { KernelLog } from '../kernel-log.ts';

/**
 * The device-readable parts of requests (VIRTIO 1.3, IOMMU Device / Device operations). Reserved
 * fields are zero in all of them (R6, R9, R12, R19, R24): the layouts write zero where nothing is given.
 */

/** The device-readable bytes of ATTACH (VIRTIO 1.3, "IOMMU Device / ATTACH request"). */
export function attachRequest(domain: number, endpoint: number, flags = 0): Uint8Array {
  const sink = new ByteSink('le', VIRTIO_IOMMU_REQ_ATTACH.size);
  VIRTIO_IOMMU_REQ_ATTACH.write(sink, { type: VIRTIO_IOMMU_T_ATTACH, domain, endpoint, flags });
  return sink.bytes();
}

/** The device-readable bytes of DETACH (VIRTIO 1.3, "IOMMU Device / DETACH request"). */
export function detachRequest(domain: number, endpoint: number): Uint8Array {
  const sink = new ByteSink('le', VIRTIO_IOMMU_REQ_DETACH.size);
  VIRTIO_IOMMU_REQ_DETACH.write(sink, { type: VIRTIO_IOMMU_T_DETACH, domain, endpoint });
  return sink.bytes();
}

/**
 * The device-readable bytes of MAP (VIRTIO 1.3, "IOMMU Device / MAP request").
 *
 * @param virt both ends included
 */
export function mapRequest(domain: number, virt: Range, phys: bigint, flags: number): Uint8Array {
  const sink = new ByteSink('le', VIRTIO_IOMMU_REQ_MAP.size);
  VIRTIO_IOMMU_REQ_MAP.write(sink, {
    type: VIRTIO_IOMMU_T_MAP,
    domain,
    virt_start: virt.start,
    virt_end: virt.end,
    phys_start: phys,
    flags,
  });
  return sink.bytes();
}

/**
 * The device-readable bytes of UNMAP (VIRTIO 1.3, "IOMMU Device / UNMAP request").
 *
 * @param virt both ends included
 */
export function unmapRequest(domain: number, virt: Range): Uint8Array {
  const sink = new ByteSink('le', VIRTIO_IOMMU_REQ_UNMAP.size);
  VIRTIO_IOMMU_REQ_UNMAP.write(sink, {
    type: VIRTIO_IOMMU_T_UNMAP,
    domain,
    virt_start: virt.start,
    virt_end: virt.end,
  });
  return sink.bytes();
}

/** The device-readable bytes of PROBE (VIRTIO 1.3, "IOMMU Device / PROBE request"). */
export function probeRequest(endpoint: number): Uint8Array {
  const sink = new ByteSink('le', VIRTIO_IOMMU_REQ_PROBE.size);
  VIRTIO_IOMMU_REQ_PROBE.write(sink, { type: VIRTIO_IOMMU_T_PROBE, endpoint });
  return sink.bytes();
}

/** A reserved region as PROBE reports it. */
export interface ProbedRegion {
  readonly range: Range;
  readonly type: 'reserved' | 'msi';
}

/**
 * The properties of a PROBE reply. Unknown types are passed over by their length (R25, R26), as are
 * properties with reserved bits (R27); an unknown subtype counts as RESERVED (R30).
 *
 * @returns undefined when the list makes no sense: the endpoint is not to be used then
 */
export function parseProperties(
  bytes: Uint8Array,
  who: { readonly log: KernelLog; readonly device: string },
): ProbedRegion[] | undefined {
  const view = new ByteView(bytes, 'le', 'probe');
  const head = VIRTIO_IOMMU_PROBE_PROPERTY;
  const regions: ProbedRegion[] = [];
  const say = (text: string): void => who.log.print(`${who.device}: ${text}`);
  for (let at = 0; at + head.size <= bytes.length;) {
    const { type: word, length } = head.read(view, at);
    const type = word & VIRTIO_IOMMU_PROBE_T_MASK;
    if (type === VIRTIO_IOMMU_PROBE_T_NONE) break;
    const next = at + head.size + length;
    if (next > bytes.length) break;
    if (word === VIRTIO_IOMMU_PROBE_T_RESV_MEM) {
      const region = next - at < VIRTIO_IOMMU_PROBE_RESV_MEM.size ? undefined : resvMem(view, at);
      if (region === undefined) {
        say('failed to parse viommu prop 0x1');
        return undefined;
      }
      regions.push(region);
    } else if (word === type) {
      say(`unknown viommu prop 0x${type.toString(16)}`);
    }
    at = next;
  }
  return regions;
}

/** RESV_MEM. Its reserved bytes are ignored (R29); reversed by one makes a size of zero. */
function resvMem(view: ByteView, at: number): ProbedRegion | undefined {
  const { subtype, start, end } = VIRTIO_IOMMU_PROBE_RESV_MEM.read(view, at);
  if (end < start) return undefined;
  const type = subtype === VIRTIO_IOMMU_RESV_MEM_T_MSI ? 'msi' : 'reserved';
  return { range: { start, end }, type };
}
