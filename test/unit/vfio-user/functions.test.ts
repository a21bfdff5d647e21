import { describe, expect, test } from 'vitest';
import { Outbox } from '../../../src/vfio-user/outbox.ts';
import { numberBuses, servedFunctions } from '../../../src/vfio-user/functions.ts';
import type { MachineEvent } from '../../../src/machine/index.ts';
import { shippedModel } from '../../support/model-guest.ts';
import { servedMachine } from '../../support/vfio-session.ts';

describe('what is served', () => {
  test('vIOMMUs first, then endpoints that are devices; sockets by place', () => {
    const served = servedFunctions(shippedModel('several-endpoints'), '/run/x');
    expect(served.map(({ id }) => id)).toEqual([
      'viommu0',
      'disk0',
      'disk1',
      'net0',
      'disk2',
      'disk3',
    ]);
    expect(served.at(-1)).toMatchObject({ rid: 0x29, socket: '/run/x/0-0029.sock' });
    expect(new Set(served.map(({ socket }) => socket)).size).toBe(served.length);
  });

  test('a vIOMMU behind virtio-mmio and platform devices are not', () => {
    expect(
      servedFunctions(shippedModel('viommu-mmio'), '/x').map(({ kind }) => kind),
    ).not.toContain('viommu');
  });

  test.each(['root-ports', 'q35-root-ports', 'pxb', 'two-viommus', 'segments'])(
    '%s: behind a bridge too, an endpoint has the ID that the topology gives it',
    (name) => {
      const machine = servedMachine(name);
      const behind = machine.units.filter(({ endpoint }) => endpoint?.viommu !== undefined);
      expect(behind.length).toBeGreaterThan(0);
      for (const { placed, endpoint } of behind) {
        const { viommu, endpointId } = endpoint ?? {};
        expect(placed).toEqual({ viommu, endpointId });
      }
    },
  );

  test('numbering twice changes nothing', () => {
    const machine = servedMachine('root-ports');
    const before = machine.units.map(({ placed }) => placed);
    numberBuses(machine);
    expect(machine.units.map(({ placed }) => placed)).toEqual(before);
  });
});

describe('events on their way to another thread', () => {
  function outbox(): {
    box: Outbox;
    posted: { count: number; lost: number }[];
    clock: { now: number; taken: number };
  } {
    const posted: { count: number; lost: number }[] = [];
    const clock = { now: 0, taken: 0 };
    const box = new Outbox(
      (events, lost) => posted.push({ count: events.length, lost }),
      () => clock.taken,
      () => clock.now,
    );
    return { box, posted, clock };
  }
  const event = { order: 1 } as MachineEvent;

  test('wait for others a little, not for ever', () => {
    const { box, posted, clock } = outbox();
    expect(box.patience).toBeUndefined();
    box.add(event);
    box.flush();
    expect([posted.length, box.patience]).toEqual([0, 20]);
    clock.now = 20;
    box.flush();
    expect(posted).toEqual([{ count: 1, lost: 0 }]);
    expect(box.patience).toBeUndefined();
  });

  test('a listener that does not keep up loses some, and is told how many', () => {
    const { box, posted, clock } = outbox();
    for (let i = 0; i < 200_000; i++) {
      box.add(event);
      box.flush();
    }
    expect(posted).toHaveLength(32);
    clock.taken = 32;
    box.flush();
    const got = posted.reduce((sum, { count, lost }) => sum + count + lost, 0);
    box.flush(true);
    const all = posted.reduce((sum, { count, lost }) => sum + count + lost, 0);
    expect(got).toBeLessThan(all);
    expect(all).toBe(200_000);
  });
});
