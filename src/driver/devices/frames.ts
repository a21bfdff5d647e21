import { ByteSink, ByteView, FormatError } from '../../bytes/index.ts';
import {
  BOOTREQUEST,
  DHCP_CLIENT_PORT,
  DHCP_COOKIE,
  DHCP_MESSAGE,
  DHCP_MIN_LEN,
  DHCP_SERVER_PORT,
  DHO_END,
  DHO_MESSAGE_TYPE,
  DHO_PAD,
  DHO_REQUESTED_ADDRESS,
  DHO_SERVER_IDENTIFIER,
} from '../../spec/dhcp.ts';
import {
  ARP_PACKET,
  ARPHRD_ETHER,
  ARPOP_REPLY,
  ARPOP_REQUEST,
  ETH_HEADER,
  ETH_P_ARP,
  ETH_P_IP,
} from '../../spec/ethernet.ts';
import {
  ICMP_ECHO,
  ICMP_ECHOREPLY,
  ICMP_HEADER,
  INADDR_BROADCAST,
  IP_HEADER,
  IP_VERSION_IHL,
  IPDEFTTL,
  IPPROTO_ICMP,
  IPPROTO_UDP,
  UDP_HEADER,
} from '../../spec/ip.ts';

/** Frames of the little that a guest needs to find out whether its NIC works. */

export const BROADCAST: Uint8Array = new Uint8Array(6).fill(0xff);

export interface Address {
  readonly mac: Uint8Array;
  /** IPv4. */
  readonly ip: number;
}

function ethernet(from: Uint8Array, to: Uint8Array, type: number): ByteSink {
  const sink = new ByteSink('be', 64);
  ETH_HEADER.write(sink, { destination: to, source: from, type });
  return sink;
}

export function arpRequest(from: Address, target: number): Uint8Array {
  const sink = ethernet(from.mac, BROADCAST, ETH_P_ARP);
  ARP_PACKET.write(sink, {
    ar_hrd: ARPHRD_ETHER,
    ar_pro: ETH_P_IP,
    ar_hln: 6,
    ar_pln: 4,
    ar_op: ARPOP_REQUEST,
    ar_sha: from.mac,
    ar_sip: from.ip,
    ar_tip: target,
  });
  return sink.bytes();
}

/** ICMP echo request with `length` bytes of payload. */
export function pingRequest(
  from: Address,
  to: Address,
  ids: { readonly id: number; readonly sequence: number },
  length: number,
): Uint8Array {
  const icmp = new ByteSink('be', ICMP_HEADER.size + length);
  const rest = ids.id * 0x1_0000 + ids.sequence;
  ICMP_HEADER.write(icmp, { type: ICMP_ECHO, rest });
  for (let i = 0; i < length; i++) icmp.u8(i & 0xff);
  const body = icmp.bytes();
  setChecksum(body, ICMP_HEADER.offsets.checksum);
  return ipPacket(from, to, IPPROTO_ICMP, body);
}

export interface DhcpRequest {
  readonly kind: number;
  readonly xid: number;
  readonly mac: Uint8Array;
  /** What was offered, and by whom. */
  readonly offer?: { readonly address: number; readonly server: number };
}

export function dhcpRequest({ kind, xid, mac, offer }: DhcpRequest): Uint8Array {
  const chaddr = new Uint8Array(16);
  chaddr.set(mac);
  const message = new ByteSink('be', DHCP_MIN_LEN);
  DHCP_MESSAGE.write(message, {
    op: BOOTREQUEST,
    htype: ARPHRD_ETHER,
    hlen: 6,
    xid,
    chaddr,
    cookie: DHCP_COOKIE,
  });
  message.u8(DHO_MESSAGE_TYPE).u8(1).u8(kind);
  if (offer !== undefined) {
    message.u8(DHO_REQUESTED_ADDRESS).u8(4).u32(offer.address);
    message.u8(DHO_SERVER_IDENTIFIER).u8(4).u32(offer.server);
  }
  message.u8(DHO_END);
  message.zeros(Math.max(0, DHCP_MIN_LEN - message.length));
  const payload = message.bytes();
  const udp = new ByteSink('be', UDP_HEADER.size + payload.length);
  // A checksum of zero: none was made (RFC 768).
  const len = UDP_HEADER.size + payload.length;
  UDP_HEADER.write(udp, { source: DHCP_CLIENT_PORT, dest: DHCP_SERVER_PORT, len });
  udp.raw(payload);
  const everyone = { mac: BROADCAST, ip: INADDR_BROADCAST };
  return ipPacket({ mac, ip: 0 }, everyone, IPPROTO_UDP, udp.bytes());
}

function ipPacket(from: Address, to: Address, protocol: number, body: Uint8Array): Uint8Array {
  const header = new ByteSink('be', IP_HEADER.size);
  IP_HEADER.write(header, {
    version_ihl: IP_VERSION_IHL,
    tot_len: IP_HEADER.size + body.length,
    ttl: IPDEFTTL,
    protocol,
    saddr: from.ip,
    daddr: to.ip,
  });
  const bytes = header.bytes();
  setChecksum(bytes, IP_HEADER.offsets.check);
  return ethernet(from.mac, to.mac, ETH_P_IP).raw(bytes).raw(body).bytes();
}

/** The internet checksum (RFC 1071) over all bytes, with its own field zero. */
function setChecksum(bytes: Uint8Array, at: number): void {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i] ?? 0) * 256 + (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x1_0000);
  const value = ~sum & 0xffff;
  bytes[at] = value >> 8;
  bytes[at + 1] = value & 0xff;
}

/** What a received frame is to us. */
export type Received =
  | { readonly kind: 'arp'; readonly mac: Uint8Array; readonly ip: number }
  | { readonly kind: 'pong'; readonly from: number; readonly id: number; readonly sequence: number }
  | {
      readonly kind: 'dhcp';
      readonly type: number;
      readonly xid: number;
      readonly address: number;
      readonly server: number;
    };

/** Undefined for whatever else comes along a cable. */
export function receive(frame: Uint8Array): Received | undefined {
  try {
    return parse(new ByteView(frame, 'be', 'frame'));
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

function parse(view: ByteView): Received | undefined {
  const { type } = ETH_HEADER.read(view, 0);
  const at = ETH_HEADER.size;
  if (type === ETH_P_ARP) {
    const { ar_op, ar_sha, ar_sip } = ARP_PACKET.read(view, at);
    return ar_op === ARPOP_REPLY ? { kind: 'arp', mac: ar_sha, ip: ar_sip } : undefined;
  }
  if (type !== ETH_P_IP) return undefined;
  const { version_ihl, protocol, saddr } = IP_HEADER.read(view, at);
  const body = at + (version_ihl & 0xf) * 4;
  if (protocol === IPPROTO_ICMP) {
    const { type: kind, rest } = ICMP_HEADER.read(view, body);
    if (kind !== ICMP_ECHOREPLY) return undefined;
    return { kind: 'pong', from: saddr, id: rest >>> 16, sequence: rest & 0xffff };
  }
  if (protocol !== IPPROTO_UDP) return undefined;
  const { dest } = UDP_HEADER.read(view, body);
  return dest === DHCP_CLIENT_PORT ? parseDhcp(view, body + UDP_HEADER.size) : undefined;
}

function parseDhcp(view: ByteView, at: number): Received | undefined {
  const { xid, yiaddr, cookie } = DHCP_MESSAGE.read(view, at);
  if (cookie !== DHCP_COOKIE) return undefined;
  let type = 0;
  let server = 0;
  for (let option = at + DHCP_MESSAGE.size; option < view.length;) {
    const code = view.u8(option);
    if (code === DHO_END) break;
    if (code === DHO_PAD) {
      option++;
      continue;
    }
    const length = view.u8(option + 1);
    if (code === DHO_MESSAGE_TYPE) type = view.u8(option + 2);
    if (code === DHO_SERVER_IDENTIFIER && length === 4) server = view.u32(option + 2);
    option += 2 + length;
  }
  return { kind: 'dhcp', type, xid, address: yiaddr, server };
}
