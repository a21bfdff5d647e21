/**
 * The TLBs: direct-mapped, 1024 pages each, apart for EL0 and EL1 and for data and instructions.
 *
 * They are a cache of the core's, no state: nothing in a run depends on what is in them, as long as
 * the guest invalidates what it changes. Pages that are no RAM are never entered.
 */
import {
  BLOCK_MAP,
  BLOCK_MAP_SIZE,
  DTLB,
  DTLB_BYTES,
  DTLB_EL0,
  EL,
  ITLB,
  ITLB_BYTES,
  ITLB_EL0,
  LOCAL_COUNT,
  LOCAL_LIST,
  LOCAL_LIST_MAX,
  TLBS_END,
} from './layout.ts';
import {
  hostOf,
  isRam,
  MAY_EXECUTE,
  MAY_READ,
  MAY_WRITE,
  walkedLevel,
  walkedLocal,
  walkedMay,
  walkedTo,
} from './walk.ts';

/** No tag: those have the lower 12 bits clear, and comparisons keep at most the lower 4 beside them. */
const NO_TAG: u64 = 1 << 11;
export const PAGE_MASK: u64 = 0xfffffffffffff000;

/** @inline Entry for an address in the data TLB of the current exception level. */
export function dataEntry(va: u64): u32 {
  return load<u32>(DTLB) + ((<u32>(va >> 7)) & 0x7fe0);
}

/** @inline The same in the data TLB of a given exception level. */
export function dataEntryOf(va: u64, el: u32): u32 {
  return DTLB_EL0 + el * DTLB_BYTES + ((<u32>(va >> 7)) & 0x7fe0);
}

/** @inline Entry for an address in the instruction TLB of the current exception level. */
export function codeEntry(va: u64): u32 {
  return load<u32>(ITLB) + ((<u32>(va >> 8)) & 0x3ff0);
}

/** Points the current TLBs at those of an exception level. */
export function selectTlbs(el: u32): void {
  store<u32>(EL, el);
  store<u32>(DTLB, DTLB_EL0 + el * DTLB_BYTES);
  store<u32>(ITLB, ITLB_EL0 + el * ITLB_BYTES);
}

/** TLBI VMALLE1 and everything that changes the regime. */
export function flushAll(): void {
  for (let at = DTLB_EL0; at < DTLB_EL0 + 2 * DTLB_BYTES; at += 32) {
    store<u64>(at, NO_TAG);
    store<u64>(at, NO_TAG, 8);
  }
  for (let at = ITLB_EL0; at < TLBS_END; at += 16) store<u64>(at, NO_TAG);
  memory.fill(BLOCK_MAP, 0, BLOCK_MAP_SIZE);
  store<u32>(LOCAL_COUNT, 0);
}

/** Another ASID or table: what is not global goes. ASIDs tag nothing here. */
export function flushLocal(): void {
  const count = load<u32>(LOCAL_COUNT);
  if (count >= <u32>LOCAL_LIST_MAX) {
    flushAll();
    return;
  }
  for (let n: u32 = 0; n < count; n++) {
    const entry = load<u32>(LOCAL_LIST + (n << 2));
    // An entry of code has its addend where one of data has its second tag: without a tag, no loss.
    store<u64>(entry, NO_TAG);
    store<u64>(entry, NO_TAG, 8);
  }
  store<u32>(LOCAL_COUNT, 0);
}

/** Remembers an entry that `flushLocal` must drop. */
function noteLocal(entry: u32): void {
  if (!walkedLocal) return;
  const count = load<u32>(LOCAL_COUNT);
  if (count >= <u32>LOCAL_LIST_MAX) return;
  store<u32>(LOCAL_LIST + (count << 2), entry);
  store<u32>(LOCAL_COUNT, count + 1);
}

/** Place of the bit for 2 MiB of the address space: neighbours spread, the two halves differ. */
function blockBit(va: u64): u32 {
  return <u32>((((va >> 21) & 0x7ffffff) * 0x9e3779b97f4a7c15) >> 54);
}

/** @param page TLBI's operand: the address's bits 55 to 12 */
export function flushPage(page: u64): void {
  // Bit 55 of the address decides its upper bits.
  const va = <u64>((<i64>(page << 20)) >> 8);
  const bit = blockBit(va);
  // Entries are of pages: one of a block does not tell how many more there are.
  if (load<u8>(BLOCK_MAP + (bit >>> 3)) & (1 << (bit & 7))) {
    flushAll();
    return;
  }
  for (let el: u32 = 0; el < 2; el++) {
    const data = dataEntryOf(va, el);
    store<u64>(data, NO_TAG);
    store<u64>(data, NO_TAG, 8);
    store<u64>(ITLB_EL0 + el * ITLB_BYTES + ((<u32>(va >> 8)) & 0x3ff0), NO_TAG);
  }
}

function noteBlock(va: u64): void {
  if (walkedLevel == 3) return;
  if (walkedLevel < 2) {
    memory.fill(BLOCK_MAP, 0xff, BLOCK_MAP_SIZE);
    return;
  }
  const bit = blockBit(va);
  const at = BLOCK_MAP + (bit >>> 3);
  store<u8>(at, <u8>((<u32>load<u8>(at)) | (1 << (bit & 7))));
}

/** Enters the page that `walk` found, when it is RAM and the address carries no tag byte. */
export function enterData(va: u64, el: u32): void {
  const pa = walkedTo & PAGE_MASK;
  if (!isRam(pa, 4096)) return;
  const entry = dataEntryOf(va, el);
  const tag = va & PAGE_MASK;
  store<u64>(entry, walkedMay & MAY_READ ? tag : NO_TAG);
  store<u64>(entry, walkedMay & MAY_WRITE ? tag : NO_TAG, 8);
  store<u32>(entry, hostOf(pa) - <u32>tag, 16);
  noteLocal(entry);
  noteBlock(va);
}

/** Enters the code page that `walk` found for the current exception level. */
export function enterCode(va: u64): void {
  if (!(walkedMay & MAY_EXECUTE)) return;
  const entry = codeEntry(va);
  const tag = va & PAGE_MASK;
  store<u64>(entry, tag);
  store<u32>(entry, hostOf(walkedTo & PAGE_MASK) - <u32>tag, 8);
  noteLocal(entry);
  noteBlock(va);
}
