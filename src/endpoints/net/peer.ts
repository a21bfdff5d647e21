import { ByteSink, ByteView, structBytes } from '../../bytes/index.ts';
import { DHCP_CLIENT_PORT, DHCP_SERVER_PORT } from '../../spec/dhcp.ts';
import {
  ARP_PACKET,
  ARPHRD_ETHER,
  ARPOP_REPLY,
  ARPOP_REQUEST,
  ETH_ALEN,
  ETH_FRAME_LEN,
  ETH_HEADER,
  ETH_P_ARP,
  ETH_P_IP,
} from '../../spec/ethernet.ts';
import {
  ICMP_DEST_UNREACH,
  ICMP_ECHO,
  ICMP_ECHOREPLY,
  ICMP_HEADER,
  ICMP_PORT_UNREACH,
  INADDR_BROADCAST,
  IP_HEADER,
  IPPROTO_ICMP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  PORT_DISCARD,
  PORT_ECHO,
  TCP_HEADER,
  UDP_HEADER,
} from '../../spec/ip.ts';
import type { PlainState } from '../../virtio/index.ts';
import type { Deliver, FrameContext, NetLink } from '../net.ts';
import { DhcpServer } from './dhcp.ts';
import {
  etherFrame,
  internetChecksum,
  ipFrame,
  parsed,
  readIp,
  transportChecksumOk,
  type IpPacket,
} from './packet.ts';
import { TcpTable, type SinkResult, type TcpTableState } from './tcp.ts';

export interface PeerOptions {
  /** Default 52:55:0a:00:02:02. */
  readonly mac?: Uint8Array;
  /** IPv4 address; default 10.0.2.2. */
  readonly address?: number;
  /** Default 255.255.255.0. */
  readonly netmask?: number;
  /** First address that DHCP gives away; default 10.0.2.15. */
  readonly firstLease?: number;
}

/** What the peer saw. */
export type PeerCounters = Record<
  'arp' | 'icmp' | 'udp' | 'dhcp' | 'tcp' | 'ignored' | 'malformed' | 'checksum' | 'fragment',
  number
>;

interface PeerState {
  readonly counters: PeerCounters;
  readonly id: number;
  readonly dhcp: readonly string[];
  readonly tcp: TcpTableState;
}

/** Dotted decimal to a number: `10.0.2.2`. */
export function ipv4(text: string): number {
  return text.split('.').reduce((address, part) => address * 256 + Number(part), 0);
}

const BROADCAST_MAC = new Uint8Array(ETH_ALEN).fill(0xff);

/**
 * The host at the other end of the cable: answers ARP and ping, gives addresses by DHCP, echoes UDP and
 * TCP on port 7, swallows both on port 9, of TCP with a checksum, and sends as much as it is asked for on
 * TCP port 1919. No timers, no routes, no fragments.
 */
export class NetPeer implements NetLink {
  readonly large = true;
  readonly mac: Uint8Array;
  readonly address: number;
  counters: PeerCounters = {
    arp: 0,
    icmp: 0,
    udp: 0,
    dhcp: 0,
    tcp: 0,
    ignored: 0,
    malformed: 0,
    checksum: 0,
    fragment: 0,
  };
  readonly #dhcp: DhcpServer;
  readonly #tcp: TcpTable;
  #id = 0;
  #deliver: Deliver = () => undefined;
  #how: FrameContext = {};

  constructor(options: PeerOptions = {}) {
    this.mac = options.mac ?? new Uint8Array([0x52, 0x55, 0x0a, 0x00, 0x02, 0x02]);
    this.address = options.address ?? ipv4('10.0.2.2');
    const netmask = options.netmask ?? ipv4('255.255.255.0');
    const first = options.firstLease ?? ipv4('10.0.2.15');
    this.#dhcp = new DhcpServer({ address: this.address, netmask, first });
    this.#tcp = new TcpTable(({ mac, address }, segment, most) =>
      this.#sendIp(mac, address, IPPROTO_TCP, segment, TCP_HEADER.offsets.check, most),
    );
  }

  /** What TCP sinks received, for verdicts. */
  get sinks(): readonly SinkResult[] {
    return this.#tcp.results;
  }

  get connections(): number {
    return this.#tcp.connections;
  }

  transmit(frame: Uint8Array, deliver: Deliver, how: FrameContext = {}): void {
    this.#deliver = deliver;
    this.#how = how;
    const done = parsed(() => {
      this.#frame(frame);
      return true;
    });
    if (done === undefined) this.counters.malformed++;
    if (how.more !== true) this.#tcp.settle();
  }

  snapshot(): PlainState {
    const state: PeerState = {
      counters: { ...this.counters },
      id: this.#id,
      dhcp: this.#dhcp.snapshot(),
      tcp: this.#tcp.snapshot(),
    };
    return state as unknown as PlainState;
  }

  restore(state: PlainState): void {
    const { counters, id, dhcp, tcp } = state as unknown as PeerState;
    this.counters = { ...counters };
    this.#id = id;
    this.#dhcp.restore(dhcp);
    this.#tcp.restore(tcp);
  }

  #frame(frame: Uint8Array): void {
    const { destination, source, type } = ETH_HEADER.read(new ByteView(frame, 'be', 'eth'), 0);
    const ours = same(destination, this.mac) || same(destination, BROADCAST_MAC);
    const payload = frame.subarray(ETH_HEADER.size);
    if (ours && type === ETH_P_ARP) this.#arp(payload);
    else if (ours && type === ETH_P_IP) this.#ip(source, payload);
    else this.counters.ignored++;
  }

  #arp(bytes: Uint8Array): void {
    this.counters.arp++;
    const asked = ARP_PACKET.read(new ByteView(bytes, 'be', 'arp'), 0);
    if (asked.ar_op !== ARPOP_REQUEST || asked.ar_tip !== this.address) return;
    const reply = structBytes(ARP_PACKET, 'be', {
      ar_hrd: ARPHRD_ETHER,
      ar_pro: ETH_P_IP,
      ar_hln: ETH_ALEN,
      ar_pln: 4,
      ar_op: ARPOP_REPLY,
      ar_sha: this.mac,
      ar_sip: this.address,
      ar_tha: asked.ar_sha,
      ar_tip: asked.ar_sip,
    });
    this.#deliver(etherFrame(this.mac, asked.ar_sha, ETH_P_ARP, reply));
  }

  #ip(from: Uint8Array, bytes: Uint8Array): void {
    const packet = readIp(bytes);
    if (typeof packet === 'string') {
      this.counters[packet]++;
      return;
    }
    const direct = packet.dest === this.address;
    if (!direct && packet.dest !== INADDR_BROADCAST) this.counters.ignored++;
    else if (packet.protocol === IPPROTO_UDP) this.#udp(from, packet, bytes);
    else if (!direct) this.counters.ignored++;
    else if (packet.protocol === IPPROTO_ICMP) this.#icmp(from, packet);
    else if (packet.protocol === IPPROTO_TCP) this.#tcpSegment(from, packet);
    else this.counters.ignored++;
  }

  #icmp(from: Uint8Array, { source, payload }: IpPacket): void {
    const { type } = ICMP_HEADER.read(new ByteView(payload, 'be', 'icmp'), 0);
    if (internetChecksum(payload) !== 0) {
      this.counters.checksum++;
      return;
    }
    this.counters.icmp++;
    if (type !== ICMP_ECHO) return;
    const reply = new Uint8Array(payload);
    reply[0] = ICMP_ECHOREPLY;
    reply.fill(0, ICMP_HEADER.offsets.checksum, ICMP_HEADER.offsets.checksum + 2);
    this.#sendIp(from, source, IPPROTO_ICMP, reply, ICMP_HEADER.offsets.checksum);
  }

  #udp(from: Uint8Array, packet: IpPacket, whole: Uint8Array): void {
    const view = new ByteView(packet.payload, 'be', 'udp');
    const head = UDP_HEADER.read(view, 0);
    const data = view.slice(UDP_HEADER.size, Math.max(0, head.len - UDP_HEADER.size));
    const payload = packet.payload.subarray(0, head.len);
    if (head.check !== 0 && !transportChecksumOk({ ...packet, payload })) {
      this.counters.checksum++;
      return;
    }
    this.counters.udp++;
    if (head.dest === DHCP_SERVER_PORT) this.#dhcpMessage(data);
    else if (packet.dest !== this.address || head.dest === PORT_DISCARD) return;
    else if (head.dest === PORT_ECHO) {
      this.#sendUdp(from, packet.source, PORT_ECHO, head.source, data);
    } else this.#unreachable(from, packet.source, whole);
  }

  #dhcpMessage(data: Uint8Array): void {
    this.counters.dhcp++;
    const reply = this.#dhcp.answer(data);
    if (reply === undefined) return;
    const { mac = BROADCAST_MAC, to, message } = reply;
    this.#sendUdp(mac, to, DHCP_SERVER_PORT, DHCP_CLIENT_PORT, message);
  }

  #tcpSegment(mac: Uint8Array, packet: IpPacket): void {
    if (!transportChecksumOk(packet)) {
      this.counters.checksum++;
      return;
    }
    this.counters.tcp++;
    const { more = false, large = false } = this.#how;
    const guest = { address: packet.source, mac: new Uint8Array(mac) };
    this.#tcp.receive(guest, packet.payload, more, large);
  }

  /** ICMP port unreachable, with the head of what was sent (RFC 792). */
  #unreachable(mac: Uint8Array, to: number, packet: Uint8Array): void {
    const sink = new ByteSink('be');
    ICMP_HEADER.write(sink, { type: ICMP_DEST_UNREACH, code: ICMP_PORT_UNREACH });
    sink.raw(packet.subarray(0, IP_HEADER.size + 8));
    this.#sendIp(mac, to, IPPROTO_ICMP, sink.bytes(), ICMP_HEADER.offsets.checksum);
  }

  #sendUdp(mac: Uint8Array, to: number, source: number, dest: number, data: Uint8Array): void {
    const sink = new ByteSink('be', UDP_HEADER.size + data.length);
    UDP_HEADER.write(sink, { source, dest, len: UDP_HEADER.size + data.length });
    this.#sendIp(mac, to, IPPROTO_UDP, sink.raw(data).bytes(), UDP_HEADER.offsets.check);
  }

  #sendIp(
    mac: Uint8Array,
    to: number,
    protocol: number,
    bytes: Uint8Array,
    sumAt: number,
    most = 0,
  ): void {
    // What came in one frame leaves in one; an oversized frame of a guest is not answered.
    if (most === 0 && ETH_HEADER.size + IP_HEADER.size + bytes.length > ETH_FRAME_LEN) {
      this.counters.ignored++;
      return;
    }
    this.#id = (this.#id + 1) & 0xffff;
    const addresses = { fromMac: this.mac, toMac: mac, from: this.address, to };
    this.#deliver(ipFrame(addresses, protocol, this.#id, bytes, sumAt), most);
  }
}

function same(one: Uint8Array, other: Uint8Array): boolean {
  return one.every((byte, i) => byte === other[i]);
}
