/**
 * PCI and PCI Express numbers that several rooms use.
 * Requester ID (PCI Express Base 2.2.6.2): bus << 8 | device << 3 | function.
 */

/** The requester ID of a function. */
export function requesterId(bus: number, device: number, fn: number): number {
  return (bus << 8) | (device << 3) | fn;
}

/** Bus, device and function of a requester ID. */
export function splitRequesterId(rid: number): { bus: number; device: number; fn: number } {
  return { bus: (rid >> 8) & 0xff, device: (rid >> 3) & 0x1f, fn: rid & 7 };
}

/** `00:03.0`, or `0001:00:03.0` when a segment other than 0 is given. */
export function showBdf(rid: number, segment = 0): string {
  const { bus, device, fn } = splitRequesterId(rid);
  const two = (n: number): string => n.toString(16).padStart(2, '0');
  const bdf = `${two(bus)}:${two(device)}.${fn}`;
  return segment === 0 ? bdf : `${segment.toString(16).padStart(4, '0')}:${bdf}`;
}

/** `0000:00:03.0`: the name Linux gives a function, segment always written. */
export function linuxPciName(rid: number, segment: number): string {
  return `${segment.toString(16).padStart(4, '0')}:${showBdf(rid)}`;
}

/** Highest requester ID of a segment. */
export const RID_MAX = 0xffff;
