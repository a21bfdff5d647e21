import { LinuxTapSys } from './ffi.ts';
import { TAP_ERRNO, TAP_NAME_MAX, type TapSys } from './tap-sys.ts';

/** A TAP interface cannot be had here. */
export class TapUnavailable extends Error {
  override readonly name = 'TapUnavailable';
  /** What the user can do about it. */
  readonly cure: string;

  constructor(message: string, cure: string, options?: ErrorOptions) {
    super(message, options);
    this.cure = cure;
  }
}

/** An Ethernet frame with a VLAN tag and the largest MTU that Linux gives a TAP interface. */
const FRAME_MAX = 65_535 + 18;

/** No frame is there. */
export const NO_FRAME = 'none';
/** The interface was deleted: nothing will come any more. */
export const GONE = 'gone';

/** Whether Linux has interfaces of that name; `%` would make it choose a number. */
export function isTapName(name: string): boolean {
  return name.length <= TAP_NAME_MAX && /^[A-Za-z0-9_.-]+$/u.test(name) && !/^\.{1,2}$/u.test(name);
}

/** A TAP interface, from the side of who plays the network card. */
export class Tap {
  readonly name: string;
  readonly fd: number;
  /** Frames that Linux did not take since the interface was down. */
  lostDown = 0;
  /** Frames that it did not take for another reason. */
  lost = 0;
  readonly #sys: TapSys;
  readonly #buffer = new Uint8Array(FRAME_MAX);

  /** `fd`: of an interface that `openTap` opened, in any thread of this process. */
  constructor(name: string, fd: number, sys: TapSys = linux(name)) {
    this.name = name;
    this.fd = fd;
    this.#sys = sys;
  }

  /** The next frame, the caller's to keep. */
  receive(): Uint8Array | typeof NO_FRAME | typeof GONE {
    const got = this.#sys.read(this.fd, this.#buffer);
    if (got >= 0) return this.#buffer.slice(0, got);
    return got === -TAP_ERRNO.EAGAIN ? NO_FRAME : GONE;
  }

  /** A frame for the host. As on a cable, what it does not take is lost. */
  send(frame: Uint8Array): void {
    const sent = this.#sys.write(this.fd, frame);
    if (sent === -TAP_ERRNO.EIO) this.lostDown++;
    else if (sent < 0) this.lost++;
  }

  /** Gives it back; one that was made by opening it goes. */
  close(): void {
    this.#sys.close(this.fd);
  }
}

/**
 * Opens a TAP interface of that name, or makes one, which lasts until it is closed. Frames come and
 * go whole, with finished checksums, and no longer than its MTU: no offload is asked for.
 *
 * @throws TapUnavailable
 */
export function openTap(name: string, sys: TapSys = linux(name)): Tap {
  if (!isTapName(name)) {
    throw new TapUnavailable(
      `${JSON.stringify(name)} is no name of an interface`,
      `use up to ${TAP_NAME_MAX} letters, digits, ".", "_" and "-"`,
    );
  }
  const fd = sys.open();
  if (fd < 0) throw notOpened(name, -fd);
  const failed = sys.attach(fd, name);
  if (failed < 0) {
    sys.close(fd);
    throw notAttached(name, -failed);
  }
  return new Tap(name, fd, sys);
}

function linux(name: string): TapSys {
  return new LinuxTapSys(
    (message, cure, cause) =>
      new TapUnavailable(`the TAP interface ${name}: ${message}`, cure, { cause }),
  );
}

function notOpened(name: string, errno: number): TapUnavailable {
  const what = `the TAP interface ${name} cannot be opened`;
  switch (errno) {
    case TAP_ERRNO.ENOENT:
      return new TapUnavailable(
        `${what}: there is no /dev/net/tun`,
        'modprobe tun; in a container, pass the device in (docker run --device /dev/net/tun)',
      );
    case TAP_ERRNO.ENXIO:
    case TAP_ERRNO.ENODEV:
      return new TapUnavailable(
        `${what}: this kernel has no driver behind /dev/net/tun`,
        'modprobe tun, or use a kernel with CONFIG_TUN',
      );
    case TAP_ERRNO.EACCES:
    case TAP_ERRNO.EPERM:
      return new TapUnavailable(
        `${what}: you may not open /dev/net/tun`,
        'sudo chmod 0666 /dev/net/tun, as most distributions have it: the right to an interface is another',
      );
    default:
      return new TapUnavailable(`${what}: /dev/net/tun: error ${errno}`, 'see `man 3 errno`');
  }
}

function notAttached(name: string, errno: number): TapUnavailable {
  const what = `the TAP interface ${name} cannot be used`;
  switch (errno) {
    case TAP_ERRNO.EPERM:
      return new TapUnavailable(
        `${what}: it is not yours, and making one needs CAP_NET_ADMIN`,
        `sudo ip tuntap add dev ${name} mode tap user "$USER"`,
      );
    case TAP_ERRNO.EBUSY:
      return new TapUnavailable(
        `${what}: another program has it open`,
        'end that program, or use another interface',
      );
    case TAP_ERRNO.EINVAL:
      return new TapUnavailable(
        `${what}: an interface of that name is there, and it is no TAP interface with one queue`,
        `use another name, or: sudo ip tuntap add dev NAME mode tap user "$USER"`,
      );
    default:
      return new TapUnavailable(`${what}: TUNSETIFF: error ${errno}`, 'see `man 3 errno`');
  }
}
