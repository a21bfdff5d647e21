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
    stimulus: 'an access by an endpoint that no ATTACH named since the last DETACH',
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
