import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import {
  connectQmp,
  workDirectory,
  type QmpClient,
  type QmpEvent,
} from '../../../src/qemu/index.ts';

const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabilities": ["oob"]}}\r\n';

/** A QEMU that answers each command as `reply` says; undefined: not at all. */
class FakeQemu {
  readonly received: string[] = [];
  socket: Socket | undefined;
  reply: (command: string, id: number) => string | undefined = (_, id) =>
    `{"return": {}, "id": ${id}}\n`;
  #server = createServer((socket) => {
    this.socket = socket;
    socket.on('error', () => undefined);
    socket.write(this.greeting);
    socket.on('data', (chunk) => {
      for (const line of chunk.toString().split('\n').filter(Boolean)) {
        const { execute, id } = JSON.parse(line) as { execute: string; id: number };
        this.received.push(execute);
        const answer = this.reply(execute, id);
        if (answer !== undefined) socket.write(answer);
      }
    });
  });
  greeting = GREETING;

  listen(path: string): Promise<void> {
    return new Promise((resolve) => this.#server.listen(path, resolve));
  }

  close(): void {
    this.socket?.destroy();
    this.#server.close();
  }
}

let fake: FakeQemu;
let client: QmpClient;
let work: { path: string; remove: () => void };

beforeEach(async () => {
  work = await workDirectory();
  fake = new FakeQemu();
  await fake.listen(join(work.path, 'qmp'));
  client = await connectQmp(join(work.path, 'qmp'));
});
afterEach(() => {
  client.close();
  fake.close();
  work.remove();
});

describe('the QMP client', () => {
  test('negotiates, then asks and is answered', async () => {
    await client.negotiate();
    fake.reply = (_, id) => `{"return": {"status": "running"}, "id": ${id}}\n`;
    expect(await client.execute('query-status')).toEqual({ status: 'running' });
    expect(fake.received).toEqual(['qmp_capabilities', 'query-status']);
  });

  test('answers reach the one who asked, in any order', async () => {
    await client.negotiate();
    const ids: number[] = [];
    fake.reply = (_, id) => {
      ids.push(id);
      return ids.length < 2
        ? undefined
        : ids
            .toReversed()
            .map((n) => `{"return": ${n}, "id": ${n}}\n`)
            .join('');
    };
    const [a, b] = await Promise.all([client.execute('a'), client.execute('b')]);
    expect([a, b]).toEqual(ids);
  });

  test("a refusal is an error with QEMU's words", async () => {
    await client.negotiate();
    fake.reply = (_, id) =>
      `{"error": {"class": "GenericError", "desc": "no such thing"}, "id": ${id}}\n`;
    await expect(client.execute('x')).rejects.toMatchObject({
      code: 'qemu/qmp-error',
      message: expect.stringContaining('no such thing') as string,
    });
  });

  test('events are told, in pieces or between answers', async () => {
    const events: QmpEvent[] = [];
    client.onEvent((event) => events.push(event));
    fake.reply = (_, id) =>
      `{"event": "STOP", "timestamp": {}}\n{"event":"X","data":{"a":1}}\n{"return": {}, "id": ${id}}\n`;
    await client.negotiate();
    expect(events).toEqual([
      { event: 'STOP', data: {} },
      { event: 'X', data: { a: 1 } },
    ]);
  });

  test('rubbish between answers is dropped', async () => {
    fake.reply = (_, id) =>
      `rubbish\n\0\n{"return": 1, "id": "x"}\n{"return": 1}\n[]\nnull\n{"return": 7, "id": ${id}}\n`;
    await client.negotiate();
    expect(await client.execute('x')).toBe(7);
  });

  test('whatever waits fails when QEMU goes', async () => {
    await client.negotiate();
    fake.reply = () => {
      fake.socket?.destroy();
      return undefined;
    };
    await expect(client.execute('x')).rejects.toMatchObject({ code: 'qemu/qmp-closed' });
    await expect(client.execute('y')).rejects.toMatchObject({ code: 'qemu/qmp-closed' });
  });

  test('an answer that never comes is a timeout', async () => {
    await client.negotiate();
    fake.reply = () => undefined;
    await expect(client.execute('x', {}, 50)).rejects.toMatchObject({ code: 'qemu/qmp-timeout' });
  });

  test('an endless message ends the connection instead of filling the memory', async () => {
    await client.negotiate();
    const piece = Buffer.alloc(1 << 20, 0x20);
    fake.reply = () => {
      for (let i = 0; i < 20; i++) fake.socket?.write(piece);
      return undefined;
    };
    await expect(client.execute('x')).rejects.toMatchObject({ code: 'qemu/qmp-closed' });
  });
});
