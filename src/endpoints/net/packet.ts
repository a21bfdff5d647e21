import { ByteSink, ByteView, FormatError, structBytes } from '../../bytes/index.ts';
import { ETH_HEADER, ETH_P_IP, ETH_ZLEN } from '../../spec/ethernet.ts';
import {
  IP_DF,
  IP_FRAGMENT_MASK,
  IP_HEADER,
  IP_VERSION_IHL,
  IPDEFTTL,
  IPPROTO_TCP,
  IPPROTO_UDP,
} from '../../spec/ip.ts';

/** Internet checksum of the bytes (RFC 1071), 0 when they hold a right one. */
export function internetChecksum(bytes: Uint8Array, start = 0): number {
  let sum = start;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x1_0000);
  return ~sum & 0xffff;
}

/** Sum of the pseudo header that UDP and TCP checksums begin with. */
export function pseudoSum(source: number, dest: number, protocol: number, length: number): number {
  const halves = (address: number): number => (address >>> 16) + (address & 0xffff);
  return halves(source) + halves(dest) + protocol + length;
}

/** A received IPv4 packet. */
export interface IpPacket {
  readonly source: number;
  readonly dest: number;
  readonly protocol: number;
  readonly payload: Uint8Array;
}

/** Why a packet is not for anybody. */
export type PacketTrouble = 'malformed' | 'checksum' | 'fragment';

/** Takes the IP header off; `bytes` may have padding behind the packet. */
export function readIp(bytes: Uint8Array): IpPacket | PacketTrouble {
  const head = IP_HEADER.read(new ByteView(bytes, 'be', 'ip'), 0);
  const length = (head.version_ihl & 0xf) * 4;
  const wrong = head.version_ihl >> 4 !== 4 || length < IP_HEADER.size;
  if (wrong || head.tot_len < length || head.tot_len > bytes.length) return 'malformed';
  if (internetChecksum(bytes.subarray(0, length)) !== 0) return 'checksum';
  if ((head.frag_off & IP_FRAGMENT_MASK) !== 0) return 'fragment';
  const payload = bytes.subarray(length, head.tot_len);
  return { source: head.saddr, dest: head.daddr, protocol: head.protocol, payload };
}

/** Whether the checksum of a UDP or TCP segment is right. */
export function transportChecksumOk({ source, dest, protocol, payload }: IpPacket): boolean {
  return internetChecksum(payload, pseudoSum(source, dest, protocol, payload.length)) === 0;
}

export interface Addresses {
  readonly fromMac: Uint8Array;
  readonly toMac: Uint8Array;
  readonly from: number;
  readonly to: number;
}

/** A frame with an IPv4 packet. The checksum of UDP and TCP goes to `checksumAt` of the payload. */
export function ipFrame(
  { fromMac, toMac, from, to }: Addresses,
  protocol: number,
  id: number,
  payload: Uint8Array,
  checksumAt: number,
): Uint8Array {
  // Not `slice`, which on a Buffer would share the bytes.
  const segment = new Uint8Array(payload);
  const pseudo =
    protocol === IPPROTO_UDP || protocol === IPPROTO_TCP
      ? pseudoSum(from, to, protocol, segment.length)
      : 0;
  const sum = internetChecksum(segment, pseudo);
  // A UDP checksum of zero would mean that there is none.
  new DataView(segment.buffer).setUint16(
    checksumAt,
    sum === 0 && protocol === IPPROTO_UDP ? 0xffff : sum,
  );
  const head = structBytes(IP_HEADER, 'be', {
    version_ihl: IP_VERSION_IHL,
    tot_len: IP_HEADER.size + segment.length,
    id: id & 0xffff,
    frag_off: IP_DF,
    ttl: IPDEFTTL,
    protocol,
    saddr: from,
    daddr: to,
  });
  new DataView(head.buffer).setUint16(IP_HEADER.offsets.check, internetChecksum(head));
  return etherFrame(fromMac, toMac, ETH_P_IP, head, segment);
}

/** A frame of at least the shortest length. */
export function etherFrame(
  source: Uint8Array,
  destination: Uint8Array,
  type: number,
  ...parts: readonly Uint8Array[]
): Uint8Array {
  const sink = new ByteSink('be', 1600);
  ETH_HEADER.write(sink, { destination, source, type });
  for (const part of parts) sink.raw(part);
  if (sink.length < ETH_ZLEN) sink.zeros(ETH_ZLEN - sink.length);
  return sink.bytes();
}

/** Runs `parse`; undefined when the bytes are too short for what they claim to be. */
export function parsed<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}
