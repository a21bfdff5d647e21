import type { Fields } from './fields.ts';
import type { GuestResult } from './report-types.ts';

/** What an `edustart` line said, for the `edu` line that ends it. */
export interface EduStart {
  readonly number: number;
  readonly iova: bigint;
  readonly bytes: number;
  readonly gpa: bigint;
}

const PLAIN = [
  'bind',
  'unbind',
  'type',
  'wait',
  'remove',
  'rescan',
  'mark',
  'awaited',
  'plug',
  'transfer',
  'vfio',
  'vfioend',
] as const;

/** The outcome that a line of this kind tells of, or undefined when it is another kind. */
export function resultOf(
  kind: string,
  number: number,
  fields: Fields,
  eduStart: EduStart | undefined,
): GuestResult | undefined {
  const at = fields.text('at');
  const status = fields.text('status');
  const name = fields.text('name');
  const error = fields.text('error');
  const place = { offset: fields.count('offset'), bytes: fields.count('bytes') };
  const sha256 = fields.text('sha256');
  switch (kind) {
    case 'disk': {
      const size = fields.count('size');
      return { verb: kind, number, at, status, name, size, ...place, sha256, error };
    }
    case 'write': {
      const reread = fields.text('reread');
      return { verb: kind, number, at, status, name, ...place, sha256, reread, error };
    }
    case 'nic':
      return {
        verb: kind,
        number,
        at,
        status,
        name,
        target: fields.text('target'),
        sent: fields.count('sent'),
        received: fields.count('received'),
        rxBytes: fields.count('rx'),
        txBytes: fields.count('tx'),
        error,
      };
    case 'edu':
      return {
        verb: kind,
        number,
        startNumber: eduStart?.number ?? number,
        at,
        status,
        dir: fields.text('dir'),
        group: fields.integer('group'),
        iova: eduStart?.iova ?? 0n,
        bytes: eduStart?.bytes ?? 0,
        gpa: eduStart?.gpa ?? 0n,
        changed: fields.text('changed') === '1',
      };
    case 'dma':
      return {
        verb: kind,
        number,
        at,
        status,
        aim: fields.text('aim'),
        dir: fields.text('dir'),
        group: fields.integer('group'),
        iova: fields.wide('iova') ?? 0n,
        state: Number(fields.wide('state') ?? 0n),
        changed: fields.text('changed') === '1',
      };
    default: {
      const verb = PLAIN.find((known) => known === kind);
      return verb === undefined ? undefined : { verb, number, at, fields: fields.all };
    }
  }
}
