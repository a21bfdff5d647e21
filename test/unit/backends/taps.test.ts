import { describe, expect, test } from 'vitest';
import { bootPlan } from '../../../src/backends/plan.ts';
import { TapLink } from '../../../src/backends/tap-link.ts';
import { closeTaps, openTaps, tapPlan, withTaps } from '../../../src/backends/taps.ts';
import { VirtioNet } from '../../../src/endpoints/index.ts';
import { EnvironmentError, formatPlan } from '../../../src/guest/index.ts';
import type { Observation } from '../../../src/scenario/index.ts';
import { VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_HOST_TSO4 } from '../../../src/spec/virtio-net.ts';
import { openTap } from '../../../src/vfio-user/index.ts';
import { FakeTaps } from '../../support/fake-taps.ts';
import { shippedModel } from '../../support/model-guest.ts';

const EIO = 5;
const EBADFD = 77;

const ATTACHMENT = {
  endpoint: 'net0',
  tap: 'tap0',
  address: '192.168.7.2/24',
  peer: '192.168.7.1',
};

function link(): { sys: FakeTaps; cable: TapLink; got: Uint8Array[]; times: () => number } {
  const sys = new FakeTaps();
  let times = 0;
  const cable = new TapLink(openTap('tap0', sys), () => void times++);
  const got: Uint8Array[] = [];
  cable.connect((frame) => void got.push(frame));
  return { sys, cable, got, times: () => times };
}

describe('a cable to a TAP interface', () => {
  test('frames go both ways, and whoever sleeps is woken once', () => {
    const { sys, cable, got, times } = link();
    expect(cable.work()).toBe(true);
    expect(times()).toBe(0);
    sys.incoming.push(Uint8Array.of(1), Uint8Array.of(2));
    expect(cable.work()).toBe(true);
    expect([got.map(([first]) => first), times()]).toEqual([[1, 2], 1]);
    cable.transmit(Uint8Array.of(3));
    expect(sys.written).toEqual([Uint8Array.of(3)]);
    expect(cable.troubles).toEqual([]);
  });

  test('a flood is taken in parts', () => {
    const { sys, cable, got } = link();
    for (let i = 0; i < 100; i++) sys.incoming.push(Uint8Array.of(i));
    cable.work();
    const first = got.length;
    expect(first).toBeLessThan(100);
    cable.work();
    expect(got.map(([number]) => number)).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });

  test('an interface that is down, and one that goes, are told of', () => {
    const { sys, cable } = link();
    sys.writeError = EIO;
    cable.transmit(Uint8Array.of(1));
    expect(cable.troubles).toEqual(['tap0 was down: 1 frame lost (ip link set tap0 up)']);
    sys.writeError = 12;
    cable.transmit(Uint8Array.of(1));
    cable.transmit(Uint8Array.of(1));
    sys.readError = EBADFD;
    expect([cable.work(), cable.work()]).toEqual([false, false]);
    sys.writeError = 0;
    cable.transmit(Uint8Array.of(1));
    expect(sys.written).toEqual([]);
    expect(cable.troubles).toEqual([
      'tap0 was deleted while the guest ran',
      'tap0 was down: 1 frame lost (ip link set tap0 up)',
      'tap0 did not take 2 frames',
    ]);
  });

  test('a NIC on it is connected when it is made, and offers no frames longer than a wire’s', () => {
    const { cable } = link();
    const nic = new VirtioNet({ mac: new Uint8Array(6), link: cable });
    for (const bit of [VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_GUEST_TSO4]) {
      expect((nic.features >> BigInt(bit)) & 1n).toBe(0n);
    }
    const { sys, cable: other } = link();
    const late = new VirtioNet({ mac: new Uint8Array(6), link: other });
    // Nobody drives it yet: the frame has come to the NIC, and is lost there.
    sys.incoming.push(new Uint8Array(60));
    other.work();
    expect(late.dropped).toBe(1);
  });
});

describe('TAP interfaces of a run', () => {
  test('are open all, or none', () => {
    const sys = new FakeTaps();
    const two = [ATTACHMENT, { ...ATTACHMENT, endpoint: 'net1', tap: 'tap1' }];
    const taps = openTaps(two, sys);
    expect([...sys.held.values()]).toEqual(['tap0', 'tap1']);
    closeTaps(taps);
    expect(sys.held.size).toBe(0);
    // The second is busy: the first has it.
    const once = (): unknown => openTaps([ATTACHMENT, { ...ATTACHMENT, endpoint: 'net1' }], sys);
    expect(once).toThrow(EnvironmentError);
    expect(once).toThrow(/tap0 cannot be used: another program has it open/u);
    expect(sys.held.size).toBe(0);
  });

  test('the guest pings the address that was said, and tries no DHCP there', () => {
    const model = shippedModel('net-transfer');
    const lines = (taps: Parameters<typeof tapPlan>[0]): string[] =>
      formatPlan(bootPlan(model, () => 0n, tapPlan(taps))).split('\n');
    const plain = lines(undefined);
    expect(plain).toContain('nic at=0000:00:02.0 timeout=15');
    expect(plain.some((line) => line.startsWith('transfer'))).toBe(true);
    const tapped = lines([ATTACHMENT]);
    expect(tapped).toContain(
      'nic at=0000:00:02.0 timeout=15 address=192.168.7.2/24 target=192.168.7.1',
    );
    expect(tapped.some((line) => line.startsWith('transfer'))).toBe(false);
    expect(lines([])).toEqual(plain);
  });

  test('the verdict says what the run depended on, and repeats it', () => {
    const observation = {
      skipped: [],
      environment: {
        backend: 'emulator',
        command: ['viommu-topo'],
        notes: ['before'],
        timings: {},
      },
    } as unknown as Observation;
    const seen = withTaps(observation, [ATTACHMENT], ['trouble'], true);
    expect(seen.skipped).toEqual(['transfer']);
    expect(seen.environment.command).toEqual([
      'viommu-topo',
      '--net',
      'tap=tap0,endpoint=net0,ip=192.168.7.2/24,peer=192.168.7.1',
    ]);
    expect(seen.environment.notes).toEqual([
      'before',
      'net0 is on the TAP interface tap0, as 192.168.7.2/24, and pings 192.168.7.1',
      expect.stringMatching(/^the run is in real time, .* another may differ$/u),
      'trouble',
    ]);
    const usual = { ...ATTACHMENT, address: '10.0.2.15/24', peer: '10.0.2.2' };
    const { environment } = withTaps(observation, [usual], [], false);
    expect(environment.command?.at(-1)).toBe('tap=tap0,endpoint=net0');
    expect(environment.notes.join()).not.toContain('real time');
  });
});
