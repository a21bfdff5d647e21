import { ByteSink, ByteView } from '../../bytes/index.ts';
import {
  BOOTREPLY,
  BOOTREQUEST,
  DHCP_COOKIE,
  DHCP_MESSAGE,
  DHCP_MIN_LEN,
  DHCPACK,
  DHCPDISCOVER,
  DHCPINFORM,
  DHCPNAK,
  DHCPOFFER,
  DHCPREQUEST,
  DHO_DOMAIN_NAME_SERVERS,
  DHO_END,
  DHO_LEASE_TIME,
  DHO_MESSAGE_TYPE,
  DHO_PAD,
  DHO_REQUESTED_ADDRESS,
  DHO_ROUTERS,
  DHO_SERVER_IDENTIFIER,
  DHO_SUBNET_MASK,
} from '../../spec/dhcp.ts';
import { ARPHRD_ETHER, ETH_ALEN } from '../../spec/ethernet.ts';
import { INADDR_BROADCAST } from '../../spec/ip.ts';

export interface DhcpOptions {
  /** Address of the server, which is router and name server too. */
  readonly address: number;
  readonly netmask: number;
  /** First address that is given away; others follow. */
  readonly first: number;
}

/** Where an answer goes. */
export interface DhcpReply {
  readonly message: Uint8Array;
  readonly to: number;
  /** The client's, or undefined for everybody. */
  readonly mac: Uint8Array | undefined;
}

/** Clients that have an address: a guest that changes its own without end gets no more. */
const LEASES_MAX = 64;
const LEASE_SECONDS = 86_400;
const BROADCAST_FLAG = 0x8000;

/** A DHCP server with a fixed address for each client (RFC 2131). It never forgets one. */
export class DhcpServer {
  readonly #options: DhcpOptions;
  /** Client hardware addresses, in the order of their addresses. */
  readonly #clients: string[] = [];

  constructor(options: DhcpOptions) {
    this.#options = options;
  }

  /** @throws FormatError when the message is cut short */
  answer(message: Uint8Array): DhcpReply | undefined {
    const view = new ByteView(message, 'be', 'dhcp');
    const head = DHCP_MESSAGE.read(view, 0);
    const ethernet = head.htype === ARPHRD_ETHER && head.hlen === ETH_ALEN;
    if (head.op !== BOOTREQUEST || !ethernet || head.cookie !== DHCP_COOKIE) return undefined;
    // A relay between us and the guest there is not.
    if (head.giaddr !== 0) return undefined;
    const options = readOptions(view);
    const mac = head.chaddr.subarray(0, ETH_ALEN);
    const yours = this.#addressOf(mac);
    const type = options.get(DHO_MESSAGE_TYPE)?.[0];
    const server = wordOf(options.get(DHO_SERVER_IDENTIFIER));
    if (server !== undefined && server !== this.#options.address) return undefined;
    const wanted = wordOf(options.get(DHO_REQUESTED_ADDRESS)) ?? head.ciaddr;
    const kind = replyType(type, wanted === yours);
    if (kind === undefined || (yours === undefined && kind !== DHCPNAK)) return undefined;
    const refuse = kind === DHCPNAK;
    const yiaddr = refuse || type === DHCPINFORM ? 0 : (yours ?? 0);
    const sink = new ByteSink('be', DHCP_MIN_LEN);
    DHCP_MESSAGE.write(sink, {
      op: BOOTREPLY,
      htype: ARPHRD_ETHER,
      hlen: ETH_ALEN,
      xid: head.xid,
      flags: head.flags,
      ciaddr: refuse ? 0 : head.ciaddr,
      yiaddr,
      chaddr: head.chaddr,
      cookie: DHCP_COOKIE,
    });
    this.#writeOptions(sink, kind);
    sink.zeros(Math.max(0, DHCP_MIN_LEN - sink.length));
    const broadcast = refuse || (head.ciaddr === 0 && (head.flags & BROADCAST_FLAG) !== 0);
    const to = broadcast ? INADDR_BROADCAST : head.ciaddr !== 0 ? head.ciaddr : yiaddr;
    return { message: sink.bytes(), to, mac: broadcast ? undefined : mac };
  }

  snapshot(): readonly string[] {
    return [...this.#clients];
  }

  restore(clients: readonly string[]): void {
    this.#clients.splice(0, Infinity, ...clients);
  }

  #addressOf(mac: Uint8Array): number | undefined {
    const client = Buffer.from(mac).toString('hex');
    let index = this.#clients.indexOf(client);
    if (index < 0) {
      if (this.#clients.length >= LEASES_MAX) return undefined;
      index = this.#clients.push(client) - 1;
    }
    return this.#options.first + index;
  }

  #writeOptions(sink: ByteSink, kind: number): void {
    const { address, netmask } = this.#options;
    sink.u8(DHO_MESSAGE_TYPE).u8(1).u8(kind);
    const word = (option: number, value: number): void => void sink.u8(option).u8(4).u32(value);
    word(DHO_SERVER_IDENTIFIER, address);
    if (kind !== DHCPNAK) {
      word(DHO_LEASE_TIME, LEASE_SECONDS);
      word(DHO_SUBNET_MASK, netmask);
      word(DHO_ROUTERS, address);
      word(DHO_DOMAIN_NAME_SERVERS, address);
    }
    sink.u8(DHO_END);
  }
}

function replyType(type: number | undefined, isYours: boolean): number | undefined {
  if (type === DHCPDISCOVER) return DHCPOFFER;
  if (type === DHCPREQUEST) return isYours ? DHCPACK : DHCPNAK;
  return type === DHCPINFORM ? DHCPACK : undefined;
}

/** Options by number; of one that is repeated, the last. */
function readOptions(view: ByteView): Map<number, Uint8Array> {
  const options = new Map<number, Uint8Array>();
  let at = DHCP_MESSAGE.size;
  while (at < view.length) {
    const option = view.u8(at);
    at++;
    if (option === DHO_END) break;
    if (option === DHO_PAD) continue;
    const length = view.u8(at);
    options.set(option, view.slice(at + 1, length));
    at += 1 + length;
  }
  return options;
}

function wordOf(bytes: Uint8Array | undefined): number | undefined {
  return bytes?.length === 4 ? new ByteView(bytes, 'be', 'dhcp').u32(0) : undefined;
}
