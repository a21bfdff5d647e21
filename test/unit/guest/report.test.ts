import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { ReportReader, parseConsoleLine, parseReport } from '../../../src/guest/index.ts';
import { ConsoleWriter } from '../../support/console.ts';

const VIOT = Buffer.from('VIOT and what follows it');

/** A boot with one of everything. */
function wholeBoot(): ConsoleWriter {
  return new ConsoleWriter()
    .raw('SeaBIOS (version x)\r\n')
    .kernel('Linux version 6.12.9+x')
    .begin()
    .say('cmdline text=console=ttyS0%20rdinit')
    .say('cmdline text==/init')
    .say('module name=virtio_iommu status=0 error=')
    .kernel('virtio-pci 0000:00:03.0: Adding to iommu group 0')
    .blob('VIOT', VIOT)
    .say('inventory')
    .say('iommu name=0000:00:02.0 at=0000:00:02.0 path=/sys/devices/pci0000:00/0000:00:02.0')
    .say('iommudev iommu=0000:00:02.0 device=0000:00:03.0')
    .say('group id=0 type=DMA-FQ')
    .say('groupdev id=0 device=0000:00:03.0')
    .say('resv id=0 start=0x00000000fee00000 end=0x00000000feefffff type=msi')
    .say(
      'pci at=0000:00:03.0 vendor=0x1af4 device=0x1042 class=0x010000 driver=virtio-pci group=0 iommu=0000:00:02.0 msi=24:msix,25:msix taken=57',
    )
    .say('bar at=0000:00:03.0 index=4 start=0xfebf8000 end=0xfebfbfff flags=0x14220c')
    .say(
      'pci at=0000:00:1f.0 vendor=0x8086 device=0x2918 class=0x060100 driver= group= iommu= msi=',
    )
    .say('platform at=a003e00.virtio_mmio base=0x0a003e00 driver=virtio-mmio group= iommu=')
    .say('virtio name=virtio0 at=0000:00:02.0 device=0x0017 driver=virtio_iommu features=1101')
    .say('block name=vda at=0000:00:03.0 sectors=8192')
    .say('net name=eth0 at=0000:00:04.0 mac=52:54:00:12:34:56')
    .say('deferred device=0000:00:07.0 reason=wait%20for%20supplier')
    .say('disk at=0000:00:03.0 name=vda status=0 size=4194304 offset=0 bytes=512 sha256=ab error=')
    .say('write at=0000:00:03.0 name=vda status=0 offset=0 bytes=512 sha256=cd reread=ef error=')
    .say(
      'nic at=0000:00:04.0 name=eth0 status=0 target=10.0.2.2 carrier=1 sent=3 received=2 rx=4 tx=5',
    )
    .say('edustart at=0000:00:05.0 dir=write iova=0x709a000 bytes=4 gpa=0x709a000')
    .kernel('virtio_iommu virtio0: page fault from EP 40 at 0x709a000 []')
    .say('edu at=0000:00:05.0 status=0 dir=write group=3 before=1 after=1 changed=0 id=0x010000ED')
    .say('aim at=0000:00:06.0 aim=foreign dir=read gpa=0x4263c000')
    .say(
      'dma at=0000:00:06.0 aim=foreign dir=read status=0 group=4 iova=0xfffff000 state=0x00000003 changed=0',
    )
    .say('plugin at=0000:01:00.0')
    .say('plug at=0000:01:00.0 driver=virtio-pci group=5')
    .say('type at=0000:00:05.0 group=3 type=identity error=')
    .end();
}

describe('report of a whole boot', () => {
  const report = parseReport(wholeBoot().text);

  test('is complete, with kernel and times', () => {
    expect(report).toMatchObject({
      complete: true,
      missing: 0,
      complaints: [],
      release: '6.12.9+x',
      version: '#1 SMP',
      cmdline: 'console=ttyS0 rdinit=/init',
      initTime: 0.51,
      endTime: 2.25,
      modules: [{ name: 'virtio_iommu', status: '0', error: '' }],
    });
  });

  test('firmware bytes are those of the guest', () => {
    expect(report.firmware.get('VIOT')?.size).toBe(VIOT.length);
    expect(Buffer.from(report.firmware.get('VIOT')?.bytes ?? []).toString()).toBe(VIOT.toString());
  });

  test('inventory', () => {
    expect(report.inventories).toHaveLength(1);
    expect(report.inventories[0]).toMatchObject({
      iommus: [{ name: '0000:00:02.0', devices: ['0000:00:03.0'] }],
      groups: [
        {
          id: 0,
          type: 'DMA-FQ',
          devices: ['0000:00:03.0'],
          reserved: [{ start: 0xfee0_0000n, end: 0xfeef_ffffn, type: 'msi' }],
        },
      ],
      pci: [
        {
          at: '0000:00:03.0',
          vendor: 0x1af4,
          device: 0x1042,
          class: 0x010000,
          driver: 'virtio-pci',
          group: 0,
          iommu: '0000:00:02.0',
          bars: [{ index: 4, start: 0xfebf_8000n, end: 0xfebf_bfffn, flags: 0x14220cn }],
          msi: [
            { irq: 24, mode: 'msix' },
            { irq: 25, mode: 'msix' },
          ],
          interruptsTaken: 57,
        },
        { at: '0000:00:1f.0', driver: undefined, group: undefined, iommu: undefined, msi: [] },
      ],
      platform: [{ at: 'a003e00.virtio_mmio', base: 0x0a00_3e00n, group: undefined }],
      virtio: [{ device: 23, features: 0b1011n }],
      blocks: [{ name: 'vda', sectors: 8192n }],
      nets: [{ mac: '52:54:00:12:34:56' }],
      deferred: [{ device: '0000:00:07.0', reason: 'wait for supplier' }],
    });
  });

  test('results, and a fault that lies between the lines of its DMA', () => {
    expect(report.results.map(({ verb }) => verb)).toEqual([
      'disk',
      'write',
      'nic',
      'edu',
      'dma',
      'plug',
      'type',
    ]);
    expect(report.results[2]).toMatchObject({ sent: 3, received: 2, rxBytes: 4, txBytes: 5 });
    expect(report.results[4]).toMatchObject({ aim: 'foreign', iova: 0xffff_f000n, state: 3 });
    expect(report.results[5]).toMatchObject({ at: '0000:01:00.0' });
    const edu = report.results[3];
    expect(edu).toMatchObject({ verb: 'edu', iova: 0x709a000n, gpa: 0x709a000n, changed: false });
    const fault = report.kernel.find(({ code }) => code === 'iommu-fault');
    expect(fault).toMatchObject({ endpoint: 40, address: 0x709a000n, reason: 'page', flags: '' });
    expect(edu?.verb === 'edu' ? edu.startNumber : -1).toBe(fault?.after);
  });
});

describe('reports that are not whole', () => {
  test('a lost line is noticed, and the rest counts', () => {
    const report = parseReport(new ConsoleWriter().begin().lose().say('mark tag=x').end().text);
    expect(report).toMatchObject({ complete: false, ended: true, missing: 1, lines: 3 });
    expect(report.results).toHaveLength(1);
  });

  test('a boot that stands still has its last lines', () => {
    const report = parseReport(new ConsoleWriter().begin().kernel('stuck here').text);
    expect(report).toMatchObject({ complete: false, ended: false });
    expect(report.tail.at(-1)).toContain('stuck here');
  });

  test('an end whose count is wrong is no end', () => {
    expect(
      parseReport(new ConsoleWriter().begin().say('end lines=7 uptime=1.0').text).complete,
    ).toBe(false);
  });

  test('bytes with a piece missing, or other than their hash, are not given out', () => {
    const lost = new ConsoleWriter()
      .begin()
      .blob('VIOT', VIOT, 3)
      .text.replace(/^[^\n]*index=1[^\n]*\n/mu, '');
    expect(parseReport(lost).firmware.get('VIOT')?.bytes).toBeUndefined();
    expect(parseReport(lost).complaints.join()).toContain('VIOT');
    const other = new ConsoleWriter()
      .begin()
      .blob('VIOT', VIOT, 1)
      .text.replace(/sha256=../u, 'sha256=zz');
    expect(parseReport(other).firmware.get('VIOT')?.bytes).toBeUndefined();
  });

  test('a table that unpacks to a gigabyte is not unpacked', () => {
    const bomb = new ConsoleWriter()
      .begin()
      .blob('VIOT', new Uint8Array(8 << 20), 1)
      .end();
    const report = parseReport(bomb.text);
    expect(report.firmware.get('VIOT')).not.toHaveProperty('bytes');
    expect(report.complete).toBe(true);
  });

  test('a plan line the guest did not know, another protocol, a torn line', () => {
    const report = parseReport(
      new ConsoleWriter()
        .say('begin protocol=2 release=x uptime=1.0')
        .say('badplan verb=dance')
        .raw('VT1 x torn\n').text,
    );
    expect(report.complaints).toHaveLength(3);
  });
});

describe('lines', () => {
  test('a report behind a program that did not end its line, with CPU and level', () => {
    expect(parseConsoleLine('oops? [    1.000002][    T1] VT1 3 mark tag=a%20b\r')).toEqual({
      type: 'record',
      time: 1.000002,
      number: 3,
      kind: 'mark',
      fields: new Map([['tag', 'a b']]),
    });
    expect(parseConsoleLine('<1>VT1 4 end lines=4')).toMatchObject({ type: 'record', number: 4 });
  });

  test('a value keeps its equals signs; what is no escape stays', () => {
    const line = parseConsoleLine('[ 0.000001] VT1 1 chunk data=ab== text=100%zz');
    expect(line.type === 'record' ? [...line.fields] : []).toEqual([
      ['data', 'ab=='],
      ['text', '100%zz'],
    ]);
  });

  test('the pieces in which the console comes do not matter', () => {
    const { text } = wholeBoot();
    const whole = parseReport(text);
    fc.assert(
      fc.property(fc.array(fc.nat(text.length), { maxLength: 20 }), (cuts) => {
        const reader = new ReportReader();
        let at = 0;
        for (const cut of cuts.toSorted((a, b) => a - b)) {
          reader.push(text.slice(at, cut));
          at = Math.max(at, cut);
        }
        reader.push(text.slice(at));
        expect(reader.finish()).toEqual(whole);
      }),
      { numRuns: 50 },
    );
  });
});

describe('hostile guests', () => {
  test('mutated consoles are read without an exception', () => {
    const { text } = wholeBoot();
    let odd = 0;
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(text.length), fc.string()), { maxLength: 6 }),
        (edits) => {
          let bad = text;
          for (const [at, insert] of edits)
            bad = bad.slice(0, at) + insert + bad.slice(at + insert.length);
          const report = parseReport(bad);
          if (!report.complete) odd += 1;
          expect(report.results.length).toBeLessThan(20);
        },
      ),
      { numRuns: 1000 },
    );
    expect(odd).toBeGreaterThan(0);
  });

  test('any text at all', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
        const rest = text.replaceAll('\n', ' ');
        expect(parseReport(`[ 1.000000] VT1 1 ${rest}\n`).lines).toBeLessThanOrEqual(1);
        expect(parseReport(text).complete).toBe(false);
      }),
      { numRuns: 500 },
    );
  });

  test('numbers that jump, echo or overflow', () => {
    const report = parseReport(
      ['5 mark', '3 mark', '999999999 mark', '99999999999999999999 mark', '999999999 end lines=1']
        .map((line) => `[    1.000000] VT1 ${line}\n`)
        .join(''),
    );
    expect(report).toMatchObject({ lines: 2, complete: false, missing: 999_999_997 });
  });

  test('a guest without end is kept in bounds', () => {
    const reader = new ReportReader();
    for (let round = 0; round < 40; round++) {
      let text = '';
      for (let index = 0; index < 1000; index++) {
        const number = round * 1000 + index + 1;
        const kind = ['mark tag=x', 'inventory', 'module name=m', 'badplan verb=x'][index % 4];
        text += `[    1.000000] VT1 ${number} ${kind}\n`;
        text += `[    2.${String(number).padStart(6, '0')}] Oops: ${number}\n`;
      }
      reader.push(text);
    }
    reader.push('x'.repeat(1 << 20));
    reader.push('x'.repeat(1 << 20));
    const report = reader.finish();
    expect(report.results.length).toBe(10_000);
    expect(report.kernel.length).toBe(10_000);
    expect(report.inventories.length).toBe(64);
    expect(report.modules.length).toBe(1000);
    expect(report.complaints.length).toBe(100);
    expect(report.tail.join('').length).toBeLessThan(100_000);
  });
});
