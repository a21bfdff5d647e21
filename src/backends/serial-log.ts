import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { threadId } from 'node:worker_threads';

import type { Model } from '../topology/index.ts';

let made = 0;

/** A name for a serial log that no other boot has, of this process or of another one. */
export function serialLogFor(model: Model): string {
  const name = model.name.replaceAll(/[^A-Za-z0-9._-]/gu, '_').slice(0, 80);
  const unique = [
    process.pid,
    ...(threadId === 0 ? [] : [threadId]),
    ...(made === 0 ? [] : [made]),
  ];
  made++;
  return join(tmpdir(), `viommu-topo-${name}-${unique.join('-')}.log`);
}
