import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { builtImages, modelBackend } from '../../src/backends/index.ts';
import { buildFirmware } from '../../src/firmware/index.ts';
import { reportPage, RunRecorder, topologySvg } from '../../src/report/index.ts';
import { judge, type Observation } from '../../src/scenario/index.ts';
import { loadTopology, type Model } from '../../src/topology/index.ts';
import { frame, launchBrowser, openText } from '../support/browser.ts';

// The pictures of docs/images are what this version draws. After a change that is meant to be seen:
// npm run screenshots

const IMAGES = 'docs/images';
const WRITE = process.env['SCREENSHOTS'] === 'write';

/** Share of pixels that may differ: fonts are smoothed a little differently from machine to machine. */
const TOLERANCE = 0.02;

let browser: Browser;

beforeAll(async () => {
  browser = await launchBrowser();
});

afterAll(async () => {
  await browser.close();
});

function load(file: string): Model {
  const { model } = loadTopology(file);
  if (model === undefined) throw new Error(`${file} does not load`);
  return model;
}

/** A boot on the model, without the figures that no two runs have in common. */
async function pageOf(file: string): Promise<string> {
  const model = load(file);
  const recorder = new RunRecorder();
  const input = {
    model,
    firmware: builtImages(buildFirmware(model), `built from ${file}`),
    timeLimit: 60,
    seed: 'pictures',
  };
  const seen: Observation = await modelBackend().run(input, {
    event: (event) => recorder.event(event),
    console: (line, time) => recorder.console(line, time),
  });
  const observation = { ...seen, environment: { ...seen.environment, timings: { total: 0.1 } } };
  const verdict = judge(model, observation);
  const run = recorder.finish();
  return reportPage({ model, verdict, observation, run, firmware: [], version: '0.0.0' });
}

/** Differing pixels of two PNGs, as a share; 1 when their sizes differ. */
async function difference(page: Page, a: Buffer, b: Buffer): Promise<number> {
  const urls = [a, b].map((png) => `data:image/png;base64,${png.toString('base64')}`);
  return Number(
    await page.evaluate(`(async (urls) => {
      const pixels = await Promise.all(urls.map(async (url) => {
        const image = new Image();
        image.src = url;
        await image.decode();
        const canvas = new OffscreenCanvas(image.width, image.height);
        const context = canvas.getContext('2d');
        context.drawImage(image, 0, 0);
        return context.getImageData(0, 0, image.width, image.height);
      }));
      const [one, other] = pixels;
      if (one.width !== other.width || one.height !== other.height) return 1;
      let different = 0;
      for (let at = 0; at < one.data.length; at += 4) {
        const far = [0, 1, 2].some((colour) => Math.abs(one.data[at + colour] - other.data[at + colour]) > 48);
        if (far) different++;
      }
      return different / (one.data.length / 4);
    })(${JSON.stringify(urls)})`),
  );
}

async function hold(name: string, drawn: Buffer): Promise<void> {
  const file = join(IMAGES, name);
  if (WRITE) writeFileSync(file, drawn);
  expect(existsSync(file), `${file}: npm run screenshots`).toBe(true);
  const stored = readFileSync(file);
  expect(stored.length).toBeLessThan(300_000);
  const page = await browser.newPage();
  const share = await difference(page, stored, drawn);
  await page.close();
  expect(share, `${file} is not what is drawn now: npm run screenshots`).toBeLessThan(TOLERANCE);
}

test('the picture of a topology', async () => {
  const drawn = await topologySvg(load('topologies/pxb.yaml'));
  const file = join(IMAGES, 'graph.svg');
  if (WRITE) writeFileSync(file, drawn);
  expect(readFileSync(file, 'utf8'), 'npm run screenshots').toBe(drawn);
});

test('a broken boot, in the dark', async () => {
  const html = await pageOf('topologies/invalid/endpoint-not-covered.yaml');
  const { page } = await openText(browser, html, { scheme: 'dark', width: 1000 });
  await hold(
    'report-verdict.png',
    await page.screenshot({ clip: { x: 0, y: 0, width: 1000, height: 860 } }),
  );
  await page.context().close();
});

test('the drawing and the timeline', async () => {
  const html = await pageOf('topologies/several-endpoints.yaml');
  const { page } = await openText(browser, html, { width: 1100 });
  await hold('report-topology.png', await page.locator('#drawing').screenshot());
  await page.focus('#timeline');
  for (const key of ['ArrowDown', 'ArrowDown', 'End']) await page.keyboard.press(key);
  await frame(page);
  await hold('report-timeline.png', await page.locator('#timeline-section').screenshot());
  await hold('report-space.png', await page.locator('#space-section').screenshot());
  await page.context().close();
});

test('a picture that differs is found', async () => {
  const { page } = await openText(browser, '<!doctype html><title>a</title><p>one</p>');
  const one = await page.screenshot();
  await page.evaluate(`document.body.style.background = 'teal'`);
  const other = await page.screenshot();
  expect(await difference(page, one, one)).toBe(0);
  expect(await difference(page, one, other)).toBeGreaterThan(0.9);
  await page.context().close();
});
