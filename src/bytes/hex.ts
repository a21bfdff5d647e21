/** `0x1f`, lower case, no padding unless `width` digits are asked for. */
export function hex(value: bigint | number, width = 0): string {
  return value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16).padStart(width, '0')}`;
}
