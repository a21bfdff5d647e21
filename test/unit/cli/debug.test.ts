import { mkdtempSync, rmSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { complete, readCalls } from '../../../src/cli/commands/debug/words.ts';
import { interact } from '../../../src/cli/commands/debug/interactive.ts';
import { DebugClient, Inspector, serveDebug, type DebugServer } from '../../../src/debug/index.ts';
import { cli } from '../../support/cli.ts';
import { bootModel, shippedModel } from '../../support/model-guest.ts';

const dir = mkdtempSync(join(tmpdir(), 'viommu-topo-debug-cli-'));
const path = join(dir, 's');
let server: DebugServer;
let inspector: Inspector;

beforeAll(async () => {
  const { machine } = bootModel(shippedModel('its'));
  const control = { hold: () => undefined, release: () => undefined, clock: () => 1_500_000n };
  inspector = new Inspector(machine, control, { tool: 'test', backend: 'model' });
  server = await serveDebug(path, inspector);
});
afterAll(async () => {
  await server.close();
  rmSync(dir, { recursive: true, force: true });
});

const debug = (...words: string[]): ReturnType<typeof cli> => cli('debug', path, ...words);

describe('one-shot', () => {
  test.each([
    ['status', /^its on model: running, 0\.001500 s\n$/u],
    ['list', /^viommu0: 2 endpoints, 2 domains, \d+ mappings, bypass on/u],
    [
      'list endpoints',
      /^viommu0 endpoint 0x10 disk0: domain 0, translated, msi 0x8090000-0x809ffff\n/u,
    ],
    ['stat', /^viommu0: kicks \d+, requests \d+, attach 2/u],
    [
      'dump disk0',
      /^viommu0 domain 0: \d+ mappings, endpoints 0x10\n {2}0x[0-9a-f]+-0x[0-9a-f]+ -> 0x[0-9a-f]+ [RWM-]{3}\n/u,
    ],
    ['dump domain 0', /^viommu0 domain 0/u],
    ['translate disk0 0x1234', /^read of endpoint 0x10 at 0x1234: a fault \(translated\)\n$/u],
    ['translate 00:02.0 0x8090040 write', /\(msi, translated\)\n$/u],
    ['break map 3 disk0', /^break 1: map number 3 of endpoint 0x10 \(viommu0\)\n$/u],
    ['break address 0x1000-0x1fff', /^break 2: address 0x1000-0x1fff\n$/u],
    ['breaks', /^break 1: .*\nbreak 2: .*\n$/u],
    ['delete 1; delete 2; breaks', /no breaks\n$/u],
    ['fault access disk0', /^the next 1 accesses of endpoint 0x10 fail\n$/u],
    ['fault map net0 2', /^the next 2 MAPs for endpoint 0x18 fail\n$/u],
    ['fault record disk0 0xdead000 mapping read', /is queued\n$/u],
    ['print on; print off', /^tracing: print\ntracing: off\n$/u],
    ['pause; wait; continue', /stopped \(pause\) at 0\.001500 s\n.*running/su],
    ['help', /^status\n/u],
  ])('%s', async (line, expected) => {
    const { code, out, err } = await debug(line);
    expect([code, err]).toEqual([0, '']);
    expect(out).toMatch(expected);
  });

  test('JSON, a line for each answer', async () => {
    const { out } = await cli('debug', path, '--format', 'json', 'status; dump disk0');
    const [status, dump] = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as object);
    expect(status).toMatchObject({
      protocol: 1,
      topology: 'its',
      state: 'running',
      viommus: ['viommu0'],
    });
    expect(dump).toMatchObject({ viommu: 'viommu0', endpoints: [16] });
  });

  test.each([
    ['jump', 2, 'there is no command "jump"'],
    ['dump', 2, 'wrong words'],
    ['break map x y z', 2, 'wrong words'],
    ['dump nobody', 2, 'no vIOMMU knows an endpoint nobody'],
    ['continue', 2, 'the guest runs'],
    [';', 2, 'no command'],
  ])('%s is refused', async (line, code, message) => {
    const result = await debug(line);
    expect(result.code).toBe(code);
    expect(result.err).toContain(message);
  });

  test('no socket is a lack of the machine', async () => {
    const { code, err } = await cli('debug', join(dir, 'none'), 'status');
    expect(code).toBe(3);
    expect(err).toContain('cure:');
  });
});

describe('the prompt', () => {
  test('lines are carried out until quit; mistakes do not end it', async () => {
    const client = await DebugClient.connect(path);
    const input = new PassThrough();
    let said = '';
    const io = {
      out: (text: string) => void (said += text),
      outBytes: () => undefined,
      err: (text: string) => void (said += text),
      interactive: false,
      colorOut: false,
      colorErr: false,
      env: {},
      signal: new AbortController().signal,
    };
    input.end('status\nnonsense\ndump nobody\n\nlist domains\nquit\nstat\n');
    const code = await interact(client, io, {
      input,
      output: new PassThrough(),
      isTerminal: false,
    });
    expect(code).toBe(0);
    expect(said).toContain('its on model: running');
    expect(said).toContain('there is no command "nonsense"');
    expect(said).toContain('no vIOMMU knows an endpoint nobody');
    expect(said).toContain('viommu0 domain 0');
    expect(said).not.toContain('kicks');
  });

  test('completion: commands, then their words and the names of endpoints', () => {
    expect(complete('br', [])).toEqual([['break', 'breaks'], 'br']);
    expect(complete('list d', ['disk0'])[0]).toEqual(['domains', 'disk0']);
    expect(complete('translate di', ['disk0', 'net0'])[0]).toEqual(['disk0']);
    expect(complete('break map ', ['disk0'])[0]).toEqual(['disk0']);
  });
});

test('several commands in one line, and in several words', () => {
  expect(readCalls(['break', 'map', '3;', 'continue', ';wait'])).toEqual([
    { kind: 'ask', method: 'break', params: { on: 'map', n: 3 } },
    { kind: 'ask', method: 'continue', params: {} },
    { kind: 'wait' },
  ]);
  expect(readCalls(['break map 0x10'])).toMatchObject([
    { params: { on: 'map', endpoint: '0x10' } },
  ]);
});

test('waiting ends with the run', async () => {
  const waiting = debug('wait');
  await new Promise((done) => setTimeout(done, 50));
  inspector.end();
  const { code, err } = await waiting;
  expect(code).toBe(1);
  expect(err).toContain('the run ended');
});
