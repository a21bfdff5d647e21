import { readFileSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { z } from 'zod';

import { MemoryStore } from '../src/endpoints/index.ts';
import type { ServerSetup, SetupContext } from '../src/vfio-user/index.ts';

/** What the server's thread has done and used so far. */
export interface ServerCounters {
  readonly maps: number;
  readonly unmaps: number;
  /** Notifications of the request queue that were acted on. */
  readonly kicks: number;
  /** Seconds that the thread ran, and waited for a core. */
  readonly ran: number;
  readonly waited: number;
}

const DATA = z.object({ events: z.boolean(), profile: z.string() });

/** Runs in the server's thread: disks in memory, counters, and a profile when asked for. */
export function setup(context: SetupContext): ServerSetup {
  const { events, profile } = DATA.parse(context.data);
  const inspector = profile === '' ? undefined : new Session();
  let heard = 0;
  return {
    machine: { store: ({ device }) => new MemoryStore(new Uint8Array(Number(device?.size ?? 0n))) },
    questions: {
      begin: () => {
        if (events) context.machine().subscribe(() => void heard++);
        inspector?.connect();
        inspector?.post('Profiler.enable');
        inspector?.post('Profiler.start');
      },
      end: () => {
        inspector?.post('Profiler.stop', (error, answer) => {
          if (error === null) writeFileSync(profile, JSON.stringify(answer.profile));
        });
        return heard;
      },
      counters: (): ServerCounters => {
        const [viommu] = context.machine().viommus.values();
        const counters = viommu?.device.state.counters;
        const [ran = 0, waited = 0] = readFileSync('/proc/thread-self/schedstat', 'utf8')
          .split(' ')
          .map(Number);
        return {
          maps: counters?.map ?? 0,
          unmaps: counters?.unmap ?? 0,
          kicks: counters?.kicks ?? 0,
          ran: ran / 1e9,
          waited: waited / 1e9,
        };
      },
    },
  };
}
