/** What a rule demands: the verb of the specification. */
export type Level = 'must' | 'should' | 'may' | 'definition';

export interface Rule {
  readonly id: string;
  /** Section of VIRTIO 1.3; below "IOMMU Device" unless it says otherwise. */
  readonly section: string;
  readonly level: Level;
  /** In our words. */
  readonly text: string;
  /** Where the specification leaves a choice: what we do, and the option that changes it. */
  readonly choice?: string;
}

const FEATURES = 'Feature bits';
const CONFIG = 'Device configuration layout';
const INIT = 'Device initialization';
const OPERATION = 'Device operations';
const FAULTS = 'Fault reporting';
const PROBE = 'PROBE request';

const rule = (n: number, section: string, level: Level, text: string, choice?: string): Rule => {
  const id = `D${n}`;
  return choice === undefined ? { id, section, level, text } : { id, section, level, text, choice };
};

/** The rules for devices. */
export const RULES: readonly Rule[] = [
  rule(1, FEATURES, 'should', 'MAP_UNMAP is offered'),
  rule(2, FEATURES, 'should', 'BYPASS is not offered by new devices, nor beside BYPASS_CONFIG'),
  rule(3, CONFIG, 'must', '`page_size_mask` has at least one bit; the lowest is the granule'),
  rule(
    4,
    CONFIG,
    'should',
    '`bypass` outlives a device reset; a system reset restores it',
    '`bootBypass`, default on',
  ),
  rule(5, CONFIG, 'must', '`bypass` reads as 0 or 1', 'other values written are ignored'),
  rule(6, INIT, 'must', 'after a device reset no endpoint is attached'),
  rule(
    7,
    OPERATION,
    'definition',
    '`domain_range` and `input_range` bound what is valid, when offered',
    'RANGE outside',
  ),
  rule(
    8,
    OPERATION,
    'definition',
    'with BYPASS_CONFIG offered and `bypass` set, unattached endpoints bypass',
  ),
  rule(9, OPERATION, 'definition', 'endpoints of a bypass domain bypass'),
  rule(10, OPERATION, 'definition', 'with BYPASS negotiated, unattached endpoints bypass'),
  rule(
    11,
    OPERATION,
    'definition',
    'bypass allows every access and is the identity',
    'a RESERVED region still faults in a bypass domain: `reservedInBypass`',
  ),
  rule(12, OPERATION, 'should', 'other unattached endpoints reach no guest memory'),
  rule(13, OPERATION, 'should', 'what was done has status OK'),
  rule(14, OPERATION, 'should', 'a request of unknown type comes back unwritten, used length 0'),
  rule(15, OPERATION, 'must', '`head.reserved` is ignored, `tail.reserved` is zero'),
  rule(16, OPERATION, 'definition', 'what cannot be parsed comes back unwritten'),
  rule(17, 'ATTACH request', 'must', '`reserved` set: INVAL'),
  rule(
    18,
    'ATTACH request',
    'must',
    'an unknown flag: INVAL',
    'F_BYPASS is unknown without BYPASS_CONFIG',
  ),
  rule(19, 'ATTACH request', 'must', 'no such endpoint: NOENT'),
  rule(
    20,
    'ATTACH request',
    'may',
    'a domain takes more endpoints; if not: UNSUPP',
    '`sharedDomains`, default yes',
  ),
  rule(21, 'ATTACH request', 'should', 'F_BYPASS that does not fit the domain: INVAL'),
  rule(
    22,
    'ATTACH request',
    'should',
    'attached to another domain: as DETACH, then ATTACH; or UNSUPP',
    'same domain: OK and no change: `reattach`',
  ),
  rule(
    23,
    'ATTACH request',
    'should',
    'properties that do not fit the other endpoints: UNSUPP',
    'reserved regions over mappings; a host page size',
  ),
  rule(24, 'ATTACH request', 'must', 'what is not rejected is attached'),
  rule(
    25,
    'ATTACH request',
    'definition',
    'the first endpoint makes a domain, the last one ends it',
  ),
  rule(26, 'DETACH request', 'must', '`reserved` is ignored'),
  rule(27, 'DETACH request', 'must', 'no such endpoint: NOENT'),
  rule(28, 'DETACH request', 'may', 'not attached to that domain: INVAL', '`detachMismatch`'),
  rule(29, 'DETACH request', 'must', 'once complete, the mappings are out of reach'),
  rule(
    30,
    'MAP request',
    'should',
    'a range or physical start that is not aligned to the granule: RANGE',
  ),
  rule(31, 'MAP request', 'should', 'a mapping in the range: INVAL'),
  rule(32, 'MAP request', 'must', 'an unknown flag: INVAL', 'MMIO is unknown when not negotiated'),
  rule(33, 'MAP request', 'should', 'no such domain: NOENT'),
  rule(34, 'MAP request', 'should', 'a bypass domain: INVAL'),
  rule(
    35,
    'MAP request',
    'must',
    'no write without WRITE; no read without READ',
    '`writeOnlyReads`, default deny',
  ),
  rule(36, PROBE, 'should', 'a MAP over a RESV_MEM region is rejected', 'INVAL'),
  rule(37, 'UNMAP request', 'may', '`reserved` set: INVAL', '`unmapReserved`'),
  rule(38, 'UNMAP request', 'should', 'no such domain: NOENT'),
  rule(39, 'UNMAP request', 'should', 'a bypass domain: INVAL'),
  rule(40, 'UNMAP request', 'should', 'a mapping would be split: RANGE, nothing removed'),
  rule(41, 'UNMAP request', 'should', 'all covered mappings go; holes are no mistake'),
  rule(42, PROBE, 'must', '`reserved` is ignored'),
  rule(43, PROBE, 'should', 'no such endpoint: NOENT'),
  rule(44, PROBE, 'should', 'PROBE not offered: unwritten, used length 0'),
  rule(45, PROBE, 'must', 'the reserved bits of a property are zero'),
  rule(46, PROBE, 'must', '`length` does not count the header'),
  rule(47, PROBE, 'must', 'the next property follows at `length` + 4'),
  rule(48, PROBE, 'should', 'too little room: INVAL, no property'),
  rule(49, PROBE, 'should', 'the rest of the area is zero'),
  rule(50, PROBE, 'should', 'the reserved bytes of RESV_MEM are zero'),
  rule(51, PROBE, 'should', 'one MSI region for an endpoint at most'),
  rule(52, PROBE, 'should', 'the regions of an endpoint do not overlap'),
  rule(53, PROBE, 'should', 'accesses to a RESERVED region touch nothing else'),
  rule(
    54,
    FAULTS,
    'may',
    'without a buffer a report waits or is dropped',
    '`faultsWithoutBuffer`, default wait',
  ),
  rule(55, FAULTS, 'must', 'reserved fields and undefined flags are zero'),
  rule(56, FAULTS, 'should', '`endpoint` names one that exists', 'no record otherwise'),
  rule(57, FAULTS, 'may', 'ADDRESS can be left out', 'always set'),
  rule(58, FAULTS, 'should', 'a report does not span buffers; a short one gets its start'),
  rule(59, FAULTS, 'should', 'an internal error is DEVICE_NEEDS_RESET, not a report'),
  rule(60, 'Virtqueues / Message Framing', 'must', 'no assumption about descriptors'),
  rule(
    61,
    'Virtqueues / The Virtqueue Used Ring',
    'must',
    'the used length counts from the first writable byte',
  ),
  rule(
    62,
    'Virtqueues / Indirect Descriptors, Notification Suppression',
    'must',
    'indirect tables and event indexes, when offered',
  ),
  rule(63, 'Reserved Feature Bits', 'must', 'VERSION_1 is offered'),
  rule(
    64,
    OPERATION,
    'definition',
    'a request with a status reports the full length of its format',
  ),
];

/** What known implementations get wrong: the checks of `checks.test.ts`. */
export const CHECK_COUNT = 20;
