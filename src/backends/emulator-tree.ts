import { createHash } from 'node:crypto';

import { findPath, readFdt, str, u64cells, FdtNode, writeFdt } from '../fdt/index.ts';

/** What a boot loader adds to a tree. */
export interface Chosen {
  readonly cmdline: string;
  /** Addresses of the initramfs; end exclusive. */
  readonly initrd: readonly [start: bigint, limit: bigint];
  /** What the kernel's random numbers come from: with the same one, a run is the same run. */
  readonly seed: string;
}

/** Linux takes up to 512 bytes of `rng-seed`, and is content with 32. */
const RNG_SEED_BYTES = 64;

/**
 * The topology's tree as a boot loader hands it over: `/chosen` has the command line, the initramfs
 * and a seed; nothing else is touched.
 *
 * @throws FormatError `fdt/…` for what is no tree
 */
export function chosenTree(blob: Uint8Array, given: Chosen): Uint8Array {
  const { tree, bootCpuid, memReserve } = readFdt(blob);
  fillChosen(findPath(tree, '/chosen') ?? tree.add(new FdtNode('chosen')), given);
  return writeFdt(tree, { names: 'lax', bootCpuid, memReserve });
}

/** What every boot puts into /chosen. */
export function fillChosen(chosen: FdtNode, { cmdline, initrd, seed }: Chosen): void {
  chosen
    .set('bootargs', str(cmdline))
    .set('linux,initrd-start', u64cells(initrd[0]))
    .set('linux,initrd-end', u64cells(initrd[1]))
    .set('rng-seed', rngSeed(seed));
}

function rngSeed(seed: string): Uint8Array {
  const hash = createHash('shake256', { outputLength: RNG_SEED_BYTES });
  return hash.update(`viommu-topo rng-seed ${seed}`).digest();
}
