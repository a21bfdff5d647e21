/** Where things lie in the guest's memory, in both worlds; the CPU's side keeps a copy of it. */
export const BASE = 0x100_0000;
export const SIZE = 0x20_0000;

export const REQUEST_RING = BASE + 0x1000;
export const EVENT_RING = BASE + 0x2_0000;
export const EVENT_BUFFERS = BASE + 0x3_0000;
export const EVENT_STRIDE = 64;
/** Requests and replies of one go. */
export const ARENA = BASE + 0x4_0000;
export const ARENA_END = BASE + 0xc_0000;

/** What mappings lead to: pages of random bytes, none of them zero. */
export const SCRATCH = BASE + 0x10_0000;
export const SCRATCH_SIZE = 0x8_0000;
/** Where the buffers of the DMA devices are shown, and what is loaded into them before. */
export const DUMP = SCRATCH + SCRATCH_SIZE;
export const PATTERN = DUMP + 0x1_0000;

export const PAGE = 0x1000;
/** What PROBE reports on a q35. */
export const MSI = { start: 0xfee0_0000n, end: 0xfeef_ffffn };
export const LAST_ADDRESS = (1n << 64n) - 1n;
/** What replies hold before the device writes them. */
export const FILLER = 0xaa;

/** Bytes of an edu's buffer that are used: QEMU 7.2 ends itself when a transfer has its last one. */
export const BUFFER_SIZE = 0xf80;

/**
 * Where in the pattern a message is that wakes nobody: a fixed interrupt. An NMI would set the CPU
 * running, and the clock would no longer jump from timer to timer.
 */
export const MESSAGE_AT = 128;
export const MESSAGE = [0x40, 0, 0, 0] as const;
