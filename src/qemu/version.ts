/** A version of QEMU; 7.2.22 is the stable release 22 of 7.2. */
export interface QemuVersion {
  readonly major: number;
  readonly minor: number;
  readonly micro: number;
}

/** The oldest QEMU this project drives: virtio-iommu has `boot-bypass` and VIOT since 7.0. */
export const OLDEST_QEMU: QemuVersion = { major: 7, minor: 2, micro: 0 };

/** The first QEMU with a client of vfio-user (`vfio-user-pci`). */
export const VFIO_USER_QEMU: QemuVersion = { major: 10, minor: 1, micro: 0 };

/** The version in the first line of `--version`, or undefined when that is not QEMU speaking. */
export function parseQemuVersion(text: string): QemuVersion | undefined {
  const match = /^QEMU emulator version (\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?/m.exec(text);
  if (match === null) return undefined;
  return { major: Number(match[1]), minor: Number(match[2]), micro: Number(match[3] ?? 0) };
}

/** Whether `version` is `major.minor` or newer. */
export function qemuAtLeast(version: QemuVersion, major: number, minor: number): boolean {
  return version.major > major || (version.major === major && version.minor >= minor);
}

/** `7.2.22`. */
export function showQemuVersion(version: QemuVersion): string {
  return `${version.major}.${version.minor}.${version.micro}`;
}
