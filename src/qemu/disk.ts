import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';

/** Bytes of a disk whose topology states none. */
export const DISK_SIZE_DEFAULT = 16n * 1024n * 1024n;
export const SECTOR_SIZE = 512;

/** An image of an endpoint's disk. */
export interface DiskImage {
  /** The endpoint's id in the topology. */
  readonly endpoint: string;
  /** Bytes, a multiple of {@link SECTOR_SIZE}. */
  readonly size: bigint;
  readonly seed: string;
}

/**
 * Sector `index` of an image: a line of text that names disk, seed and sector.
 *
 * Readable on purpose: when a guest reads the wrong memory, the wrong bytes say where they are
 * from. And a POSIX shell can write the same image (`boot.sh` does).
 */
export function diskSector(image: DiskImage, index: bigint): string {
  const label = `${diskLabel(image)} sector ${index.toString().padStart(12, '0')} `;
  return `${label.slice(0, SECTOR_SIZE - 1).padEnd(SECTOR_SIZE - 1, '.')}\n`;
}

/** What each sector of the image begins with. */
export function diskLabel(image: DiskImage): string {
  return `viommu-topo ${asciiWord(image.endpoint)} seed ${asciiWord(image.seed)}`;
}

/** Only characters that printf, awk and a shell pass through unchanged, and not too many. */
function asciiWord(text: string): string {
  return text.replaceAll(/[^A-Za-z0-9._-]/g, '_').slice(0, 100);
}

const SECTORS_PER_CHUNK = 2048n;

/** The image's bytes in chunks of at most 1 MiB. */
export function* diskChunks(image: DiskImage, limit: bigint = image.size): Generator<Buffer> {
  const sectors = (limit < image.size ? limit : image.size) / BigInt(SECTOR_SIZE);
  for (let at = 0n; at < sectors; at += SECTORS_PER_CHUNK) {
    const stop = at + SECTORS_PER_CHUNK < sectors ? at + SECTORS_PER_CHUNK : sectors;
    let text = '';
    for (let sector = at; sector < stop; sector++) text += diskSector(image, sector);
    yield Buffer.from(text, 'latin1');
  }
}

/** SHA-256 (hex) of the first `bytes` of the image; the whole image when not given. */
export function diskSha256(image: DiskImage, bytes: bigint = image.size): string {
  const hash = createHash('sha256');
  for (const chunk of diskChunks(image, bytes)) hash.update(chunk);
  return hash.digest('hex');
}

/** Writes the image; `path` holds the whole of it or is not there. */
export async function writeDiskImage(image: DiskImage, path: string): Promise<void> {
  const half = `${path}.${process.pid}.half`;
  try {
    await pipeline(diskChunks(image), createWriteStream(half));
    await rename(half, path);
  } finally {
    await rm(half, { force: true });
  }
}
