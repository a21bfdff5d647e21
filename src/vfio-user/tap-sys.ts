/**
 * What a TAP interface asks of the operating system (Linux Documentation/networking/tuntap.rst). A
 * failure is the negative of its errno. Nothing blocks.
 */
export interface TapSys {
  /** Opens `/dev/net/tun`: a descriptor. */
  open(): number;
  /** Makes the descriptor one of that interface, which is made if there is none: 0. */
  attach(fd: number, name: string): number;
  /** One frame: its bytes. */
  read(fd: number, into: Uint8Array): number;
  /** One frame: the bytes taken. */
  write(fd: number, frame: Uint8Array): number;
  close(fd: number): void;
}

/** Errors of TAP interfaces, by the numbers that Linux has for them on x86-64 and arm64. */
export const TAP_ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EIO: 5,
  ENXIO: 6,
  EAGAIN: 11,
  EACCES: 13,
  EBUSY: 16,
  ENODEV: 19,
  EINVAL: 22,
} as const;

/** Most bytes of an interface's name (IFNAMSIZ, less its end). */
export const TAP_NAME_MAX = 15;
