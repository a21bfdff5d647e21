import { hex, showRange, type Range } from '../bytes/index.ts';
import {
  VIRTIO_IOMMU_F_BYPASS,
  VIRTIO_IOMMU_F_BYPASS_CONFIG,
  VIRTIO_IOMMU_F_DOMAIN_RANGE,
  VIRTIO_IOMMU_F_INPUT_RANGE,
  VIRTIO_IOMMU_F_MAP_UNMAP,
  VIRTIO_IOMMU_F_MMIO,
  VIRTIO_IOMMU_F_PROBE,
} from '../spec/virtio-iommu.ts';
import { LAST_ADDRESS } from './wide.ts';

/** Feature bits by their names in VIRTIO 1.3, "IOMMU Device / Feature bits". */
export const FEATURE_BITS = {
  INPUT_RANGE: VIRTIO_IOMMU_F_INPUT_RANGE,
  DOMAIN_RANGE: VIRTIO_IOMMU_F_DOMAIN_RANGE,
  MAP_UNMAP: VIRTIO_IOMMU_F_MAP_UNMAP,
  BYPASS: VIRTIO_IOMMU_F_BYPASS,
  PROBE: VIRTIO_IOMMU_F_PROBE,
  MMIO: VIRTIO_IOMMU_F_MMIO,
  BYPASS_CONFIG: VIRTIO_IOMMU_F_BYPASS_CONFIG,
} as const;

export type FeatureName = keyof typeof FEATURE_BITS;

/** All but the legacy BYPASS, which new devices should not offer (VIRTIO 1.3, Feature bits). */
export const MODERN_FEATURES: readonly FeatureName[] = [
  'INPUT_RANGE',
  'DOMAIN_RANGE',
  'MAP_UNMAP',
  'PROBE',
  'MMIO',
  'BYPASS_CONFIG',
];

/** What a guest may grow, and what it gets beyond. */
export interface Limits {
  /** Domains that exist at once; the next ATTACH that needs one gets NOMEM. */
  readonly domains: number;
  /** Mappings of one domain; the next MAP gets NOMEM. About 48 bytes each. */
  readonly mappingsPerDomain: number;
  /** Mappings of all domains together; the next MAP gets NOMEM. */
  readonly mappings: number;
  /** Requests done in one go; the rest when the device is next given time. */
  readonly requestsPerKick: number;
  /** Fault reports kept while the driver offers no buffer; later ones are dropped and counted. */
  readonly pendingFaults: number;
  /** Accesses in flight at once; beyond, `pin` refuses and the endpoint copies at once. */
  readonly pins: number;
}

/** Where the specification is silent, or leaves it to the device. The first of each is the default. */
export interface Choices {
  /** Status of a MAP whose virt_end is below its virt_start. */
  readonly reversed: 'inval' | 'range';
  /** An UNMAP that reaches outside input_range: remove what it covers, or RANGE. */
  readonly unmapOutside: 'ok' | 'range';
  /** Status of a MAP whose physical range leaves `physicalRange` or passes 2^64 - 1. */
  readonly physicalOutside: 'fault' | 'range';
  /** Reads through a write-only mapping. A device may allow them (MAP request). */
  readonly writeOnlyReads: 'deny' | 'allow';
  /** UNMAP with reserved bits set: INVAL and nothing removed, or done as if they were zero. */
  readonly unmapReserved: 'inval' | 'ignore';
  /** DETACH from a domain the endpoint is not in: INVAL, or OK; it stays attached in both. */
  readonly detachMismatch: 'inval' | 'ok';
  /** ATTACH to the domain the endpoint is in already: OK and mappings kept, or INVAL. */
  readonly reattach: 'keep' | 'inval';
  /** Whether a domain takes a second endpoint; if not, UNSUPP. */
  readonly sharedDomains: boolean;
  /** A fault report while the driver offers no buffer. */
  readonly faultsWithoutBuffer: 'wait' | 'drop';
  /** An access to a RESERVED region by an endpoint of a bypass domain. */
  readonly reservedInBypass: 'fault' | 'pass';
  /**
   * Hold fault reports until the first request was seen: Linux' event handler uses a pointer that
   * its probe function sets after DRIVER_OK.
   */
  readonly holdReports: boolean;
}

/** How a virtio-iommu is made. Everything has a default. */
export interface IommuOptions {
  /** Bit n set: mappings of 2^n bytes can be made; the lowest is the granule. Default: 4 KiB and up. */
  readonly pageSizeMask?: bigint;
  /** IOVAs that can be mapped, end included. Default: all 64 bits. */
  readonly inputRange?: Range;
  /** Domain IDs, end included. Default: all 32 bits. */
  readonly domainRange?: Range<number>;
  /** Bytes of properties in a PROBE reply, 0–65536. Default 512. */
  readonly probeSize?: number;
  readonly features?: readonly FeatureName[];
  /** Value of `config.bypass` after a system reset. Default true, so that firmware can boot. */
  readonly bootBypass?: boolean;
  /** Guest-physical addresses that a MAP may name. Default: all 64 bits. */
  readonly physicalRange?: Range;
  readonly limits?: Partial<Limits>;
  readonly choices?: Partial<Choices>;
}

/** What a guest may grow unless a device is told otherwise. */
export const DEFAULT_LIMITS: Limits = {
  domains: 65_536,
  mappingsPerDomain: 1 << 20,
  mappings: 1 << 21,
  requestsPerKick: 1024,
  pendingFaults: 256,
  pins: 65_536,
};

export const DEFAULT_CHOICES: Choices = {
  reversed: 'inval',
  unmapOutside: 'ok',
  physicalOutside: 'fault',
  writeOnlyReads: 'deny',
  unmapReserved: 'inval',
  detachMismatch: 'inval',
  reattach: 'keep',
  sharedDomains: true,
  faultsWithoutBuffer: 'wait',
  reservedInBypass: 'fault',
  holdReports: true,
};

/** The options with defaults filled in and checked. */
export interface Settings extends Limits, Choices {
  pageSizeMask: bigint;
  readonly inputRange: Range;
  readonly domainRange: Range<number>;
  readonly probeSize: number;
  /** Offered device features, bits 0–6. */
  readonly offered: number;
  readonly bootBypass: boolean;
  readonly physicalRange: Range;
}

const ALL_ADDRESSES: Range = { start: 0n, end: LAST_ADDRESS };
const PROBE_SIZE_MAX = 65_536;

/**
 * Fills in the defaults.
 *
 * @throws RangeError on options that describe no device: the VMM's mistake, not the guest's
 */
export function settle(options: IommuOptions): Settings {
  const features = options.features ?? MODERN_FEATURES;
  const offered = features.reduce((bits, name) => bits | (1 << FEATURE_BITS[name]), 0);
  if (features.includes('BYPASS') && features.includes('BYPASS_CONFIG')) {
    throw new RangeError('BYPASS and BYPASS_CONFIG cannot both be offered');
  }
  const settings: Settings = {
    ...DEFAULT_LIMITS,
    ...options.limits,
    ...DEFAULT_CHOICES,
    ...options.choices,
    pageSizeMask: options.pageSizeMask ?? BigInt.asUintN(64, ~0xfffn),
    // What is not offered does not limit (VIRTIO 1.3, Device operations).
    inputRange: (features.includes('INPUT_RANGE') && options.inputRange) || ALL_ADDRESSES,
    domainRange: (features.includes('DOMAIN_RANGE') && options.domainRange) || {
      start: 0,
      end: 0xffff_ffff,
    },
    probeSize: features.includes('PROBE') ? (options.probeSize ?? 512) : 0,
    offered,
    bootBypass: options.bootBypass ?? true,
    physicalRange: options.physicalRange ?? ALL_ADDRESSES,
  };
  check(settings);
  return settings;
}

function check(settings: Settings): void {
  const { pageSizeMask, inputRange, domainRange, probeSize, physicalRange } = settings;
  if (pageSizeMask <= 0n || pageSizeMask > LAST_ADDRESS) {
    throw new RangeError(
      `page_size_mask ${hex(pageSizeMask)}: at least one of 64 bits must be set`,
    );
  }
  for (const [name, range, last] of [
    ['input_range', inputRange, LAST_ADDRESS],
    ['physical range', physicalRange, LAST_ADDRESS],
    ['domain_range', domainRange, 0xffff_ffff],
  ] as const) {
    if (range.start < 0 || range.start > range.end || range.end > last) {
      throw new RangeError(`${name} ${showRange(range)} is no range`);
    }
  }
  if (!Number.isInteger(probeSize) || probeSize < 0 || probeSize > PROBE_SIZE_MAX) {
    throw new RangeError(`probe_size ${probeSize}: must be 0 to ${PROBE_SIZE_MAX}`);
  }
  for (const name of Object.keys(DEFAULT_LIMITS) as (keyof Limits)[]) {
    if (!Number.isSafeInteger(settings[name]) || settings[name] < 1) {
      throw new RangeError(`limit ${name} is ${settings[name]}: must be 1 or more`);
    }
  }
}
