import type { Deviation } from './deviations.ts';

/** How accesses and their fault records differ; `access.ts` recognises them. */
export const ACCESS_DEVIATIONS = {
  'fault-direction': {
    id: 'fault-direction',
    rule: 'silent',
    stimulus: 'an access that is not mapped, or by an endpoint without a domain',
    qemu: 'the record has neither READ nor WRITE',
    ours: 'the record says which',
  },
  'fault-unattached': {
    id: 'fault-unattached',
    rule: 'silent',
    stimulus: 'an access by an endpoint that no ATTACH has named since the reset',
    qemu: 'reason UNKNOWN',
    ours: 'reason DOMAIN: the endpoint is known, it has none',
  },
  'access-below': {
    id: 'access-below',
    rule: 'D12',
    stimulus: 'an access that starts at the last byte before a mapping',
    qemu: 'may use that mapping, for the byte before its physical start',
    ours: 'only what is mapped there counts',
  },
  'access-last-byte': {
    id: 'access-last-byte',
    rule: 'D30',
    stimulus: 'an access that starts at 2^64 - 1, which is mapped',
    qemu: 'a fault, reason MAPPING',
    ours: 'translated',
  },
  'access-msi-read': {
    id: 'access-msi-read',
    rule: 'D53',
    stimulus: 'a read from the MSI window by an endpoint that is attached',
    qemu: 'passes',
    ours: 'a fault, reason MAPPING: only writes have a meaning there',
  },
  'access-msi-unattached': {
    id: 'access-msi-unattached',
    rule: 'D12',
    stimulus: 'an access to the MSI window by an endpoint that is not attached any more',
    qemu: 'passes',
    ours: 'a fault, reason DOMAIN',
  },
} as const satisfies Readonly<Record<string, Deviation>>;

/** How rings differ; `round.ts` recognises them. */
export const RING_DEVIATIONS = {
  'packed-used-length': {
    id: 'packed-used-length',
    rule: 'D61',
    stimulus: 'any answer or record in a packed ring',
    qemu: 'used length 0, though the bytes are written',
    ours: 'the bytes that were written',
  },
} as const satisfies Readonly<Record<string, Deviation>>;

/** What puts QEMU's device into DEVICE_NEEDS_RESET, and not ours; `round.ts` does each of them. */
export const BREAKING_DEVIATIONS = {
  'request-unanswerable': {
    id: 'request-unanswerable',
    rule: 'D16',
    stimulus: 'a request without a whole head, or without room for a tail',
    qemu: 'DEVICE_NEEDS_RESET, the buffer is never used',
    ours: 'unwritten, used length 0',
  },
  'bypass-not-negotiated': {
    id: 'bypass-not-negotiated',
    rule: 'silent (R2)',
    stimulus: '`config.bypass` written, BYPASS_CONFIG not negotiated',
    qemu: 'DEVICE_NEEDS_RESET',
    ours: 'ignored',
  },
  'bypass-value': {
    id: 'bypass-value',
    rule: 'D5',
    stimulus: '`config.bypass` written with neither 0 nor 1',
    qemu: 'DEVICE_NEEDS_RESET, the value stays',
    ours: 'ignored',
  },
  'event-short-buffer': {
    id: 'event-short-buffer',
    rule: 'D58',
    stimulus: 'a buffer in the event queue that is shorter than a record',
    qemu: 'DEVICE_NEEDS_RESET at the next fault',
    ours: 'gets the start of the record',
  },
} as const satisfies Readonly<Record<string, Deviation>>;

/** What QEMU's process does not survive; `qtest.test.ts` does each of them to one of its own. */
export const FATAL_DEVIATIONS = {
  'probe-short-buffer': {
    id: 'probe-short-buffer',
    rule: 'D48',
    stimulus: 'PROBE with less room than probe_size',
    qemu: 'ends itself by an assertion',
    ours: 'INVAL at the end of the room, no property',
  },
  'unmap-around-reversed': {
    id: 'unmap-around-reversed',
    rule: 'silent',
    stimulus: 'UNMAP around a reversed range that was mapped',
    qemu: 'never answers again: the mapping it finds cannot be removed',
    ours: 'OK: nothing was mapped',
  },
} as const satisfies Readonly<Record<string, Deviation>>;
