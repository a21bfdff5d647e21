import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { LINE_MAX, LineSplitter } from '../../../src/qemu/lines.ts';
import { parseTraceLine, traceEvents } from '../../../src/qemu/index.ts';

/** Lines of QEMU 7.2.22 as it printed them. */
const MEASURED: readonly (readonly [string, object])[] = [
  [
    'virtio_iommu_get_features device supports features=0x10179000077',
    { kind: 'features', features: 0x10179000077n },
  ],
  ['virtio_iommu_device_status driver status = 11', { kind: 'status', status: 11 }],
  ['virtio_iommu_device_reset reset!', { kind: 'reset', system: false }],
  ['virtio_iommu_system_reset system reset!', { kind: 'reset', system: true }],
  [
    'virtio_iommu_get_config page_size_mask=0xfffffffffffff000 input range start=0x0 input range end=0xffffffffffffffff domain range start=0 domain range end=-1 probe_size=0x200 bypass=0x1',
    {
      kind: 'config',
      pageSizeMask: 0xffff_ffff_ffff_f000n,
      inputRange: { start: 0n, end: 0xffff_ffff_ffff_ffffn },
      domainRange: { start: 0, end: 0xffff_ffff },
      probeSize: 512,
      bypass: true,
    },
  ],
  [
    'virtio_iommu_fill_resv_property dev= 16, type=1 start=0x8090000 end=0x809ffff',
    {
      kind: 'probe-region',
      endpoint: 16,
      type: 'msi',
      range: { start: 0x8090000n, end: 0x809ffffn },
    },
  ],
  ['virtio_iommu_attach domain=0 endpoint=16', { kind: 'attach', domain: 0, endpoint: 16 }],
  ['virtio_iommu_get_endpoint Alloc endpoint=16', { kind: 'endpoint', endpoint: 16 }],
  ['virtio_iommu_get_domain Alloc domain=0', { kind: 'domain', domain: 0 }],
  [
    'virtio_iommu_map domain=0 virt_start=0xffffe000 virt_end=0xffffffff phys_start=0x438c2000 flags=3',
    {
      kind: 'map',
      domain: 0,
      virt: { start: 0xffffe000n, end: 0xffffffffn },
      phys: 0x438c2000n,
      flags: 3,
    },
  ],
  [
    'virtio_iommu_translate mr=virtio-iommu-memory-region-2-16 rid=16 addr=0xfffff002 flag=1',
    {
      kind: 'translate',
      region: 'virtio-iommu-memory-region-2-16',
      rid: 16,
      iova: 0xfffff002n,
      flag: 1,
    },
  ],
  [
    'virtio_iommu_translate_out 0xfffff002 -> 0x438c3002 for sid=16',
    { kind: 'translated', endpoint: 16, iova: 0xfffff002n, phys: 0x438c3002n },
  ],
  [
    'virtio_iommu_unmap domain=0 virt_start=0xffffa000 virt_end=0xffffafff',
    { kind: 'unmap', domain: 0, virt: { start: 0xffffa000n, end: 0xffffafffn } },
  ],
  [
    'virtio_iommu_unmap_done domain=0 virt_start=0xffffa000 virt_end=0xffffafff',
    { kind: 'unmap-done', domain: 0, virt: { start: 0xffffa000n, end: 0xffffafffn } },
  ],
  ['virtio_iommu_put_domain Free domain=0', { kind: 'domain-gone', domain: 0 }],
  ['virtio_iommu_put_endpoint Free endpoint=16', { kind: 'endpoint-gone', endpoint: 16 }],
  [
    'qemu-system-x86_64: virtio_iommu_translate sid=250 is not known!!',
    { kind: 'complaint', endpoint: 250 },
  ],
];

describe('trace lines', () => {
  test.each(MEASURED)('%s', (line, event) => {
    expect(parseTraceLine(line)).toMatchObject({ ...event, text: line });
  });

  test('a time stamp in front becomes the time', () => {
    const line = '11373@1795382722.001466:virtio_iommu_attach domain=0 endpoint=16';
    expect(parseTraceLine(line)).toMatchObject({ kind: 'attach', time: 1795382722.001466 });
  });

  test('a fault tells its address only when the flag says that there is one', () => {
    const line =
      'virtio_iommu_report_fault FAULT reason=2 flags=258 endpoint=24 address =0xdead000';
    expect(parseTraceLine(line)).toEqual({
      kind: 'fault',
      reason: 'mapping',
      endpoint: 24,
      write: true,
      address: 0xdead000n,
      text: line,
    });
    expect(parseTraceLine(line.replace('258', '1'))).not.toHaveProperty('address');
  });

  test.each([
    '',
    'virtio_iommu_',
    'virtio_iommu_attach',
    'virtio_iommu_attach domain=0 endpoint=',
    'virtio_iommu_attach domain=0x endpoint=1',
    'virtio_iommu_init_iommu_mr init virtio-iommu-memory-region-0-0',
    'virtio_blk_attach domain=0 endpoint=16',
    'qemu-system-x86_64: no buffer available in event queue to report event',
  ])('no event: %j', (line) => {
    expect(parseTraceLine(line)).toBeUndefined();
  });

  test('no text throws, not even one that is nearly right', () => {
    const texts = MEASURED.map(([line]) => line);
    fc.assert(
      fc.property(fc.constantFrom(...texts), fc.nat(200), fc.string(), (line, at, noise) => {
        const cut = at % line.length;
        parseTraceLine(line.slice(0, cut) + noise + line.slice(cut));
        parseTraceLine(noise);
      }),
      { numRuns: 2000 },
    );
  });

  test('accesses are traced only when asked for', () => {
    expect(traceEvents('none')).toEqual([]);
    expect(traceEvents('requests')).not.toContain('virtio_iommu_translate');
    expect(traceEvents('requests')).toContain('virtio_iommu_attach');
    expect(traceEvents('accesses')).toContain('virtio_iommu_translate');
  });
});

describe('lines', () => {
  test('come out the same however the bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.stringMatching(/^[ -~]{0,40}$/)),
        fc.array(fc.nat(50)),
        (lines, cuts) => {
          const text = lines.map((line) => `${line}\n`).join('');
          const out: string[] = [];
          const splitter = new LineSplitter((line) => out.push(line));
          let at = 0;
          for (const cut of cuts) {
            splitter.push(Buffer.from(text.slice(at, at + cut)));
            at += cut;
          }
          splitter.push(text.slice(at));
          splitter.end();
          expect(out).toEqual(lines);
        },
      ),
    );
  });

  test('a line without end is cut, and the next one is whole', () => {
    const out: string[] = [];
    const splitter = new LineSplitter((line) => out.push(line));
    for (let i = 0; i < 100; i++) splitter.push('x'.repeat(10_000));
    splitter.push('\nnext\r\n');
    expect(out.map((line) => line.length)).toEqual([LINE_MAX, 4]);
  });
});
