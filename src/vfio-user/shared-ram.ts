import type { GuestMemory } from '../memory/index.ts';

/** Bytes that are looked at: firmware, kernel or device tree lie there on every board. */
const LOOK = 16 * 2 ** 20;

/**
 * Whether the guest's RAM looks as if no guest ran in it, while one does: the lowest 16 MiB are zeros.
 * That is so when QEMU's memory backend is not shared. The descriptor it passes is of pages that the
 * guest has private copies of, and nobody would ever see an error.
 */
export function looksUnshared(memory: GuestMemory): boolean {
  let left = LOOK;
  let looked = false;
  for (const { bytes, writable } of memory.windows()) {
    if (writable === false || left <= 0) continue;
    looked = true;
    const length = Math.min(bytes.length, left);
    if (!isZero(bytes, length)) return false;
    left -= length;
  }
  return looked;
}

function isZero(bytes: Uint8Array, length: number): boolean {
  const whole = bytes.byteOffset % 4 === 0 ? Math.floor(length / 4) : 0;
  const words = new Int32Array(bytes.buffer, whole === 0 ? 0 : bytes.byteOffset, whole);
  for (let i = 0; i < whole; i++) if (words[i] !== 0) return false;
  for (let i = 4 * whole; i < length; i++) if (bytes[i] !== 0) return false;
  return true;
}
