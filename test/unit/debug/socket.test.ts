import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createConnection, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { execa } from 'execa';
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  DebugClient,
  DebugError,
  serveDebug,
  SocketError,
  type Answerer,
  type DebugServer,
  type Json,
} from '../../../src/debug/index.ts';

const dir = mkdtempSync(join(tmpdir(), 'viommu-topo-debug-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
afterEach(() => vi.restoreAllMocks());

let path: string;
let server: DebugServer;
let answerer: Answerer & { asked: string[] };
let sockets = 0;

beforeEach(async () => {
  path = join(dir, `${sockets++}.sock`);
  answerer = {
    asked: [],
    onNotice: undefined,
    handle(method, params): Json {
      this.asked.push(method);
      if (method === 'stat') throw new DebugError(-32001, 'none of that name');
      if (method === 'list') throw new Error('a mistake of ours');
      return { method, params: params as Json };
    },
  };
  server = await serveDebug(path, answerer, { clients: 3, backlog: 1 << 16 });
});
afterEach(() => server.close());

/** What comes back for bytes, line by line, until the other side hangs up or is quiet. */
async function raw(
  bytes: Uint8Array | string,
  quiet = 60,
): Promise<{ lines: string[]; ended: boolean }> {
  const socket = createConnection(path);
  let text = '';
  let ended = false;
  socket.on('data', (chunk) => (text += chunk.toString('utf8')));
  socket.on('error', () => undefined);
  const closed = new Promise<void>((done) =>
    socket.on('close', () => {
      ended = true;
      done();
    }),
  );
  socket.write(bytes);
  await Promise.race([closed, new Promise((done) => setTimeout(done, quiet))]);
  socket.destroy();
  return { lines: text.split('\n').filter((line) => line !== ''), ended };
}

const codes = (lines: readonly string[]): (number | undefined)[] =>
  lines.map((line) => (JSON.parse(line) as { error?: { code: number } }).error?.code);

describe('who may connect', () => {
  test('the socket is for its owner alone, and so is a directory that is made for it', async () => {
    expect(lstatSync(path).mode & 0o777).toBe(0o600);
    const deep = join(dir, 'made', 'for', 'it', 's');
    const other = await serveDebug(deep, answerer);
    expect(statSync(join(dir, 'made', 'for', 'it')).mode & 0o777).toBe(0o700);
    await other.close();
    expect(lstatSync(deep, { throwIfNoEntry: false })).toBeUndefined();
  });

  test('a client refuses a socket of another user, or one that is open', async () => {
    const uid = process.getuid?.() ?? 0;
    vi.spyOn(process, 'getuid').mockReturnValue(uid + 1);
    await expect(DebugClient.connect(path)).rejects.toThrow('belongs to another user');
    vi.restoreAllMocks();
    chmodSync(path, 0o660);
    await expect(DebugClient.connect(path)).rejects.toThrow('open to others (mode 660)');
  });

  test('a client refuses what is no socket', async () => {
    const file = join(dir, 'file');
    writeFileSync(file, '');
    await expect(DebugClient.connect(file)).rejects.toThrow('is no socket');
    await expect(DebugClient.connect(join(dir, 'absent'))).rejects.toBeInstanceOf(SocketError);
  });

  test.runIf(process.getuid?.() === 0)('another user is kept out by the mode', async () => {
    chmodSync(dir, 0o755);
    const script = `require('net').createConnection(${JSON.stringify(path)}).on('connect', () => process.exit(0)).on('error', (e) => { console.log(e.code); process.exit(7); })`;
    const { exitCode, stdout } = await execa(process.execPath, ['-e', script], {
      uid: 65_534,
      gid: 65_534,
      cwd: '/',
      reject: false,
    });
    expect([exitCode, stdout]).toEqual([7, 'EACCES']);
  });

  test('a path where somebody listens, or something else is, is left alone', async () => {
    await expect(serveDebug(path, answerer)).rejects.toThrow('listens');
    const file = join(dir, 'taken');
    writeFileSync(file, 'mine');
    await expect(serveDebug(file, answerer)).rejects.toThrow('no socket of yours');
    await expect(serveDebug(join(dir, 'x'.repeat(120)), answerer)).rejects.toThrow('107 bytes');
    const open = join(dir, 'open');
    mkdirSync(open);
    chmodSync(open, 0o777);
    await expect(serveDebug(join(open, 's'), answerer)).rejects.toThrow(
      'others may exchange files',
    );
  });

  test('a socket that a killed run left behind is taken over', async () => {
    const stale = join(dir, 'stale');
    const script = `require('net').createServer().listen(${JSON.stringify(stale)}, () => process.kill(process.pid, 'SIGKILL'))`;
    await execa(process.execPath, ['-e', script], { reject: false });
    expect(lstatSync(stale).isSocket()).toBe(true);
    const again = await serveDebug(stale, answerer);
    await again.close();
  });

  test('more clients than there are places are hung up on', async () => {
    const clients: Socket[] = [];
    for (let n = 0; n < 3; n++) clients.push(createConnection(path));
    await new Promise((done) => setTimeout(done, 50));
    expect((await raw('{"jsonrpc":"2.0","id":1,"method":"status"}\n')).ended).toBe(true);
    for (const client of clients) client.destroy();
    await new Promise((done) => setTimeout(done, 50));
    expect((await raw('{"jsonrpc":"2.0","id":1,"method":"status"}\n')).lines).toHaveLength(1);
  });
});

describe('JSON-RPC', () => {
  test('answers, errors, notices', async () => {
    const client = await DebugClient.connect(path);
    expect(await client.ask('dump', { domain: 1 })).toEqual({
      method: 'dump',
      params: { domain: 1 },
    });
    await expect(client.ask('stat')).rejects.toMatchObject({
      code: -32001,
      message: 'none of that name',
    });
    await expect(client.ask('list')).rejects.toMatchObject({ message: 'a mistake of ours' });
    const noticed = new Promise((done) => (client.onNotice = done));
    answerer.onNotice?.('stopped', { reason: 'break' });
    expect(await noticed).toEqual({ method: 'stopped', params: { reason: 'break' } });
    client.close();
  });

  test.each([
    ['no JSON', '{"a":', [-32700]],
    ['no object', '7', [-32600]],
    ['another version', '{"id":1,"method":"status"}', [-32600]],
    ['a batch', '[{"jsonrpc":"2.0","id":1,"method":"status"}]', [-32600]],
    ['an id that is none', '{"jsonrpc":"2.0","id":{},"method":"status"}', [-32600]],
    ['no such method', '{"jsonrpc":"2.0","id":1,"method":"__proto__"}', [-32601]],
    [
      'a good one after a bad one',
      'x\n{"jsonrpc":"2.0","id":1,"method":"status"}',
      [-32700, undefined],
    ],
    ['a notification, which has no answer', '{"jsonrpc":"2.0","method":"status"}', []],
    ['empty lines', '\n\n\n', []],
  ])('%s', async (_, text, expected) => {
    expect(codes((await raw(`${text}\n`)).lines)).toEqual(expected);
  });

  test('a line that never ends is hung up on, whatever it holds', async () => {
    const { lines, ended } = await raw('x'.repeat(200_000), 500);
    expect(ended).toBe(true);
    expect(codes(lines)).toEqual([-32600]);
  });

  test('random bytes never do more than get errors', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 3000 }), async (bytes) => {
        const { lines } = await raw(Buffer.concat([bytes, Buffer.from('\n')]), 15);
        expect(codes(lines).every((code) => code === -32700 || code === -32600)).toBe(true);
      }),
      { numRuns: 40 },
    );
    const client = await DebugClient.connect(path);
    expect(await client.ask('status')).toMatchObject({ method: 'status' });
    client.close();
  });

  test('whoever does not read misses lines of a trace, and is told how many', async () => {
    const client = await DebugClient.connect(path);
    const notices: { method: string; params: Json }[] = [];
    client.onNotice = (notice) => void notices.push(notice);
    // Not a turn of the event loop in between: nothing can be read.
    const line = 'x'.repeat(1000);
    for (let n = 0; n < 5000; n++) answerer.onNotice?.('trace', { line });
    await client.ask('status');
    answerer.onNotice?.('stopped', {});
    await vi.waitFor(() => expect(notices.at(-1)?.method).toBe('stopped'));
    const missed = notices.find(({ method }) => method === 'missed');
    const told = notices.filter(({ method }) => method === 'trace').length;
    const { count } = (missed?.params ?? { count: 0 }) as { count: number };
    expect(told + count).toBe(5000);
    expect(told).toBeLessThan(5000);
    client.close();
  });

  test('a client learns that the run is over, and what it asks then', async () => {
    const client = await DebugClient.connect(path);
    const closed = new Promise<void>((done) => (client.onClose = done));
    await server.close();
    await closed;
    await expect(client.ask('status')).rejects.toBeInstanceOf(SocketError);
  });

  test('a client hangs up on what is no debug server', async () => {
    const other = join(dir, 'other.sock');
    const wrong = createServer((socket) => socket.resume().end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    const umask = process.umask(0o177);
    await new Promise<void>((done) => wrong.listen(other, done));
    process.umask(umask);
    const client = await DebugClient.connect(other);
    await expect(client.ask('status')).rejects.toBeInstanceOf(SocketError);
    await new Promise((done) => wrong.close(done));
  });
});
