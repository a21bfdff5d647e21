import { crc32 } from 'node:zlib';
import { BytesOut, PatternOut, type OutState, type OutStream } from './out-stream.ts';
import { countLine, Transfer, type TransferState } from './transfer.ts';
import { TCP_ACK, TCP_FIN, TCP_PSH, TCP_RST, TCP_SYN } from '../../spec/ip.ts';

/** A segment, its checksum verified. */
export interface TcpSegment {
  readonly sequence: number;
  readonly acknowledged: number;
  readonly flags: number;
  readonly window: number;
  /** Maximum segment size that a SYN may state. */
  readonly mss?: number;
  readonly data: Uint8Array;
}

/** What a connection says; the peer adds ports and checksums. */
export type TcpSend = (
  segment: Omit<TcpSegment, 'mss'> & {
    readonly mss?: number;
    /** Data of one segment on the wire, when there is more in this one. */
    readonly most?: number;
  },
) => void;

export type TcpService = 'echo' | 'sink' | 'transfer';

/** A connection as plain data. */
export interface TcpState {
  readonly service: TcpService;
  readonly phase: 'syn-received' | 'established' | 'closing' | 'last-ack' | 'closed';
  readonly receiveNext: number;
  readonly sendUnacknowledged: number;
  readonly sendNext: number;
  /** Highest `sendNext` ever: ahead of it while data is sent again. */
  readonly sendHighest: number;
  readonly window: number;
  readonly mss: number;
  readonly out: OutState;
  readonly transfer: TransferState;
  readonly ended: boolean;
  readonly duplicates: number;
  readonly bytes: number;
  readonly checksum: number;
}

/** Bytes that wait to be sent or acknowledged; also the window that is offered. */
const BUFFER = 0xffff;
/** Data of the largest frame that a guest takes: an IPv4 packet of 64 KiB, without headers. */
const LARGE_DATA = 0xffff - 60;
const MSS_OURS = 1460;
const MSS_DEFAULT = 536;
/** Duplicate acknowledgements after which data is sent again (RFC 5681). */
const DUPLICATES = 3;

/**
 * The passive side of one TCP connection (RFC 9293), without timers: nothing is lost on this cable but
 * when the guest has no buffers, and then its duplicate acknowledgements ask for more.
 *
 * `echo` sends back what it gets. `sink` counts and checksums it, and says so in one line,
 * `<bytes> <crc32 in hex>`, when the other side has no more. `transfer` is told in
 * its first line to `send COUNT` bytes, which it answers as a sink does, or to `take COUNT` bytes of a
 * pattern; then it closes.
 */
export class TcpConnection {
  readonly service: TcpService;
  phase: TcpState['phase'] = 'syn-received';
  /** Bytes received, and their CRC-32. */
  bytes = 0;
  checksum = 0;
  readonly #send: TcpSend;
  #receiveNext: number;
  #unacknowledged: number;
  #next: number;
  #highest: number;
  #window: number;
  #mss: number;
  /** From `#unacknowledged` on. */
  #out: OutStream = new BytesOut();
  #transfer = new Transfer();
  #duplicates = 0;
  /** The other side has closed. */
  #ended = false;
  /** An acknowledgement that waits for more to acknowledge. */
  #owes = false;

  constructor(service: TcpService, syn: TcpSegment, initial: number, send: TcpSend) {
    this.service = service;
    this.#send = send;
    this.#receiveNext = (syn.sequence + 1) >>> 0;
    this.#unacknowledged = initial;
    this.#next = (initial + 1) >>> 0;
    this.#highest = this.#next;
    this.#window = syn.window;
    this.#mss = Math.max(64, Math.min(syn.mss ?? MSS_DEFAULT, MSS_OURS));
  }

  /** Answers the SYN; again when it is repeated. */
  accept(): void {
    const flags = TCP_SYN | TCP_ACK;
    const base = { acknowledged: this.#receiveNext, window: BUFFER, data: new Uint8Array(0) };
    this.#send({ ...base, sequence: this.#unacknowledged, flags, mss: MSS_OURS });
  }

  /**
   * @param more whether other segments are at hand, so that an acknowledgement can wait for `settle`
   * @param large whether the other side takes frames of 64 KiB
   */
  receive(segment: TcpSegment, more = false, large = false): void {
    if ((segment.flags & TCP_RST) !== 0) {
      // Only a reset that is in the window counts (RFC 9293, 3.10.7.4).
      if (segment.sequence === this.#receiveNext) this.phase = 'closed';
      return;
    }
    if ((segment.flags & TCP_SYN) !== 0) {
      if (this.phase === 'syn-received') this.accept();
      else this.#acknowledge();
      return;
    }
    const room = this.#room();
    if ((segment.flags & TCP_ACK) === 0 || !this.#acknowledged(segment)) return;
    const before = this.#receiveNext;
    this.#take(segment);
    const sent = this.#flush(large);
    const fin = (segment.flags & TCP_FIN) !== 0;
    const news = segment.data.length > 0 || fin || before !== this.#receiveNext;
    const opened = room < this.#mss && this.#room() >= this.#mss;
    if (sent || !(news || opened) || this.#isClosed()) return;
    if (more && before !== this.#receiveNext && !fin) this.#owes = true;
    else this.#acknowledge();
  }

  /** Acknowledges what was put off. */
  settle(): void {
    if (this.#owes && !this.#isClosed()) this.#acknowledge();
  }

  snapshot(): TcpState {
    return {
      service: this.service,
      phase: this.phase,
      receiveNext: this.#receiveNext,
      sendUnacknowledged: this.#unacknowledged,
      sendNext: this.#next,
      sendHighest: this.#highest,
      window: this.#window,
      mss: this.#mss,
      out: this.#out.snapshot(),
      transfer: this.#transfer.snapshot(),
      ended: this.#ended,
      duplicates: this.#duplicates,
      bytes: this.bytes,
      checksum: this.checksum,
    };
  }

  static restored(state: TcpState, send: TcpSend): TcpConnection {
    const syn = {
      sequence: 0,
      acknowledged: 0,
      flags: TCP_SYN,
      window: 0,
      data: new Uint8Array(0),
    };
    const connection = new TcpConnection(state.service, syn, 0, send);
    connection.#restore(state);
    return connection;
  }

  #restore(state: TcpState): void {
    this.phase = state.phase;
    this.#receiveNext = state.receiveNext;
    this.#unacknowledged = state.sendUnacknowledged;
    this.#next = state.sendNext;
    this.#highest = state.sendHighest;
    this.#window = state.window;
    this.#mss = state.mss;
    this.#out = 'bytes' in state.out ? new BytesOut(state.out) : new PatternOut(state.out);
    this.#transfer = new Transfer(state.transfer);
    this.#ended = state.ended;
    this.#duplicates = state.duplicates;
    this.bytes = state.bytes;
    this.checksum = state.checksum;
  }

  #isClosed(): boolean {
    return this.phase === 'closed';
  }

  /** Takes note of what the other side has; false when it acknowledges what was never sent. */
  #acknowledged({ acknowledged, window, data, flags }: TcpSegment): boolean {
    const ahead = (acknowledged - this.#unacknowledged) | 0;
    if (ahead > ((this.#highest - this.#unacknowledged) | 0)) {
      this.#acknowledge();
      return false;
    }
    const sameWindow = window === this.#window;
    if (ahead >= 0) this.#window = window;
    if (ahead > 0) {
      this.#duplicates = 0;
      this.#unacknowledged = acknowledged;
      if (((acknowledged - this.#next) | 0) > 0) this.#next = acknowledged;
      const virtual = this.phase === 'syn-received' ? 1 : 0;
      if (this.phase === 'syn-received') this.phase = 'established';
      // The last one acknowledged may be our FIN, which is no byte of the buffer.
      this.#out.drop(Math.min(ahead - virtual, this.#out.length));
      if (this.phase === 'last-ack' && acknowledged === this.#highest) this.phase = 'closed';
    } else if (ahead === 0 && data.length === 0 && (flags & TCP_FIN) === 0 && sameWindow) {
      this.#repeat();
    }
    return true;
  }

  /** After the third duplicate everything is sent again from what is missing on. */
  #repeat(): void {
    if (this.#next === this.#unacknowledged || this.phase === 'syn-received') return;
    this.#duplicates++;
    if (this.#duplicates < DUPLICATES) return;
    this.#duplicates = 0;
    this.#next = this.#unacknowledged;
    if (this.phase === 'last-ack') this.phase = 'closing';
  }

  #take({ sequence, data, flags }: TcpSegment): void {
    if (this.#ended || this.#isClosed()) return;
    const known = (this.#receiveNext - sequence) | 0;
    // What comes out of order comes again.
    if (known < 0 || known > data.length) return;
    const fresh = data.subarray(known, known + this.#room());
    const open = this.phase === 'established';
    if (open && this.service === 'echo') this.#append(fresh);
    else if (open && this.service === 'transfer') this.#move(fresh);
    else if (open) this.checksum = crc32(fresh, this.checksum);
    if (open) this.bytes += fresh.length;
    this.#receiveNext = (this.#receiveNext + fresh.length) >>> 0;
    if ((flags & TCP_FIN) === 0 || known + fresh.length < data.length) return;
    this.#receiveNext = (this.#receiveNext + 1) >>> 0;
    this.#ended = true;
    // A transfer may have closed before the other side did.
    if (this.phase !== 'established') return;
    this.phase = 'closing';
    if (this.service === 'sink') this.#conclude();
  }

  #move(data: Uint8Array): void {
    const answer = this.#transfer.take(data);
    if (answer === undefined) return;
    this.#out = answer;
    this.phase = 'closing';
  }

  #append(data: Uint8Array): void {
    if (data.length > 0 && this.#out instanceof BytesOut) this.#out.append(data);
  }

  /** The last line of who swallowed what it got. */
  #conclude(): void {
    this.phase = 'closing';
    this.#append(countLine(this.bytes, this.checksum));
  }

  #room(): number {
    return this.service === 'echo' ? Math.max(0, BUFFER - this.#out.length) : BUFFER;
  }

  /** Sends what the other side has room for; true when something went out. */
  #flush(large: boolean): boolean {
    if (this.phase !== 'established' && this.phase !== 'closing') return false;
    const most = large ? Math.floor(LARGE_DATA / this.#mss) * this.#mss : this.#mss;
    let sent = false;
    for (;;) {
      const flight = (this.#next - this.#unacknowledged) >>> 0;
      const count = Math.min(most, this.#out.length - flight, this.#window - flight);
      if (count <= 0) break;
      const data = this.#out.read(flight, count);
      this.#emit(TCP_ACK | TCP_PSH, data);
      this.#next = (this.#next + count) >>> 0;
      sent = true;
    }
    const all = (this.#next - this.#unacknowledged) >>> 0 === this.#out.length;
    if (this.phase !== 'closing' || !all) return sent;
    this.#emit(TCP_ACK | TCP_FIN, new Uint8Array(0));
    this.#next = (this.#next + 1) >>> 0;
    this.phase = 'last-ack';
    return true;
  }

  #acknowledge(): void {
    this.#emit(TCP_ACK, new Uint8Array(0));
  }

  #emit(flags: number, data: Uint8Array): void {
    this.#owes = false;
    const window = this.#room();
    const length = data.length + ((flags & TCP_FIN) !== 0 ? 1 : 0);
    const end = (this.#next + length) >>> 0;
    if (((end - this.#highest) | 0) > 0) this.#highest = end;
    const most = data.length > this.#mss ? { most: this.#mss } : {};
    const base = { sequence: this.#next, acknowledged: this.#receiveNext, flags, window, data };
    this.#send({ ...base, ...most });
  }
}
