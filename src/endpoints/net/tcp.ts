import { ByteSink, ByteView } from '../../bytes/index.ts';
import {
  PORT_DISCARD,
  PORT_ECHO,
  PORT_TRANSFER,
  TCP_ACK,
  TCP_FIN,
  TCP_HEADER,
  TCP_RST,
  TCP_SYN,
  TCPOLEN_MSS,
  TCPOPT_MSS,
} from '../../spec/ip.ts';
import {
  TcpConnection,
  type TcpSegment,
  type TcpSend,
  type TcpService,
  type TcpState,
} from './tcp-connection.ts';

/**
 * Sends the bytes of a segment, checksum missing, to a guest. `most`: data of one segment on the wire,
 * when there is more in this one; else 0.
 */
export type TcpOutput = (guest: TcpGuest, segment: Uint8Array, most: number) => void;

/** Who is at the other end. */
export interface TcpGuest {
  readonly address: number;
  readonly mac: Uint8Array;
}

/** A sink's last word. */
export interface SinkResult {
  readonly from: number;
  readonly bytes: number;
  readonly crc32: number;
}

interface Entry {
  readonly guest: TcpGuest;
  readonly connection: TcpConnection;
}

export interface TcpTableState {
  readonly initial: number;
  readonly entries: readonly {
    readonly key: string;
    readonly address: number;
    readonly mac: Uint8Array;
    readonly state: TcpState;
  }[];
  readonly results: readonly SinkResult[];
}

/** Connections at a time; more are reset. */
const CONNECTIONS_MAX = 64;
/** Finished sinks that are remembered. */
const RESULTS_MAX = 64;

const SERVICES: ReadonlyMap<number, TcpService> = new Map([
  [PORT_ECHO, 'echo'],
  [PORT_DISCARD, 'sink'],
  [PORT_TRANSFER, 'transfer'],
]);

/** All TCP connections of the peer, by the guest's address and both ports. */
export class TcpTable {
  readonly #output: TcpOutput;
  readonly #entries = new Map<string, Entry>();
  #results: SinkResult[] = [];
  /** The next initial sequence number: far from the last, and the same in each run. */
  #initial = 0x1000_0000;

  constructor(output: TcpOutput) {
    this.#output = output;
  }

  get connections(): number {
    return this.#entries.size;
  }

  /** What sinks received whose other side closed, oldest first. */
  get results(): readonly SinkResult[] {
    return this.#results;
  }

  /**
   * A segment whose checksum is right; `more` of them are at hand, until `settle`. A guest that takes
   * `large` frames is sent some.
   *
   * @throws FormatError when it is cut short
   */
  receive(guest: TcpGuest, bytes: Uint8Array, more = false, large = false): void {
    const { source, dest, segment } = readSegment(bytes);
    const key = `${guest.address}:${source}:${dest}`;
    const entry = this.#entries.get(key);
    const send = this.#sender(guest, source, dest);
    if (entry) {
      entry.connection.receive(segment, more, large);
      this.#settle(key, entry);
      return;
    }
    const service = SERVICES.get(dest);
    const opens = (segment.flags & (TCP_SYN | TCP_ACK | TCP_RST)) === TCP_SYN;
    if (!opens || service === undefined || this.#entries.size >= CONNECTIONS_MAX) {
      refuse(segment, send);
      return;
    }
    this.#initial = (this.#initial + 0x0101_0101) >>> 0;
    const connection = new TcpConnection(service, segment, this.#initial, send);
    this.#entries.set(key, { guest, connection });
    connection.accept();
  }

  /** Sends the acknowledgements that waited for more to acknowledge. */
  settle(): void {
    for (const { connection } of this.#entries.values()) connection.settle();
  }

  snapshot(): TcpTableState {
    const entries = [...this.#entries].map(([key, { guest, connection }]) => ({
      key,
      address: guest.address,
      mac: guest.mac.slice(),
      state: connection.snapshot(),
    }));
    return { initial: this.#initial, entries, results: [...this.#results] };
  }

  restore({ initial, entries, results }: TcpTableState): void {
    this.#initial = initial;
    this.#results = [...results];
    this.#entries.clear();
    for (const { key, address, mac, state } of entries) {
      const guest = { address, mac: mac.slice() };
      const [, source = 0, dest = 0] = key.split(':').map(Number);
      const send = this.#sender(guest, source, dest);
      this.#entries.set(key, { guest, connection: TcpConnection.restored(state, send) });
    }
  }

  #settle(key: string, { guest, connection }: Entry): void {
    if (connection.phase !== 'closed') return;
    this.#entries.delete(key);
    if (connection.service !== 'sink') return;
    const { bytes, checksum } = connection;
    this.#results.push({ from: guest.address, bytes, crc32: checksum });
    if (this.#results.length > RESULTS_MAX) this.#results.shift();
  }

  #sender(guest: TcpGuest, source: number, dest: number): TcpSend {
    return ({ sequence, acknowledged, flags, window, mss, most = 0, data }) => {
      const sink = new ByteSink('be', TCP_HEADER.size + TCPOLEN_MSS + data.length);
      const words = (TCP_HEADER.size + (mss === undefined ? 0 : TCPOLEN_MSS)) / 4;
      TCP_HEADER.write(sink, {
        source: dest,
        dest: source,
        seq: sequence,
        ack_seq: acknowledged,
        doff: words << 4,
        flags,
        window,
      });
      if (mss !== undefined) sink.u8(TCPOPT_MSS).u8(TCPOLEN_MSS).u16(mss);
      this.#output(guest, sink.raw(data).bytes(), most);
    };
  }
}

/** Answers what belongs to no connection (RFC 9293, 3.10.7.1). */
function refuse({ flags, acknowledged, sequence, data }: TcpSegment, send: TcpSend): void {
  if ((flags & TCP_RST) !== 0) return;
  const none = { window: 0, data: new Uint8Array(0) };
  if ((flags & TCP_ACK) !== 0) {
    send({ ...none, sequence: acknowledged, acknowledged: 0, flags: TCP_RST });
    return;
  }
  const length =
    data.length + ((flags & TCP_SYN) !== 0 ? 1 : 0) + ((flags & TCP_FIN) !== 0 ? 1 : 0);
  const next = (sequence + length) >>> 0;
  send({ ...none, sequence: 0, acknowledged: next, flags: TCP_RST | TCP_ACK });
}

function readSegment(bytes: Uint8Array): { source: number; dest: number; segment: TcpSegment } {
  const view = new ByteView(bytes, 'be', 'tcp');
  const head = TCP_HEADER.read(view, 0);
  const length = Math.max(TCP_HEADER.size, (head.doff >> 4) * 4);
  const data = view.slice(length, bytes.length - length, 'TCP options');
  const mss = mssOption(bytes.subarray(TCP_HEADER.size, length));
  const common = { sequence: head.seq, acknowledged: head.ack_seq, window: head.window, data };
  const segment = { ...common, flags: head.flags };
  return {
    source: head.source,
    dest: head.dest,
    segment: mss === undefined ? segment : { ...segment, mss },
  };
}

function mssOption(options: Uint8Array): number | undefined {
  let at = 0;
  while (at < options.length) {
    const kind = options[at] ?? 0;
    if (kind === 0) return undefined;
    const length = kind === 1 ? 1 : (options[at + 1] ?? 0);
    if (kind === TCPOPT_MSS && length === TCPOLEN_MSS) {
      return ((options[at + 2] ?? 0) << 8) | (options[at + 3] ?? 0);
    }
    // A length below two is a lie that would keep us here.
    if (kind !== 1 && length < 2) return undefined;
    at += length;
  }
  return undefined;
}
