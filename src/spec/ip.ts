import { struct } from '../bytes/index.ts';

/** IPv4, ICMP, UDP and TCP headers (RFC 791, 792, 768, 9293). Big-endian. */

export const IP_HEADER = struct('IPv4 header', 20, {
  version_ihl: 'u8',
  tos: 'u8',
  tot_len: 'u16',
  id: 'u16',
  frag_off: 'u16',
  ttl: 'u8',
  protocol: 'u8',
  check: 'u16',
  saddr: 'u32',
  daddr: 'u32',
});
/** Version 4, five words. */
export const IP_VERSION_IHL = 0x45;
export const IP_DF = 0x4000;
/** More Fragments and the offset: not zero in any fragment. */
export const IP_FRAGMENT_MASK = 0x3fff;
export const IPDEFTTL = 64;
export const INADDR_BROADCAST = 0xffff_ffff;

export const IPPROTO_ICMP = 1;
export const IPPROTO_TCP = 6;
export const IPPROTO_UDP = 17;

export const ICMP_HEADER = struct('ICMP header', 8, {
  type: 'u8',
  code: 'u8',
  checksum: 'u16',
  rest: 'u32',
});
export const ICMP_ECHOREPLY = 0;
export const ICMP_DEST_UNREACH = 3;
export const ICMP_PORT_UNREACH = 3;
export const ICMP_ECHO = 8;

export const UDP_HEADER = struct('UDP header', 8, {
  source: 'u16',
  dest: 'u16',
  len: 'u16',
  check: 'u16',
});

export const TCP_HEADER = struct('TCP header', 20, {
  source: 'u16',
  dest: 'u16',
  seq: 'u32',
  ack_seq: 'u32',
  /** Data offset in words, in the upper four bits. */
  doff: 'u8',
  flags: 'u8',
  window: 'u16',
  check: 'u16',
  urg_ptr: 'u16',
});
export const TCP_FIN = 0x01;
export const TCP_SYN = 0x02;
export const TCP_RST = 0x04;
export const TCP_PSH = 0x08;
export const TCP_ACK = 0x10;
export const TCPOPT_MSS = 2;
export const TCPOLEN_MSS = 4;

/** Well-known ports of the services for tests (RFC 862, 863). */
export const PORT_ECHO = 7;
export const PORT_DISCARD = 9;
/** Of this project: `send COUNT` and as many bytes, or `take COUNT` (src/endpoints/net/tcp-connection.ts). */
export const PORT_TRANSFER = 1919;
