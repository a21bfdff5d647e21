import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RunRecorder } from '../../src/report/index.ts';
import { frame, launchBrowser, openFile, openText } from '../support/browser.ts';
import { cli } from '../support/cli.ts';
import { busyEvents, sampleReport } from '../support/report.ts';
import {
  sampleDevices,
  sampleGuest,
  sampleModel,
  sampleObservation,
} from '../unit/scenario/samples.ts';

const require = createRequire(import.meta.url);
const axeSource = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

const folder = mkdtempSync(join(tmpdir(), 'viommu-topo-report-'));
const FAULTS = join(folder, 'faults.html');
const BROKEN = join(folder, 'endpoint-not-covered.html');
const INDEX = join(folder, 'index.html');

let browser: Browser;

beforeAll(async () => {
  browser = await launchBrowser();
  const { code, err } = await cli(
    'boot',
    'topologies/faults.yaml',
    'topologies/several-endpoints.yaml',
    'topologies/invalid/endpoint-not-covered.yaml',
    '--force',
    '--backend',
    'model',
    '--report',
    folder,
  );
  expect({ code, said: err.includes(`report: ${INDEX}`) }).toEqual({ code: 1, said: true });
});

afterAll(async () => {
  await browser.close();
  rmSync(folder, { recursive: true, force: true });
});

async function textOf(page: Page, selector: string): Promise<string> {
  return (await page.textContent(selector)) ?? '';
}

describe('a page of a real boot', () => {
  test.each(['faults', 'several-endpoints', 'endpoint-not-covered', 'index'])(
    '%s asks nobody for anything and complains of nothing',
    async (name) => {
      const { page, requests, complaints } = await openFile(browser, join(folder, `${name}.html`));
      expect({ requests, complaints }).toEqual({ requests: [], complaints: [] });
      expect(await page.title()).toMatch(name === 'index' ? /^3 boots/u : new RegExp(name, 'u'));
      await page.context().close();
    },
  );

  test('shows verdict, promises, counters and environment', async () => {
    const { page } = await openFile(browser, FAULTS);
    expect(await textOf(page, '.badge')).toBe('PASS');
    expect(await page.locator('.promise.pass').count()).toBeGreaterThan(15);
    expect(await page.locator('.promise.fail').count()).toBe(0);
    expect(await textOf(page, '#counters')).toMatch(/edu0 \(00:03\.0\)/u);
    expect(await textOf(page, '#environment')).toContain('viommu-topo boot topologies/faults.yaml');
    await page.context().close();
  });

  test('a broken boot opens with its cause, its broken promises and the endpoint in red', async () => {
    const { page } = await openFile(browser, BROKEN);
    expect(await textOf(page, '.badge')).toBe('FAIL');
    expect(await textOf(page, '.cause')).toContain('disk0 (00:02.0) is missing from iommu-map');
    expect(await page.locator('.promise.fail[open]').count()).toBe(
      await page.locator('.promise.fail').count(),
    );
    expect(await page.getAttribute('#endpoint-disk0', 'class')).toContain('failed');
    expect(await page.getAttribute('#endpoint-disk0', 'aria-label')).toMatch(
      /a promise is broken$/u,
    );
    await page.context().close();
  });

  test('the list leads to each page', async () => {
    const { page } = await openFile(browser, INDEX);
    expect(await page.locator('tbody tr').count()).toBe(3);
    await page.click('text=several-endpoints');
    expect(await textOf(page, 'h1')).toBe('several-endpoints');
    await page.context().close();
  });
});

describe('with the keyboard alone', () => {
  test('the skip link, a promise, the timeline, the console, one after the other', async () => {
    const { page } = await openFile(browser, FAULTS);
    const focused = async (): Promise<string> =>
      String(await page.evaluate('document.activeElement.id || document.activeElement.className'));
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('skip');
    await tabTo(page, '.promise summary');
    const first = page.locator('.promise').first();
    expect(await first.getAttribute('open')).toBeNull();
    await page.keyboard.press('Enter');
    expect(await first.getAttribute('open')).toBe('');
    await tabTo(page, '#endpoint-edu0');
    await page.keyboard.press('Enter');
    await frame(page);
    expect(await focused()).toBe('timeline');
    expect(await textOf(page, '#selection')).toContain('edu0 (00:03.0) attached to viommu0');
    await page.keyboard.press('f');
    await frame(page);
    expect(await textOf(page, '#selection')).toMatch(
      /edu0 .* fault: \w+ 0x[0-9a-f]+: nothing mapped/u,
    );
    await tabTo(page, '#console');
    await page.keyboard.press('Home');
    await frame(page);
    expect(await textOf(page, '#selection')).toContain('line 1 of the console');
    await page.keyboard.press('ArrowDown');
    await frame(page);
    const chosen = await page.getAttribute('#console', 'aria-activedescendant');
    expect(chosen).toBe('line-1');
    expect(await page.getAttribute('#line-1', 'aria-selected')).toBe('true');
    await page.context().close();
  });

  test('every place that takes the focus shows it', async () => {
    const { page } = await openFile(browser, FAULTS);
    for (let steps = 0; steps < 60; steps++) {
      await page.keyboard.press('Tab');
      const outline = await page.evaluate(
        `(() => { const at = document.activeElement; return at === document.body ? 'end' : getComputedStyle(at).outlineStyle + ' ' + at.outerHTML.slice(0, 80); })()`,
      );
      if (outline === 'end') break;
      expect(outline).not.toMatch(/^none/u);
    }
    await page.context().close();
  });

  test('arrows go through the events of a lane, and zoom keeps the chosen one in sight', async () => {
    const { page } = await openFile(browser, FAULTS);
    await page.focus('#timeline');
    const seen: string[] = [];
    for (let step = 0; step < 4; step++) {
      await page.keyboard.press('ArrowRight');
      await frame(page);
      seen.push(await textOf(page, '#selection'));
    }
    expect(new Set(seen).size).toBe(4);
    await page.keyboard.press('ArrowLeft');
    await frame(page);
    expect(await textOf(page, '#selection')).toBe(seen[2]);
    const before = await painted(page);
    await page.keyboard.press('+');
    await page.keyboard.press('+');
    await frame(page);
    expect(await textOf(page, '#selection')).toBe(seen[2]);
    expect(await painted(page)).not.toBe(before);
    await page.keyboard.press('0');
    await frame(page);
    expect(await painted(page)).toBe(before);
    await page.context().close();
  });
});

/** Presses Tab until an element has the focus. */
async function tabTo(page: Page, selector: string): Promise<void> {
  for (let steps = 0; steps < 200; steps++) {
    await page.keyboard.press('Tab');
    if (await page.evaluate(`document.activeElement.matches(${JSON.stringify(selector)})`)) return;
  }
  throw new Error(`Tab never comes to ${selector}`);
}

async function painted(page: Page): Promise<string> {
  return String(await page.evaluate(`document.getElementById('timeline').toDataURL()`));
}

describe('what belongs together', () => {
  test('a click on a line moves the timeline, an event marks its line', async () => {
    const lines = Array.from({ length: 20 }, (_, index) => `[    0.0${index}] line ${index}`);
    const html = await sampleReport({ events: busyEvents(2000), lines });
    const { page } = await openText(browser, html);
    await page.click('#line-7');
    await frame(page);
    expect(await textOf(page, '#selection')).toBe('7.000 ms: line 8 of the console');
    await page.focus('#timeline');
    await page.keyboard.press('End');
    await frame(page);
    expect(await page.getAttribute('#line-19', 'aria-selected')).toBe('true');
    expect(await page.getAttribute('#line-7', 'aria-selected')).toBe('false');
    await page.context().close();
  });

  test('live mappings are those at the cursor', async () => {
    const html = await sampleReport({ events: busyEvents(2000) });
    const { page } = await openText(browser, html);
    expect(await textOf(page, '#space-summary')).toMatch(/at the end: \d+ live, [1-9]\d* freed/u);
    await page.click('#live-details summary');
    await page.focus('#timeline');
    await page.keyboard.press('Home');
    for (const key of ['ArrowRight', 'ArrowRight']) await page.keyboard.press(key);
    await frame(page);
    expect(await textOf(page, '#selection')).toContain('maps 0xf002a000 (4 KiB)');
    expect(await textOf(page, '#space-summary')).toContain('1 live, 0 freed, 4 KiB mapped');
    expect(await textOf(page, '#live')).toMatch(
      /^0xf002a000 – 0xf002afff4 KiB0x4002a000read and write60\.0 µs$/u,
    );
    await page.context().close();
  });

  test('a kind that is switched off is neither painted nor stepped to', async () => {
    const html = await sampleReport({ events: busyEvents(2000) });
    const { page } = await openText(browser, html);
    const before = await painted(page);
    for (const kind of ['map', 'unmap', 'msi', 'probe', 'fault']) {
      await page.click(`#kinds .kind-${kind} input`);
    }
    await frame(page);
    expect(await painted(page)).not.toBe(before);
    await page.focus('#timeline');
    await page.keyboard.press('Home');
    await page.keyboard.press('ArrowRight');
    await frame(page);
    expect(await textOf(page, '#selection')).toMatch(/(?:reads|writes) 512 bytes/u);
    await page.context().close();
  });

  test('the console can be searched', async () => {
    const html = await sampleReport({ lines: ['one', 'two of them', 'three'] });
    const { page } = await openText(browser, html);
    await page.fill('#search', 'TWO');
    expect(await textOf(page, '#search-count')).toBe('1 of 3 lines');
    expect(await page.isVisible('#line-0')).toBe(false);
    expect(await page.isVisible('#line-1')).toBe(true);
    await page.context().close();
  });
});

describe('hostile text', () => {
  const evil = `</script><script>window.hacked = 1</script><img src=x onerror="window.hacked = 2"> \u2028 \u0000 ]]>`;

  test('stays text, wherever it comes from', async () => {
    const disks = sampleGuest().disks.map((disk) => ({ device: disk.device, error: evil }));
    const devices = sampleDevices();
    const observation = sampleObservation({
      guest: sampleGuest({ disks, devices, log: [{ text: evil }] }),
      firmware: [{ name: evil, outcome: 'different', differences: [evil], edited: [evil] }],
    });
    const html = await sampleReport({
      model: sampleModel({ name: evil, description: evil }),
      observation,
      lines: [evil, 'after'],
      events: busyEvents(50),
      firmware: [{ name: evil, passed: `a\n${evil}`, seen: `b\n${evil}` }],
    });
    const { page, requests, complaints } = await openText(browser, html);
    expect({ requests, complaints }).toEqual({ requests: [], complaints: [] });
    expect(await page.evaluate('window.hacked')).toBeUndefined();
    expect(await page.locator('img').count()).toBe(0);
    expect(await textOf(page, '#line-0')).toContain('<script>window.hacked = 1</script>');
    expect(await textOf(page, 'h1')).toContain('</script><script>');
    await page.context().close();
  });

  test('the policy of the page forbids what would come in nevertheless', async () => {
    const { page, complaints } = await openFile(browser, FAULTS);
    await page.evaluate(
      `(() => { const script = document.createElement('script'); script.textContent = 'window.hacked = 1'; document.body.append(script); })()`,
    );
    expect(await page.evaluate('window.hacked')).toBeUndefined();
    expect(complaints.join('\n')).toContain('Content Security Policy');
    await page.context().close();
  });
});

describe('accessibility', () => {
  test.each([
    ['faults', 'light', 1280],
    ['faults', 'dark', 1280],
    ['endpoint-not-covered', 'light', 700],
    ['endpoint-not-covered', 'dark', 700],
    ['index', 'dark', 1280],
  ] as const)('axe finds nothing serious: %s, %s, %i px', async (name, scheme, width) => {
    const { page } = await openFile(browser, join(folder, `${name}.html`), { scheme, width });
    await page.evaluate(
      `document.querySelectorAll('details').forEach((one) => { one.open = true; })`,
    );
    await frame(page);
    await page.evaluate(axeSource);
    const { passes, violations } = (await page.evaluate(
      `axe.run(document).then(({ passes, violations }) => ({
        passes: passes.map(({ id }) => id),
        violations: violations.map(({ id, impact, nodes }) => ({ id, impact, at: nodes.slice(0, 3).map(({ html }) => html) })),
      }))`,
    )) as { passes: string[]; violations: { impact: string }[] };
    expect(passes).toEqual(
      expect.arrayContaining(['color-contrast', 'link-name', 'document-title']),
    );
    const serious = violations.filter(({ impact }) => ['serious', 'critical'].includes(impact));
    expect(serious).toEqual([]);
    await page.context().close();
  });

  test('light and dark are two pictures', async () => {
    const grounds = [];
    for (const scheme of ['light', 'dark'] as const) {
      const { page } = await openFile(browser, FAULTS, { scheme });
      grounds.push(await page.evaluate('getComputedStyle(document.body).backgroundColor'));
      grounds.push(await painted(page));
      await page.context().close();
    }
    expect(new Set(grounds).size).toBe(4);
  });

  test.each([1280, 700, 380])('nothing is wider than a window of %i px', async (width) => {
    for (const file of [FAULTS, BROKEN, INDEX]) {
      const { page } = await openFile(browser, file, { width });
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(
        width,
      );
      await page.context().close();
    }
  });
});

describe('a long boot', () => {
  /** Milliseconds until a page can be used, and for 20 steps of zoom and travel. */
  async function measure(html: string): Promise<{ open: number; use: number }> {
    const { page, complaints } = await openText(browser, html);
    const open = Number(
      await page.evaluate(`performance.getEntriesByType('navigation')[0].domComplete`),
    );
    await page.focus('#timeline');
    const use = Number(
      await page.evaluate(`(async () => {
        const canvas = document.getElementById('timeline');
        const start = performance.now();
        for (const key of ['+', 'ArrowRight', '+', 'ArrowDown', 'f', '-', 'PageDown', '0', 'End', 'ArrowLeft']) {
          for (let twice = 0; twice < 2; twice++) {
            canvas.dispatchEvent(new KeyboardEvent('keydown', { key }));
            await new Promise((done) => requestAnimationFrame(done));
          }
        }
        return performance.now() - start;
      })()`),
    );
    expect(complaints).toEqual([]);
    await page.context().close();
    return { open, use };
  }

  test('100,000 events are nearly as quick to use as a thousand', async () => {
    const lines = Array.from({ length: 1000 }, (_, index) => `[    ${index}.0] line ${index}`);
    const small = await sampleReport({ events: busyEvents(1000), lines });
    const large = await sampleReport({ events: busyEvents(100_000), lines });
    expect(large.length).toBeLessThan(8 * 2 ** 20);
    const few = await measure(small);
    const many = await measure(large);
    // A frame of the small page waits for the screen; a hundred times the events may be worth
    // a few frames each, and never a hundred times as much.
    expect(many.use / few.use).toBeLessThan(10);
    expect(many.open / few.open).toBeLessThan(30);
  });

  test('what is left out is said, and faults are kept', async () => {
    const recorder = new RunRecorder({ events: 500, important: 50, lines: 10 });
    const html = await sampleReport({
      recorder,
      events: busyEvents(5000),
      lines: Array.from({ length: 50 }, (_, index) => `line ${index}`),
    });
    const { page } = await openText(browser, html);
    expect(await textOf(page, '#timeline-section')).toMatch(/4,4\d\d events are left out/u);
    expect(await textOf(page, '#console-section')).toContain('40 lines are left out');
    expect(await textOf(page, '#console')).toMatch(/line 4… 40 lines left out …line 45/u);
    await page.focus('#timeline');
    await page.keyboard.press('End');
    await frame(page);
    expect(await textOf(page, '#kinds')).toMatch(/Fault [2-9]\d?/u);
    await page.context().close();
  });
});
