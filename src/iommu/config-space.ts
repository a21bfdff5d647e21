import { ByteSink } from '../bytes/index.ts';
import {
  VIRTIO_IOMMU_CONFIG,
  VIRTIO_IOMMU_F_DOMAIN_RANGE,
  VIRTIO_IOMMU_F_INPUT_RANGE,
} from '../spec/virtio-iommu.ts';
import type { IommuState } from './state.ts';

const { bypass: BYPASS } = VIRTIO_IOMMU_CONFIG.offsets;

/** "Device configuration layout"; fields of features that are not offered are zero. */
export function writeConfig(state: IommuState, into: Uint8Array): void {
  const { pageSizeMask, inputRange, domainRange, probeSize } = state.settings;
  const hasInput = state.offers(VIRTIO_IOMMU_F_INPUT_RANGE);
  const hasDomain = state.offers(VIRTIO_IOMMU_F_DOMAIN_RANGE);
  const sink = new ByteSink('le', VIRTIO_IOMMU_CONFIG.size);
  VIRTIO_IOMMU_CONFIG.write(sink, {
    page_size_mask: pageSizeMask,
    input_range_start: hasInput ? inputRange.start : 0n,
    input_range_end: hasInput ? inputRange.end : 0n,
    domain_range_start: hasDomain ? domainRange.start : 0,
    domain_range_end: hasDomain ? domainRange.end : 0,
    probe_size: probeSize,
    bypass: state.bypass,
  });
  into.set(sink.bytes());
}

/**
 * The value that a write of `size` bytes at `offset` gives `bypass`, the one field a driver may
 * write; undefined when it does not reach it, or the value is neither 0 nor 1.
 */
export function writtenBypass(offset: number, size: number, value: number): 0 | 1 | undefined {
  if (offset > BYPASS || offset + size <= BYPASS) return undefined;
  const byte = (value >>> (8 * (BYPASS - offset))) & 0xff;
  return byte === 0 || byte === 1 ? byte : undefined;
}
