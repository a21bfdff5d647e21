import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { ByteView } from '../../../src/bytes/index.ts';
import {
  ipv4,
  NetPeer,
  patternBytes,
  patternCrc32,
  type Deliver,
  type FrameContext,
} from '../../../src/endpoints/index.ts';
import { internetChecksum, pseudoSum } from '../../../src/endpoints/net/packet.ts';
import { TCP_ACK, TCP_FIN, TCP_HEADER, TCP_RST, TCP_SYN } from '../../../src/spec/ip.ts';

const GUEST = ipv4('10.0.2.15');
const SERVER = ipv4('10.0.2.2');

interface Segment {
  readonly flags: number;
  readonly seq: number;
  readonly ack: number;
  readonly window: number;
  readonly data: Uint8Array;
}

/** The guest's end: one connection, driven by hand. */
class Client {
  readonly peer: NetPeer;
  readonly port: number;
  seq = 0xffff_fff0;
  ack = 0;
  window = 0xffff;
  /** What goes with each frame. */
  how: FrameContext = {};
  readonly #source: number;

  constructor(peer: NetPeer, port: number, source = 40_000) {
    this.peer = peer;
    this.port = port;
    this.#source = source;
  }

  /** Sends a segment as it stands; answers what came back, checksums verified. */
  send(flags: number, data: Uint8Array = new Uint8Array(0), at: Partial<Segment> = {}): Segment[] {
    const answers: Segment[] = [];
    const frame = this.#frame(flags, data, at);
    const take: Deliver = (answer, most = 0) => {
      const segment = read(answer, most);
      if (segment) answers.push(segment);
    };
    this.peer.transmit(frame, take, this.how);
    return answers;
  }

  open(mss = 1460): void {
    const [answer] = this.send(TCP_SYN, new Uint8Array([2, 4, mss >> 8, mss & 0xff]));
    expect(answer?.flags).toBe(TCP_SYN | TCP_ACK);
    this.seq = (this.seq + 1) >>> 0;
    expect(answer?.ack).toBe(this.seq);
    this.ack = ((answer?.seq ?? 0) + 1) >>> 0;
    expect(this.send(TCP_ACK)).toEqual([]);
  }

  #frame(flags: number, data: Uint8Array, at: Partial<Segment>): Uint8Array {
    const options = (flags & TCP_SYN) === 0 ? 0 : data.length;
    const bytes = Buffer.alloc(54 + data.length);
    bytes.set(this.peer.mac, 0);
    bytes.set([0x52, 0x54, 0, 0x12, 0x34, 0x56, 8, 0, 0x45], 6);
    bytes.writeUInt16BE(40 + data.length, 16);
    bytes.set([64, 6], 22);
    bytes.writeUInt32BE(GUEST, 26);
    bytes.writeUInt32BE(SERVER, 30);
    bytes.writeUInt16BE(internetChecksum(bytes.subarray(14, 34)), 24);
    bytes.writeUInt16BE(this.#source, 34);
    bytes.writeUInt16BE(this.port, 36);
    bytes.writeUInt32BE(at.seq ?? this.seq, 38);
    bytes.writeUInt32BE(at.ack ?? this.ack, 42);
    bytes.set([(5 + options / 4) << 4, flags], 46);
    bytes.writeUInt16BE(at.window ?? this.window, 48);
    bytes.set(data, 54);
    const sum = internetChecksum(bytes.subarray(34), pseudoSum(GUEST, SERVER, 6, 20 + data.length));
    bytes.writeUInt16BE(sum, 50);
    return bytes;
  }
}

function read(frame: Uint8Array, most: number): Segment | undefined {
  const length = new ByteView(frame, 'be', 'test').u16(16) - 20;
  const segment = frame.subarray(34, 34 + length);
  if (frame[23] !== 6) return undefined;
  expect(internetChecksum(frame.subarray(14, 34))).toBe(0);
  expect(internetChecksum(segment, pseudoSum(SERVER, GUEST, 6, length))).toBe(0);
  expect(frame.length).toBeLessThanOrEqual(most === 0 ? 1514 : 65_549);
  const head = TCP_HEADER.read(new ByteView(segment, 'be', 'test'), 0);
  const data = segment.slice((head.doff >> 4) * 4);
  return { flags: head.flags, seq: head.seq, ack: head.ack_seq, window: head.window, data };
}

function pattern(length: number, seed = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + seed) & 0xff);
}

/** Sends all in segments of 1000 bytes and acknowledges each answer; gives back what was echoed. */
function stream(client: Client, data: Uint8Array): Buffer {
  const back: Uint8Array[] = [];
  const take = (segments: readonly Segment[]): void => {
    for (const { seq, data: part } of segments) {
      if (part.length === 0) continue;
      expect(seq).toBe(client.ack);
      back.push(part);
      client.ack = (client.ack + part.length) >>> 0;
    }
  };
  for (let at = 0; at < data.length; at += 1000) {
    const part = data.subarray(at, at + 1000);
    take(client.send(TCP_ACK, part));
    client.seq = (client.seq + part.length) >>> 0;
  }
  take(client.send(TCP_ACK));
  return Buffer.concat(back);
}

describe('the echo service', () => {
  test('gives back what it gets, over the wrap of the sequence numbers, and closes', () => {
    const client = new Client(new NetPeer(), 7);
    client.open();
    const data = pattern(10_000);
    expect(stream(client, data).equals(data)).toBe(true);
    const [fin] = client.send(TCP_ACK | TCP_FIN);
    expect((fin?.flags ?? 0) & TCP_FIN).toBe(TCP_FIN);
    client.seq = (client.seq + 1) >>> 0;
    expect(fin?.ack).toBe(client.seq);
    client.ack = (client.ack + 1) >>> 0;
    expect(client.send(TCP_ACK)).toEqual([]);
    expect(client.peer.connections).toBe(0);
  });

  test('keeps to the segment size and the window it was told', () => {
    const client = new Client(new NetPeer(), 7);
    client.window = 250;
    client.open(100);
    const answers = client.send(TCP_ACK, pattern(600));
    expect(answers.map(({ data }) => data.length)).toEqual([100, 100, 50]);
    client.seq = (client.seq + 600) >>> 0;
    client.ack = (client.ack + 250) >>> 0;
    client.window = 1000;
    expect(client.send(TCP_ACK).map(({ data }) => data.length)).toEqual([100, 100, 100, 50]);
  });

  test('offers no more window than it has room, and takes no more', () => {
    const client = new Client(new NetPeer(), 7);
    client.window = 0;
    client.open();
    let room = 0xffff;
    for (let i = 0; i < 50; i++) {
      const [answer] = client.send(TCP_ACK, pattern(1400));
      client.seq = answer?.ack ?? 0;
      room = answer?.window ?? 0;
    }
    expect(room).toBe(0);
    client.window = 0xffff;
    const echoed = client.send(TCP_ACK).reduce((sum, { data }) => sum + data.length, 0);
    expect(echoed).toBe(0xffff);
    client.ack = (client.ack + echoed) >>> 0;
    // The window opens again, and that is said.
    expect(client.send(TCP_ACK).map(({ window }) => window)).toEqual([0xffff]);
  });

  test('sends again after three duplicate acknowledgements', () => {
    const client = new Client(new NetPeer(), 7);
    client.open(500);
    const lost = client.send(TCP_ACK, pattern(1200));
    client.seq = (client.seq + 1200) >>> 0;
    expect(lost.map(({ data }) => data.length)).toEqual([500, 500, 200]);
    expect(client.send(TCP_ACK)).toEqual([]);
    expect(client.send(TCP_ACK)).toEqual([]);
    expect(client.send(TCP_ACK)).toEqual(lost);
    client.ack = (client.ack + 1200) >>> 0;
    expect(client.send(TCP_ACK)).toEqual([]);
  });

  test('answers a SYN again, and an acknowledgement of what it never sent', () => {
    const client = new Client(new NetPeer(), 7);
    const [first] = client.send(TCP_SYN);
    expect(client.send(TCP_SYN)).toEqual([first]);
    expect(client.peer.connections).toBe(1);
    client.seq = (client.seq + 1) >>> 0;
    client.ack = ((first?.seq ?? 0) + 1) >>> 0;
    client.send(TCP_ACK);
    const [late] = client.send(TCP_SYN, undefined, { seq: 5 });
    expect([late?.flags, late?.ack]).toEqual([TCP_ACK, client.seq]);
    const [ahead] = client.send(TCP_ACK, pattern(8), { ack: client.ack + 1000 });
    expect([ahead?.flags, ahead?.ack]).toEqual([TCP_ACK, client.seq]);
    expect(client.send(TCP_ACK, pattern(8))[0]?.data.length).toBe(8);
  });

  test('takes what comes again once, and what comes too early not at all', () => {
    const client = new Client(new NetPeer(), 7);
    client.open();
    const first = pattern(100, 1);
    expect(client.send(TCP_ACK, first)).toHaveLength(1);
    const start = client.seq;
    client.seq = (client.seq + 100) >>> 0;
    client.ack = (client.ack + 100) >>> 0;
    const [again] = client.send(TCP_ACK, first, { seq: start });
    expect([again?.ack, again?.data.length]).toEqual([client.seq, 0]);
    const [early] = client.send(TCP_ACK, pattern(10), { seq: client.seq + 50 });
    expect([early?.ack, early?.data.length]).toEqual([client.seq, 0]);
    const [overlap] = client.send(TCP_ACK, Buffer.concat([first, pattern(5, 9)]), { seq: start });
    expect([...(overlap?.data ?? [])]).toEqual([...pattern(5, 9)]);
  });
});

describe('the sink', () => {
  test('says how much it got and its CRC-32, and remembers', () => {
    const client = new Client(new NetPeer(), 9);
    client.open();
    const data = pattern(5000);
    expect(stream(client, data)).toHaveLength(0);
    const answers = client.send(TCP_ACK | TCP_FIN);
    const sum = crc32(data).toString(16).padStart(8, '0');
    expect(Buffer.concat(answers.map((answer) => answer.data)).toString()).toBe(`5000 ${sum}\n`);
    expect(answers.at(-1)?.flags).toBe(TCP_ACK | TCP_FIN);
    client.seq = (client.seq + 1) >>> 0;
    client.ack = (client.ack + 14 + 1) >>> 0;
    client.send(TCP_ACK);
    expect(client.peer.sinks).toEqual([{ from: GUEST, bytes: 5000, crc32: crc32(data) }]);
  });
});

/** Takes what a peer sends, acknowledging all of it, until it has no more. */
function drain(client: Client, first: readonly Segment[]): { data: Buffer; sizes: number[] } {
  const parts: Uint8Array[] = [];
  let answers = first;
  while (answers.length > 0) {
    for (const { seq, data, flags } of answers) {
      if (data.length === 0 && (flags & TCP_FIN) === 0) continue;
      expect(seq).toBe(client.ack);
      parts.push(data);
      client.ack = (client.ack + data.length + ((flags & TCP_FIN) !== 0 ? 1 : 0)) >>> 0;
    }
    answers = client.send(TCP_ACK);
  }
  return { data: Buffer.concat(parts), sizes: parts.map(({ length }) => length) };
}

describe('the transfer service', () => {
  const line = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
  const hex = (data: Uint8Array): string => crc32(data).toString(16).padStart(8, '0');

  test('counts and sums what it is sent, its line cut anywhere, and closes', () => {
    const client = new Client(new NetPeer(), 1919);
    client.open();
    const data = pattern(5000);
    const all = Buffer.concat([line('send 5000\n'), data]);
    expect(client.send(TCP_ACK, all.subarray(0, 3))).toHaveLength(1);
    client.seq = (client.seq + 3) >>> 0;
    const [first, last] = [all.subarray(3, 1400), all.subarray(1400)];
    client.send(TCP_ACK, first);
    client.seq = (client.seq + first.length) >>> 0;
    client.how = { large: true };
    const answers = client.send(TCP_ACK, last);
    client.seq = (client.seq + last.length) >>> 0;
    expect(drain(client, answers).data.toString()).toBe(`5000 ${hex(data)}\n`);
    expect(client.peer.connections).toBe(0);
  });

  test('sends what it is asked for, in frames as large as the guest takes', () => {
    const count = 200_000;
    for (const large of [false, true]) {
      const client = new Client(new NetPeer(), 1919);
      client.open();
      client.how = { large };
      const question = line(`take ${count}\n`);
      const answers = client.send(TCP_ACK | TCP_FIN, question);
      client.seq = (client.seq + question.length + 1) >>> 0;
      const { data, sizes } = drain(client, answers);
      expect(data.length).toBe(count);
      expect(data.equals(patternBytes(0, count))).toBe(true);
      expect(hex(data)).toBe(patternCrc32(BigInt(count)));
      expect(Math.max(...sizes)).toBe(large ? 44 * 1460 : 1460);
    }
  });

  test('closes at once on a line that it does not know, and takes no endless one', () => {
    for (const text of ['give 5\n', 'take x\n', 'take 99999999999999\n', 'x'.repeat(200)]) {
      const client = new Client(new NetPeer(), 1919);
      client.open();
      const [fin] = client.send(TCP_ACK, line(text));
      expect([fin?.data.length, (fin?.flags ?? 0) & TCP_FIN]).toEqual([0, TCP_FIN]);
    }
  });

  test('goes on after a restore, in the middle of what it sends', () => {
    const one = new Client(new NetPeer(), 1919);
    one.open();
    one.window = 2000;
    const question = line('take 70000\n');
    const answers = one.send(TCP_ACK, question);
    const client = new Client(new NetPeer(), 1919);
    client.peer.restore(structuredClone(one.peer.snapshot()));
    client.seq = (one.seq + question.length) >>> 0;
    client.ack = one.ack;
    expect(drain(client, answers).data.equals(patternBytes(0, 70_000))).toBe(true);
  });

  test('acknowledges once for segments that come together', () => {
    const client = new Client(new NetPeer(), 1919);
    client.open();
    const head = line('send 100000\n');
    client.how = { more: true };
    for (let sent = 0; sent < 5; sent++) {
      const part = sent === 0 ? head : pattern(1000);
      expect(client.send(TCP_ACK, part)).toEqual([]);
      client.seq = (client.seq + part.length) >>> 0;
    }
    client.how = { more: false };
    const answers = client.send(TCP_ACK, pattern(1000));
    expect(answers.map(({ ack }) => ack)).toEqual([(client.seq + 1000) >>> 0]);
  });
});

describe('connections', () => {
  test('to other ports are reset', () => {
    const client = new Client(new NetPeer(), 22);
    const [reset] = client.send(TCP_SYN);
    expect(reset?.flags).toBe(TCP_RST | TCP_ACK);
    expect(reset?.ack).toBe(client.seq + 1);
    const [stray] = client.send(TCP_ACK, pattern(4), { ack: 77 });
    expect([stray?.flags, stray?.seq]).toEqual([TCP_RST, 77]);
    expect(client.send(TCP_RST)).toEqual([]);
  });

  test('are no more than 64 at a time, and end by a reset in the window only', () => {
    const peer = new NetPeer();
    const clients = Array.from({ length: 65 }, (_, i) => new Client(peer, 7, 50_000 + i));
    for (const client of clients.slice(0, 64)) client.open();
    expect(clients[64]?.send(TCP_SYN)[0]?.flags).toBe(TCP_RST | TCP_ACK);
    clients[0]?.send(TCP_RST, undefined, { seq: 12 });
    expect(peer.connections).toBe(64);
    clients[0]?.send(TCP_RST);
    expect(peer.connections).toBe(63);
    clients[64]?.open();
  });

  test('go on after a restore', () => {
    const one = new Client(new NetPeer(), 7);
    one.window = 10;
    one.open();
    one.send(TCP_ACK, pattern(50));
    const other = new NetPeer();
    const state = structuredClone(one.peer.snapshot());
    other.restore(state);
    expect(other.snapshot()).toEqual(state);
    const client = new Client(other, 7);
    client.seq = (one.seq + 50) >>> 0;
    client.ack = (one.ack + 10) >>> 0;
    expect([...(client.send(TCP_ACK)[0]?.data ?? [])]).toEqual([...pattern(50).subarray(10)]);
  });

  test('a segment with a wrong checksum is dropped and counted', () => {
    const peer = new NetPeer();
    const client = new Client(peer, 7);
    client.open();
    const before = peer.counters.tcp;
    const answers: Uint8Array[] = [];
    const bad = new Uint8Array(60);
    bad.set(peer.mac);
    bad.set([8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0x62, 0xb5, 10, 0, 2, 15, 10, 0, 2, 2], 12);
    peer.transmit(bad, (answer) => void answers.push(answer));
    expect([answers.length, peer.counters.tcp - before, peer.counters.checksum]).toEqual([0, 0, 1]);
  });
});
