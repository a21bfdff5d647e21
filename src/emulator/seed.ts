/** Bytes that the kernel takes for its first entropy: 64 are credited as enough. */
const SEED_BYTES = 64;

/**
 * The value of `/chosen`'s `rng-seed`: the same bytes for the same number.
 *
 * A guest without it starts with an empty entropy pool, and then hashes for each random number that
 * the kernel draws while it boots: some 100 million instructions. Nothing here is secret.
 */
export function rngSeed(seed: number): Uint8Array {
  const bytes = new Uint8Array(SEED_BYTES);
  let state = seed >>> 0;
  for (let at = 0; at < SEED_BYTES; at++) {
    state = (state + 0x9e37_79b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x85eb_ca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35);
    bytes[at] = (mixed ^ (mixed >>> 16)) & 0xff;
  }
  return bytes;
}
