import type { GuestMemory } from '../memory/index.ts';

/** A piece of RAM that is not zero. */
export interface MemoryPage {
  readonly gpa: bigint;
  readonly bytes: Uint8Array;
}

const PAGE = 0x1_0000;

/** The parts of a guest's RAM that hold anything, in pieces of up to 64 KiB. */
export function savePages(memory: GuestMemory): MemoryPage[] {
  const pages: MemoryPage[] = [];
  for (const { gpa, bytes, writable } of memory.windows()) {
    if (writable === false) continue;
    for (let at = 0; at < bytes.length; at += PAGE) {
      const page = bytes.subarray(at, at + PAGE);
      if (!isZero(page)) pages.push({ gpa: gpa + BigInt(at), bytes: page.slice() });
    }
  }
  return pages;
}

/** Makes RAM hold exactly that; pages outside of it are ignored. */
export function restorePages(memory: GuestMemory, pages: readonly MemoryPage[]): void {
  for (const { gpa, bytes, writable } of memory.windows()) {
    if (writable === false) continue;
    const end = gpa + BigInt(bytes.length);
    const mine = pages.filter((page) => page.gpa >= gpa && page.gpa < end);
    const kept = new Set(mine.map((page) => Number(page.gpa - gpa)));
    for (let at = 0; at < bytes.length; at += PAGE) {
      const page = bytes.subarray(at, at + PAGE);
      // Writing to a page that the host has not made yet would make it.
      if (!kept.has(at) && !isZero(page)) page.fill(0);
    }
    for (const page of mine) bytes.set(page.bytes, Number(page.gpa - gpa));
  }
}

function isZero(bytes: Uint8Array): boolean {
  const words = Math.floor(bytes.length / 8);
  if (bytes.byteOffset % 8 !== 0) return bytes.every((byte) => byte === 0);
  const wide = new Float64Array(bytes.buffer, bytes.byteOffset, words);
  for (let i = 0; i < words; i++) {
    const word = wide[i];
    // -0 is a word with its sign bit set.
    if (word !== 0 || Object.is(word, -0)) return false;
  }
  return bytes.subarray(words * 8).every((byte) => byte === 0);
}
