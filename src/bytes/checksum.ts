/** Sum of all bytes modulo 256; an ACPI table is valid when it is 0 (ACPI 6.5, 5.2.6). */
export function sum8(bytes: Uint8Array): number {
  let sum = 0;
  for (const byte of bytes) sum = (sum + byte) & 0xff;
  return sum;
}

/** The byte that makes the sum of the table 0 when the byte now stored there is `current`. */
export function checksumByte(bytes: Uint8Array, current: number): number {
  return (current - sum8(bytes)) & 0xff;
}
