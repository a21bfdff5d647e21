import { TAP_ERRNO, type TapSys } from '../../src/vfio-user/tap-sys.ts';

/** `/dev/net/tun` in memory, with interfaces that others may have open. */
export class FakeTaps implements TapSys {
  /** What `open` and `attach` say instead: an errno. */
  openError = 0;
  attachError = 0;
  /** What `write` says instead. */
  writeError = 0;
  /** What `read` says when nothing is there. */
  readError: number = TAP_ERRNO.EAGAIN;
  /** Names by descriptor that is open; empty: of no interface. */
  readonly held: Map<number, string> = new Map();
  /** From the host, in order. */
  readonly incoming: Uint8Array[] = [];
  readonly written: Uint8Array[] = [];
  #next = 50;

  open(): number {
    if (this.openError !== 0) return -this.openError;
    this.held.set(this.#next, '');
    return this.#next++;
  }

  attach(fd: number, name: string): number {
    if (this.attachError !== 0) return -this.attachError;
    if ([...this.held.values()].includes(name)) return -TAP_ERRNO.EBUSY;
    this.held.set(fd, name);
    return 0;
  }

  read(_fd: number, into: Uint8Array): number {
    const frame = this.incoming.shift();
    if (frame === undefined) return -this.readError;
    into.set(frame);
    return frame.length;
  }

  write(_fd: number, frame: Uint8Array): number {
    if (this.writeError !== 0) return -this.writeError;
    this.written.push(frame);
    return frame.length;
  }

  close(fd: number): void {
    if (!this.held.delete(fd)) throw new Error(`${fd} is closed twice`);
  }
}
