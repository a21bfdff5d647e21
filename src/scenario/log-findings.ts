import type { LogLine, LogMeaning } from './observation.ts';

/** Kinds of kernel messages that a verdict looks for. */
export type FindingKind =
  | 'oops'
  | 'panic'
  | 'warning'
  | 'hung'
  | 'fault'
  | 'deferred'
  | 'iommu-map'
  | 'viot'
  | 'iommu-driver'
  | 'probe-failed'
  | 'io-error';

export interface LogFinding {
  readonly kind: FindingKind;
  readonly line: LogLine;
  /** Of a fault. */
  readonly fault?: { readonly endpoint: number; readonly address?: bigint };
}

const KINDS: Readonly<Partial<Record<LogMeaning['code'], FindingKind>>> = {
  'iommu-fault': 'fault',
  oops: 'oops',
  panic: 'panic',
  warning: 'warning',
  hang: 'hung',
  'deferred-timeout': 'deferred',
  'deferred-pending': 'deferred',
  'iommu-map-invalid': 'iommu-map',
  viot: 'viot',
  'viommu-message': 'iommu-driver',
  'dma-range': 'iommu-driver',
  'probe-failed': 'probe-failed',
  'io-error': 'io-error',
};

/** What drivers/acpi/viot.c says when it stumbles; other lines merely name the table. */
const VIOT_TROUBLE = /VIOT: |Firmware Bug|No IOMMU node/u;

/** A message that every guest has: QEMU tells of a changed configuration. */
const HARMLESS = /config changed$/u;

/** What in a kernel log matters to a verdict, in order. */
export function logFindings(log: readonly LogLine[]): LogFinding[] {
  return log.flatMap((line): LogFinding[] => {
    const { meaning, text } = line;
    const kind = meaning === undefined ? undefined : KINDS[meaning.code];
    if (meaning === undefined || kind === undefined || HARMLESS.test(text)) return [];
    if (kind === 'viot' && !VIOT_TROUBLE.test(text)) return [];
    if (kind !== 'fault') return [{ kind, line }];
    const { endpoint, address } = meaning;
    if (endpoint === undefined) return [];
    return [{ kind, line, fault: { endpoint, ...(address === undefined ? {} : { address }) } }];
  });
}
