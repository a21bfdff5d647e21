import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { ipv4, NetPeer } from '../../../src/endpoints/index.ts';

const GUEST = '525400123456';
const PEER = '52550a000202';

/** Bytes of a frame written with spaces between its fields. */
function frame(...fields: string[]): Uint8Array {
  return Buffer.from(fields.join('').replaceAll(' ', ''), 'hex');
}

function ask(peer: NetPeer, ...frames: Uint8Array[]): string[] {
  const answers: string[] = [];
  for (const each of frames) {
    peer.transmit(each, (answer) => void answers.push(Buffer.from(answer).toString('hex')));
  }
  return answers;
}

describe('a peer', () => {
  test('answers ARP for its address', () => {
    const request = frame(
      'ffffffffffff', // to everybody
      GUEST,
      '0806', // ARP
      '0001 0800 06 04', // Ethernet, IPv4, lengths
      '0001', // request
      GUEST,
      '0a00020f', // 10.0.2.15
      '000000000000',
      '0a000202', // who has 10.0.2.2?
    );
    const reply = [
      GUEST,
      PEER,
      '0806',
      '0001 0800 06 04',
      '0002', // reply
      PEER,
      '0a000202',
      GUEST,
      '0a00020f',
      '00'.repeat(18), // to 60 bytes
    ];
    expect(ask(new NetPeer(), request)).toEqual([reply.join('').replaceAll(' ', '')]);
    const other = request.slice();
    other[41] = 3;
    expect(ask(new NetPeer(), other)).toEqual([]);
  });

  test('answers a ping with the same payload', () => {
    const request = frame(
      PEER,
      GUEST,
      '0800', // IPv4
      '45 00 0024 0001 4000 40 01 22c8', // 36 bytes, DF, TTL 64, ICMP, checksum
      '0a00020f 0a000202',
      '08 00 d4b5 1234 0001', // echo request, checksum, ID, sequence
      '4142434445464748',
    );
    const reply = [
      GUEST,
      PEER,
      '0800',
      '45 00 0024 0001 4000 40 01 22c8',
      '0a000202 0a00020f',
      '00 00 dcb5 1234 0001', // echo reply
      '4142434445464748',
      '00'.repeat(10),
    ];
    const peer = new NetPeer();
    expect(ask(peer, request)).toEqual([reply.join('').replaceAll(' ', '')]);
    const damaged = request.slice();
    damaged[45] = 0;
    const header = request.slice();
    header[20] = 1;
    expect(ask(peer, damaged, header)).toEqual([]);
    expect(peer.counters.checksum).toBe(2);
  });

  test('echoes UDP on port 7, and says of other ports that nobody is there', () => {
    const datagram = (port: string): Uint8Array =>
      frame(
        PEER,
        GUEST,
        '0800',
        '45 00 0020 0001 4000 40 11 22bc', // 32 bytes, UDP
        '0a00020f 0a000202',
        `c000 ${port} 000c 0000`, // from 49152, 12 bytes, no checksum
        '68657921',
      );
    const [echo] = ask(new NetPeer(), datagram('0007'));
    expect(echo?.slice(0, 92)).toBe(
      [
        GUEST,
        PEER,
        '0800',
        '4500002000014000401122bc',
        '0a0002020a00020f',
        '0007c000000c4637', // with a checksum this time
        '68657921',
      ].join(''),
    );
    const [unreachable] = ask(new NetPeer(), datagram('0050'));
    // ICMP type 3, code 3, then the packet that was sent.
    expect(unreachable?.slice(68, 72)).toBe('0303');
    expect(unreachable?.slice(84, 100)).toBe('4500002000014000');
    expect(ask(new NetPeer(), datagram('0009'))).toEqual([]);
  });

  test('does not answer what would not fit a frame', () => {
    const peer = new NetPeer();
    // 1500 bytes of UDP to port 7 fit; with one more the packet is too long for Ethernet.
    const datagram = (length: number, checksum: string): Uint8Array =>
      frame(
        PEER,
        GUEST,
        '0800',
        `45 00 ${(28 + length).toString(16).padStart(4, '0')} 0001 4000 40 11 ${checksum}`,
        '0a00020f 0a000202',
        `c000 0007 ${(8 + length).toString(16).padStart(4, '0')} 0000`,
        'aa'.repeat(length),
      );
    expect(ask(peer, datagram(1472, '1d00'))).toHaveLength(1);
    expect(ask(peer, datagram(1473, '1cff'))).toEqual([]);
    expect(peer.counters.ignored).toBe(1);
  });

  test('ignores what is not for it, and counts what is damaged', () => {
    const peer = new NetPeer();
    const elsewhere = frame('525400999999', GUEST, '0800', '00'.repeat(46));
    const version6 = frame(PEER, GUEST, '86dd', '60'.repeat(46));
    const short = frame(PEER, GUEST, '0800', '45 00 0014');
    const tiny = frame(PEER, GUEST);
    const fragment = frame(
      PEER,
      GUEST,
      '0800',
      '45 00 0014 0001 2000 40 11 42c8 0a00020f 0a000202',
    );
    const long = frame(PEER, GUEST, '0800', '45 00 0fff 0001 4000 40 11 12dd 0a00020f 0a000202');
    expect(ask(peer, elsewhere, version6, short, tiny, fragment, long)).toEqual([]);
    const { ignored, malformed, fragment: fragments } = peer.counters;
    expect([ignored, malformed, fragments]).toEqual([2, 3, 1]);
  });
});

describe('DHCP', () => {
  const message = (type: number, more = '', flags = '0000', mac = GUEST): Uint8Array => {
    const dhcp = [
      '01 01 06 00 deadbeef 0000',
      flags,
      '00000000'.repeat(4),
      mac,
      '00'.repeat(10 + 64 + 128),
      '63825363',
      `35 01 0${type}`,
      more,
      'ff',
    ].join('');
    const bytes = frame(dhcp);
    const word = (value: number): string => value.toString(16).padStart(4, '0');
    const total = 28 + bytes.length;
    const head = `4500${word(total)}0000400040110000 00000000 ffffffff`.replaceAll(' ', '');
    let sum = 0;
    for (let i = 0; i < 40; i += 4) sum += Number.parseInt(head.slice(i, i + 4), 16);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    const ip = head.slice(0, 20) + word(~sum & 0xffff) + head.slice(24);
    const udp = `00440043${word(8 + bytes.length)}0000`;
    return frame('ffffffffffff', mac, '0800', ip, udp, Buffer.from(bytes).toString('hex'));
  };
  /** Where it goes (MAC, IP), the address given, and the message type. */
  const gist = (answer: string | undefined): string[] => {
    const at = (offset: number, size: number): string =>
      answer?.slice(2 * offset, 2 * (offset + size)) ?? '';
    return [at(0, 6), at(30, 4), at(58, 4), at(14 + 20 + 8 + 242, 1)];
  };

  test('offers, acknowledges, and gives each client its own address', () => {
    const peer = new NetPeer();
    const [offer] = ask(peer, message(1));
    expect(gist(offer)).toEqual([GUEST, '0a00020f', '0a00020f', '02']);
    // xid, server identifier, lease of a day, mask, router, name server, end.
    expect(offer).toContain('deadbeef');
    expect(offer).toContain('36040a00020233040001518001 04ffffff00'.replace(' ', ''));
    expect(offer).toContain('03040a00020206040a000202ff');
    const [ack] = ask(peer, message(3, '36040a00020232040a00020f'));
    expect(gist(ack)).toEqual([GUEST, '0a00020f', '0a00020f', '05']);
    const [second] = ask(peer, message(1, '', '0000', '525400123457'));
    expect(gist(second)[2]).toBe('0a000210');
  });

  test('answers everybody when it is asked to, or when it refuses', () => {
    const peer = new NetPeer();
    expect(gist(ask(peer, message(1, '', '8000'))[0])).toEqual([
      'ffffffffffff',
      'ffffffff',
      '0a00020f',
      '02',
    ]);
    expect(gist(ask(peer, message(3, '32040a0002aa'))[0])).toEqual([
      'ffffffffffff',
      'ffffffff',
      '00000000',
      '06',
    ]);
  });

  test('leaves to another server what is for that one, and lies alone', () => {
    const peer = new NetPeer();
    expect(ask(peer, message(3, '36040a00020332040a00020f'))).toEqual([]);
    // An option that goes on past the end.
    expect(ask(peer, message(1, '3cfe'))).toEqual([]);
    expect(peer.counters.malformed).toBe(1);
    for (let i = 0; i < 100; i++)
      ask(peer, message(1, '', '0000', `5254000000${i.toString().padStart(2, '0')}`));
    expect(ask(peer, message(1, '', '0000', '525400000099'))).toEqual([]);
    expect(ask(peer, message(1, '', '0000', '525400000010'))).toHaveLength(1);
  });
});

test('addresses are written as usual', () => {
  expect(ipv4('10.0.2.15')).toBe(0x0a00_020f);
  expect(ipv4('255.255.255.0')).toBe(0xffff_ff00);
});

test('a CRC-32 is the one everybody has', () => {
  expect(crc32('123456789')).toBe(0xcbf4_3926);
});
