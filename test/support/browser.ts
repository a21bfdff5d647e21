import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium, type Browser, type Page } from 'playwright-core';

const CHROMIUM = '/usr/bin/chromium';

/** Everything a browser does by itself is off: what is asked for then is asked for by the page. */
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export async function launchBrowser(): Promise<Browser> {
  if (!existsSync(CHROMIUM)) {
    throw new Error('no chromium: sh bin/install-tools.sh chromium fonts-liberation');
  }
  return chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
}

export interface Opened {
  readonly page: Page;
  /** What the page asked for, itself left out. */
  readonly requests: readonly string[];
  /** Errors and warnings of the page and of its console. */
  readonly complaints: readonly string[];
}

export interface OpenOptions {
  readonly scheme?: 'light' | 'dark';
  readonly width?: number;
}

/** Opens a file in a browser that has no network. */
export async function openFile(
  browser: Browser,
  file: string,
  { scheme = 'light', width = 1280 }: OpenOptions = {},
): Promise<Opened> {
  const context = await browser.newContext({
    colorScheme: scheme,
    viewport: { width, height: 900 },
    offline: true,
    reducedMotion: 'reduce',
  });
  const page = await context.newPage();
  const requests: string[] = [];
  const complaints: string[] = [];
  const url = pathToFileURL(file).href;
  page.on('request', (request) => {
    if (request.url() !== url) requests.push(request.url());
  });
  page.on('pageerror', (error) => complaints.push(error.stack ?? error.message));
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  await page.goto(url);
  await frame(page);
  return { page, requests, complaints };
}

/** A page that has only its text. */
export async function openText(
  browser: Browser,
  html: string,
  options: OpenOptions = {},
): Promise<Opened> {
  const folder = mkdtempSync(join(tmpdir(), 'viommu-topo-page-'));
  try {
    const file = join(folder, 'page.html');
    writeFileSync(file, html);
    return await openFile(browser, file, options);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Waits until everything that was scheduled is painted. */
export async function frame(page: Page): Promise<void> {
  await page.evaluate(
    'new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))',
  );
}
