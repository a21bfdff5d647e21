import { describe, expect, test } from 'vitest';
import { compareFirmware, kernelOf, treeDifferences } from '../../../src/backends/firmware-seen.ts';
import { LogCollector, observeGuest } from '../../../src/backends/guest-observation.ts';
import { bootPlan, modulesFor } from '../../../src/backends/plan.ts';
import { ConsoleWatch, endingOf } from '../../../src/backends/qemu-console.ts';
import { TraceTranslator } from '../../../src/backends/qemu-events.ts';
import { FdtNode, str, writeFdt } from '../../../src/fdt/index.ts';
import { formatPlan, parseConsoleLine, parseReport } from '../../../src/guest/index.ts';
import { parseTraceLine } from '../../../src/qemu/index.ts';
import type { DeviceEvent } from '../../../src/scenario/index.ts';
import { endpoint, sampleModel } from '../scenario/samples.ts';

describe('trace to events', () => {
  function translate(...lines: readonly string[]): DeviceEvent[] {
    const events: DeviceEvent[] = [];
    const translator = new TraceTranslator(sampleModel(), (event) => events.push(event));
    for (const line of lines) {
      const event = parseTraceLine(line);
      if (event !== undefined) translator.add(event);
    }
    return events;
  }

  test('requests, accesses, MSIs and faults, numbered in order', () => {
    const events = translate(
      '12@1795384336.500000:virtio_iommu_fill_resv_property dev= 16, type=1 start=0x8090000 end=0x809ffff',
      '12@1795384336.600000:virtio_iommu_attach domain=0 endpoint=16',
      '12@1795384336.700000:virtio_iommu_map domain=0 virt_start=0xffff0000 virt_end=0xffffffff phys_start=0x40000000 flags=3',
      '12@1795384336.750000:virtio_iommu_translate mr=virtio-iommu-memory-region-1-16 rid=16 addr=0xffff0010 flag=2',
      '12@1795384336.750001:virtio_iommu_translate_out 0xffff0010 -> 0x40000010 for sid=16',
      '12@1795384336.800000:virtio_iommu_translate mr=virtio-iommu-memory-region-1-16 rid=16 addr=0x8090040 flag=2',
      '12@1795384336.900000:virtio_iommu_report_fault FAULT reason=2 flags=258 endpoint=16 address =0x1000',
      'qemu-system-aarch64: something else',
    );
    expect(events.map(({ kind, order }) => [order, kind])).toEqual([
      [0, 'probe'],
      [1, 'attach'],
      [2, 'map'],
      [3, 'access'],
      [4, 'msi'],
      [5, 'fault'],
    ]);
    expect(events[0]).toMatchObject({ time: 0, endpoint: 16, regions: [{ type: 'msi' }] });
    expect(events[3]).toMatchObject({ iova: 0xffff_0010n, write: true, how: 'translated' });
    expect(events[5]).toMatchObject({ reason: 'mapping', address: 0x1000n, write: true });
  });
});

describe('the guest in the words of scenario', () => {
  const LINES = [
    'begin protocol=1 release=6.12.95 version=x uptime=1.0',
    'inventory',
    'iommu name=0000:00:01.0 at=0000:00:01.0 path=/x',
    'group id=0 type=DMA',
    'groupdev id=0 device=0000:00:02.0',
    'resv id=0 start=0x8090000 end=0x809ffff type=msi',
    'pci at=0000:00:02.0 vendor=0x1af4 device=0x1042 class=0x010000 driver=virtio-pci group=0 iommu=0000:00:01.0 msi=24:msix,25:msix taken=57',
    'pci at=0000:00:03.0 vendor=0x1af4 device=0x1041 class=0x020000 driver=virtio-pci group= iommu= msi=',
    'virtio name=virtio1 at=0000:00:02.0 device=0x0002 driver=virtio_blk features=01',
    'virtio name=virtio2 at=0000:00:03.0 device=0x0001 driver= features=01',
    'disk at=0000:00:02.0 name=vda status=0 size=1048576 offset=0 bytes=512 sha256=aa error=',
    'write at=0000:00:02.0 name=vda status=0 offset=0 bytes=512 sha256=bb reread=cc error=',
    'disk at=0000:00:08.0 status=absent',
    'nic at=0000:00:03.0 name=eth0 status=0 target=10.0.2.2 sent=3 received=0 rx=0 tx=9 error=',
    'edustart at=0000:00:04.0 dir=write iova=0x4262e000 bytes=4 gpa=0x4262e000',
    'edu at=0000:00:04.0 status=0 dir=write group=2 before=a after=a changed=0 id=0x1',
  ];
  const records = LINES.map((line, index) => `[    1.000000] VT1 ${index + 1} ${line}`);
  const end = `[    2.000000] VT1 ${LINES.length + 1} end lines=${LINES.length + 1} uptime=2.0`;
  const report = parseReport(`${[...records, end].join('\n')}\n`);
  const guest = observeGuest(sampleModel(), report, [], new Map([['disk0', 'aa']]));

  test('devices have the driver that uses them, and their interrupts', () => {
    expect(guest.devices).toEqual([
      {
        name: '0000:00:02.0',
        driver: 'virtio_blk',
        group: 0,
        iommu: '0000:00:01.0',
        interrupts: { kind: 'msi-x', vectors: 2, count: 57 },
      },
      { name: '0000:00:03.0', interrupts: { kind: 'none', vectors: 0 } },
    ]);
    expect(guest.groups).toEqual([
      {
        id: 0,
        type: 'DMA',
        devices: ['0000:00:02.0'],
        reserved: [{ range: { start: 0x809_0000n, end: 0x809_ffffn }, type: 'msi' }],
      },
    ]);
  });

  test('disks, NICs and faults', () => {
    expect(guest.disks).toEqual([
      {
        device: '0000:00:02.0',
        read: { bytes: 512, sha256: 'aa' },
        referenceSha256: 'aa',
        write: { bytes: 512, sha256: 'bb', readBackSha256: 'cc' },
      },
      { device: '0000:00:08.0', error: 'no such device in the guest' },
    ]);
    expect(guest.nics[0]).toMatchObject({ ok: false, received: 0, error: 'no answer to ping' });
    // The device drops the bits above its 28: it is not the watched page that is aimed at.
    expect(guest.faultChecks).toEqual([
      {
        device: '0000:00:04.0',
        aim: 'unmapped',
        address: 0x0262_e000n,
        write: true,
        ran: true,
      },
    ]);
    expect(guest).toMatchObject({ started: true, completed: true, kernel: '6.12.95' });
  });

  test('an edu that reaches the whole page is watched', () => {
    const edu = endpoint('edu0', 0x20, 'edu');
    const device = { ...edu.device, options: { dma_mask: 0xff_ffff_ffff } };
    const model = sampleModel({ endpoints: [{ ...edu, device } as never] });
    expect(observeGuest(model, report, [], new Map()).faultChecks).toEqual([
      {
        device: '0000:00:04.0',
        aim: 'unmapped',
        address: 0x4262_e000n,
        write: true,
        ran: true,
        memoryUnchanged: true,
      },
    ]);
  });

  test('an empty console', () => {
    const nothing = observeGuest(sampleModel(), parseReport(''), [], new Map());
    expect(nothing).toMatchObject({ started: false, completed: false, devices: [], disks: [] });
  });
});

test('kernel messages carry their meaning', () => {
  const log = new LogCollector();
  log.add(parseConsoleLine('no time stamp: not the kernel'));
  log.add(
    parseConsoleLine('[    3.000000] virtio_iommu virtio0: page fault from EP 16 at 0x10 []'),
  );
  expect(log.lines).toEqual([
    {
      time: 3,
      text: 'virtio_iommu virtio0: page fault from EP 16 at 0x10 []',
      meaning: { code: 'iommu-fault', endpoint: 16, address: 0x10n, device: 'virtio0' },
    },
  ]);
});

describe('console', () => {
  const exit = { why: 'silent', limit: 60 } as const;

  test('how a run ended', () => {
    const watch = (...lines: readonly string[]): ReturnType<typeof endingOf> => {
      const console = new ConsoleWatch({}, () => undefined);
      for (const line of lines) console.line(line);
      const { report, log } = console.finish();
      return endingOf(report, log, exit, ['QEMU said so']);
    };
    const begin = '[    1.000000] VT1 1 begin protocol=1 release=6.12 version=x uptime=1';
    expect(watch('hello')).toMatchObject({ kind: 'silent' });
    expect(watch('hello').detail).toBe(
      'not a word for 60 s, before its init script; the last: hello',
    );
    expect(watch(begin, '[    2.000000] Kernel panic - not syncing: Oops')).toMatchObject({
      kind: 'panic',
    });
    expect(watch(begin, '[    2.000000] VT1 2 end lines=2 uptime=2')).toMatchObject({
      kind: 'completed',
    });
    // The guest did all of its plan; a machine that stopped on the way is another story.
    expect(watch(begin, '[    2.000000] VT1 4 end lines=4 uptime=2')).toMatchObject({
      kind: 'machine-exited',
      detail: 'the guest came to its end, but 2 of its report lines were lost',
    });
  });

  test('progress comes once for each stage, and the end is noticed', () => {
    const stages: string[] = [];
    const ends: boolean[] = [];
    const console = new ConsoleWatch({ progress: (stage) => stages.push(stage) }, (ended) =>
      ends.push(ended),
    );
    console.line('[    0.000000] Booting Linux');
    console.line('[    1.000000] VT1 1 module name=a status=0 error=');
    console.line('[    1.100000] VT1 2 module name=b status=0 error=');
    console.line('[    1.200000] VT1 3 end lines=3 uptime=2');
    expect(stages).toEqual([
      'guest: kernel starts',
      'guest: loading drivers',
      'guest: powering off',
    ]);
    expect(ends).toEqual([false, false, false, true]);
  });
});

describe('firmware that the guest has', () => {
  const tree = (model: string): FdtNode =>
    new FdtNode('', { model: str(model) }, [
      new FdtNode('chosen', { bootargs: str(model) }),
      new FdtNode('pcie@0', { status: str('okay') }),
    ]);
  const blob = (bytes: Uint8Array, name: string): never =>
    ({ name, size: bytes.length, sha256: 'seen', bytes }) as never;

  test('what the machine edits is left out', () => {
    const passed = { tree: writeFdt(tree('a')), tables: new Map(), origin: 'test' };
    const same = tree('a');
    same.children[0]?.set('bootargs', str('other'));
    expect(compareFirmware(passed, new Map([['fdt', blob(writeFdt(same), 'fdt')]]))).toMatchObject([
      {
        name: 'device tree',
        outcome: 'identical',
        edited: expect.arrayContaining(['/chosen']) as unknown,
      },
    ]);
    const other = new Map([['fdt', blob(writeFdt(tree('b')), 'fdt')]]);
    expect(compareFirmware(passed, other)[0]?.outcome).toBe('different');
    const cut = new Map([['fdt', blob(writeFdt(tree('a')).subarray(0, 50), 'fdt')]]);
    expect(compareFirmware(passed, cut)[0]?.outcome).toBe('unreadable');
    expect(compareFirmware(passed, new Map())[0]?.outcome).toBe('missing');
  });

  test('differences name node and property', () => {
    const changed = tree('a');
    changed.children[1]?.set('status', str('no'));
    changed.add(new FdtNode('new'));
    expect(treeDifferences(tree('a'), changed)).toEqual([
      '/pcie@0 status is <6e6f00>, was <6f6b617900>',
      '/new was added',
    ]);
    expect(treeDifferences(changed, tree('a'))).toContain('/new is gone');
  });

  test('a table is its bytes', () => {
    const passed = { tables: new Map([['VIOT', Uint8Array.of(1, 2)]]), origin: 'test' };
    const seen = (sha256: string): Map<string, never> =>
      new Map([['VIOT', { name: 'VIOT', size: 2, sha256 } as never]]);
    const right = 'a12871fee210fb8619291eaea194581cbd2531e4b23759d225f6806923f63222';
    expect(compareFirmware(passed, seen(right))[0]?.outcome).toBe('identical');
    expect(compareFirmware(passed, seen('00'))[0]?.outcome).toBe('different');
  });

  test('kernel versions', () => {
    expect(kernelOf('6.12.95+deb12-arm64')).toEqual({ major: 6, minor: 12 });
    expect(kernelOf('next')).toBeUndefined();
    expect(kernelOf(undefined)).toBeUndefined();
  });
});

describe('plan', () => {
  test('reads and writes stay apart, and inside the disk', () => {
    for (const size of [512n, 65_536n, 1n << 20n, 16n << 20n]) {
      const plan = bootPlan(sampleModel(), () => size);
      const text = formatPlan(plan);
      expect(text).toContain('disk at=0000:00:02.0');
      for (const action of plan) {
        if (action.verb !== 'disk' && action.verb !== 'write') continue;
        const end = BigInt((action.offset ?? 0) + (action.bytes ?? 0));
        expect(end).toBeLessThanOrEqual(size);
      }
    }
  });

  test('the order: firmware before drivers, an inventory before and after the tests', () => {
    const verbs = bootPlan(sampleModel(), () => 1n << 20n).map(({ verb }) => verb);
    expect(verbs.slice(0, 3)).toEqual(['firmware', 'modules', 'inventory']);
    expect(verbs.at(-1)).toBe('inventory');
    expect(verbs.filter((verb) => verb === 'edu')).toHaveLength(2);
  });

  test('modules for what is there', () => {
    expect(modulesFor(sampleModel()).toSorted()).toEqual(
      ['pci_stub', 'virtio_blk', 'virtio_iommu', 'virtio_net', 'virtio_pci'].toSorted(),
    );
  });
});
