import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import {
  renderVerdict,
  verdictJson,
  verdictsJunit,
  verdictsTap,
} from '../../../src/report/index.ts';
import { exitCode, judge, type Verdict } from '../../../src/scenario/index.ts';
import {
  map,
  sampleDevices,
  sampleGuest,
  sampleModel,
  sampleObservation,
  sampleTree,
} from '../scenario/samples.ts';

const passed = judge(sampleModel(), sampleObservation());

/** disk0 left out of the map: in no group, never attached, not read. */
function failedVerdict(text = 'dd: /dev/vda: Input/output error'): Verdict {
  const devices = sampleDevices().map((device) =>
    device.name === '0000:00:02.0' ? { name: device.name, driver: 'virtio-pci' } : device,
  );
  const disks = sampleGuest().disks.map((disk) =>
    disk.device === '0000:00:02.0' ? { device: disk.device, error: text } : disk,
  );
  const iommuMap = map([0, 5, 0, 8], [0x18, 5, 0x18, 0x28]);
  return judge(
    sampleModel(),
    sampleObservation({
      guest: sampleGuest({ devices, disks }),
      described: { from: 'guest', tree: sampleTree({ iommuMap }), diagnostics: [] },
      environment: {
        backend: 'qemu',
        machine: 'QEMU 7.2.22',
        accelerator: { name: 'tcg', why: '/dev/kvm is missing' },
        kernel: { release: '6.12.95', sha256: 'ab'.repeat(32), origin: 'linux-image 6.12.95-1' },
        seed: 'sample',
        timings: { build: 0.1, total: 9.5 },
        serialLog: 'sample.log',
        notes: [],
      },
    }),
  );
}

/** Without colours. */
function strip(text: string): string {
  // oxlint-disable-next-line no-control-regex -- escape sequences are what is looked for
  return text.replaceAll(/\u001B\[\d+m/gu, '');
}

describe('text', () => {
  test('a verdict that passed', () => {
    expect(renderVerdict(passed, { color: false })).toMatchSnapshot();
  });

  test('a verdict that failed names the cause, last of all in one line', () => {
    const text = renderVerdict(failedVerdict(), { color: false });
    expect(text).toMatchSnapshot();
    const last = text.trimEnd().split('\n').at(-1);
    expect(last).toMatch(/^FAIL sample .*disk0 \(00:02\.0\) is missing from iommu-map/u);
  });

  test('verbose shows every item', () => {
    const text = renderVerdict(passed, { color: false, verbose: true });
    for (const item of passed.promises.flatMap(({ items }) => items))
      expect(text).toContain(item.seen);
  });

  test('colour changes nothing but the marks', () => {
    for (const verdict of [passed, failedVerdict()]) {
      const coloured = renderVerdict(verdict, { color: true });
      expect(coloured).not.toBe(strip(coloured));
      expect(strip(coloured)).toBe(renderVerdict(verdict, { color: false }));
    }
  });

  test('what a guest says cannot move the cursor', () => {
    const text = renderVerdict(failedVerdict('\u001B[2Jgone\r\n\u0007'), { color: false });
    expect(text).toContain('\\x1b[2Jgone\\x0d\\x0a\\x07');
  });
});

test('exit codes', () => {
  expect(exitCode(passed)).toBe(0);
  expect(exitCode(failedVerdict())).toBe(1);
});

describe('JSON', () => {
  test('has its schema, the outcome and the first cause', () => {
    const parsed = JSON.parse(verdictJson(failedVerdict())) as Record<string, unknown>;
    expect(parsed).toMatchObject({
      schema: 1,
      kind: 'viommu-topo/verdict',
      outcome: 'fail',
      causes: [{ id: 'iommu-map-gap', endpoints: ['disk0'] }],
      environment: { accelerator: { name: 'tcg' } },
    });
    expect(Object.keys(parsed)).toMatchSnapshot();
  });
});

describe('JUnit', () => {
  test('counts what it lists', () => {
    const failed = failedVerdict();
    const xml = verdictsJunit([passed, failed]);
    const count = (pattern: RegExp): number => xml.match(pattern)?.length ?? 0;
    const promises = [...passed.promises, ...failed.promises];
    expect(count(/<testcase /gu)).toBe(promises.length);
    expect(count(/<failure /gu)).toBe(promises.filter((one) => one.outcome === 'fail').length);
    expect(xml).toContain(`tests="${promises.length}"`);
    expect(count(/<testsuite /gu)).toBe(2);
  });

  test('is well-formed XML whatever the guest says', () => {
    const nasty = '<![CDATA[ ]]> & "quotes" \u0000\u001B\uFFFF\uD800 \u{1F600}\n\t<x>';
    const xml = verdictsJunit([failedVerdict(nasty)]);
    for (const bad of ['<x>', '\u0000', '\u001B', '\uFFFF']) expect(xml).not.toContain(bad);
    const lint = spawnSync('xmllint', ['--noout', '-'], { input: xml, encoding: 'utf8' });
    // xmllint (libxml2-utils) is a second opinion where the machine has it.
    if (lint.error === undefined) expect([lint.status, lint.stderr]).toEqual([0, '']);
  });
});

describe('TAP', () => {
  test('a verdict that passed and one that failed', () => {
    expect(verdictsTap([passed, failedVerdict()])).toMatchSnapshot();
  });

  test('nothing a guest says ends a line, a test point or a block', () => {
    const nasty = 'x\nok 99 - lie # SKIP\nBail out!\n...\n---';
    const lines = (text?: string): number => verdictsTap([failedVerdict(text)]).split('\n').length;
    expect(lines(nasty)).toBe(lines());
  });
});
