import { EINVAL } from '../spec/vfio-user.ts';
import { decode, encodeReply, frame, HEADER, messageSize, type Request } from './message.ts';
import type { Session } from './session.ts';
import { BROKEN, CLOSED, MESSAGE_MAX, RX_SIZE, type PollEntry, type Sys } from './sys.ts';

/** Replies that a client may leave unread. */
const BACKLOG_MAX = 4 * 2 ** 20;
/** Descriptors that may wait for the rest of their message. */
const WAITING_FDS_MAX = 64;

/** One connection: bytes and descriptors to messages, and replies to bytes. Nothing in it blocks. */
export class Connection {
  readonly entry: PollEntry;
  readonly session: Session;
  readonly #sys: Sys;
  readonly #fd: number;
  readonly #rxData: DataView;
  /** The beginning of a message whose rest has not come, and what came after it. */
  #carry: Uint8Array | undefined;
  #carryData: DataView | undefined;
  #carried = 0;
  /** Descriptors that came with the last byte of it. */
  #waitingFds: number[] = [];
  readonly #backlog: Uint8Array[] = [];
  #backlogSize = 0;
  readonly #request: Request;

  readonly #held: () => boolean;

  /**
   * @param fd a connected socket, which the connection closes
   * @param held whether messages are to wait, after the one that is being handled
   */
  constructor(sys: Sys, fd: number, session: Session, held: () => boolean = () => false) {
    this.#sys = sys;
    this.#held = held;
    this.#fd = fd;
    this.session = session;
    this.entry = { fd, wantsToSend: false, ready: false };
    const { rx } = sys;
    this.#rxData = new DataView(rx.buffer, rx.byteOffset, rx.byteLength);
    this.#request = {
      id: 0,
      command: 0,
      noReply: false,
      bytes: rx,
      data: this.#rxData,
      at: 0,
      length: 0,
      fds: [],
    };
  }

  /** Does what can be done now, without waiting. False when the connection is over. */
  work(): boolean {
    if (this.#backlog.length > 0 && !this.#flush()) return false;
    // A client that does not read its replies gets no more of them.
    if (this.#backlog.length > 0) return true;
    if (this.#carried > 0 && this.#resume()) return !this.session.over;
    const got = this.#sys.receive(this.#fd);
    const fds = this.#sys.fds.splice(0);
    if (got === CLOSED || got === BROKEN) return this.#end(fds);
    if (got < 0) return true;
    if (this.#carried > 0) this.#append(got, fds);
    else this.#parse(this.#sys.rx, this.#rxData, got, fds);
    return !this.session.over;
  }

  close(): void {
    this.#closeAll(this.#waitingFds.splice(0));
    this.#sys.close(this.#fd);
  }

  /** Handles what was held back. False when it is the beginning of a message. */
  #resume(): boolean {
    const carry = this.#carry;
    const data = this.#carryData;
    if (carry === undefined || data === undefined) return false;
    const framing = frame(data, 0, this.#carried);
    if (framing !== 'whole' && framing !== 'broken') return false;
    const available = this.#carried;
    this.#carried = 0;
    this.#parse(carry, data, available, this.#waitingFds.splice(0));
    return true;
  }

  #append(got: number, fds: number[]): void {
    const carry = this.#carry;
    const data = this.#carryData;
    if (carry === undefined || data === undefined) return;
    carry.set(this.#sys.rx.subarray(0, got), this.#carried);
    const available = this.#carried + got;
    this.#carried = 0;
    this.#parse(carry, data, available, fds);
  }

  /**
   * Handles the messages of a buffer. The kernel ends a stream's chunk behind bytes that descriptors
   * came with: they belong to the message of the chunk's last byte.
   */
  #parse(bytes: Uint8Array, data: DataView, available: number, fds: number[]): void {
    let at = 0;
    while (at < available && !this.session.over) {
      const framing = this.#held() ? 'held' : frame(data, at, available - at);
      if (framing === 'broken') {
        this.#refuse(data, at, available);
        break;
      }
      if (framing !== 'whole') {
        this.#keep(bytes, at, available, fds);
        return;
      }
      const end = at + messageSize(data, at);
      const waiting = this.#waitingFds.splice(0);
      const now = end === available ? fds.splice(0) : [];
      this.#handle(bytes, data, at, waiting.length === 0 ? now : [...waiting, ...now]);
      at = end;
    }
    this.#closeAll(fds);
  }

  #handle(bytes: Uint8Array, data: DataView, at: number, fds: number[]): void {
    const request = this.#request;
    decode(request, bytes, data, at);
    request.fds = fds;
    const length = this.session.handle(request);
    this.#closeAll(fds);
    if (length > 0) this.#send(length);
  }

  #keep(bytes: Uint8Array, at: number, available: number, fds: number[]): void {
    this.#waitingFds.push(...fds);
    this.#carried = available - at;
    this.#carry ??= new Uint8Array(MESSAGE_MAX + RX_SIZE);
    this.#carryData ??= new DataView(this.#carry.buffer);
    // Overlapping when it was there already, which `set` allows.
    this.#carry.set(bytes.subarray(at, available), 0);
    if (this.#waitingFds.length > WAITING_FDS_MAX) {
      this.session.broken(`${this.#waitingFds.length} descriptors came before their message`);
    }
  }

  #refuse(data: DataView, at: number, available: number): void {
    const size = available - at >= HEADER ? messageSize(data, at) : 0;
    this.session.broken(`what came is no request (a message size of ${size})`);
    const { tx } = this.#sys;
    const out = new DataView(tx.buffer, tx.byteOffset, tx.byteLength);
    decode(this.#request, this.#sys.rx, data, at);
    this.#send(encodeReply(out, this.#request, 0, EINVAL));
  }

  #send(length: number): void {
    let sent = 0;
    if (this.#backlog.length === 0) {
      sent = this.#sys.send(this.#fd, length);
      if (sent === BROKEN) this.session.over = true;
      if (sent === BROKEN || sent === length) return;
    }
    this.#backlog.push(this.#sys.tx.slice(Math.max(0, sent), length));
    this.#backlogSize += length;
    this.entry.wantsToSend = true;
    if (this.#backlogSize > BACKLOG_MAX) {
      this.session.broken(`the client does not read its replies: ${this.#backlogSize} bytes wait`);
    }
  }

  /** False when the connection is broken. */
  #flush(): boolean {
    for (let first = this.#backlog[0]; first !== undefined; first = this.#backlog[0]) {
      this.#sys.tx.set(first);
      const sent = this.#sys.send(this.#fd, first.length);
      if (sent === BROKEN) return false;
      if (sent < 0) return true;
      if (sent < first.length) this.#backlog[0] = first.subarray(sent);
      else this.#backlog.shift();
      this.#backlogSize -= sent;
    }
    this.#backlogSize = 0;
    this.entry.wantsToSend = false;
    return true;
  }

  #end(fds: number[]): false {
    this.#closeAll(fds);
    return false;
  }

  #closeAll(fds: number[]): void {
    for (const fd of fds) this.#sys.close(fd);
    fds.length = 0;
  }
}
