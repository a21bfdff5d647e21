import type { Model } from '../topology/index.ts';
import { DISK_SIZE_DEFAULT, SECTOR_SIZE, type DiskImage } from './disk.ts';

/** The disks of a topology, in the order of its endpoints. */
export function diskImages(model: Model, seed: string): DiskImage[] {
  return model.endpoints.flatMap(({ id, device }) =>
    device?.kind === 'virtio-blk' || device?.kind === 'nvme'
      ? [{ endpoint: id, size: wholeSectors(device.size ?? DISK_SIZE_DEFAULT), seed }]
      : [],
  );
}

function wholeSectors(bytes: bigint): bigint {
  const sector = BigInt(SECTOR_SIZE);
  return ((bytes + sector - 1n) / sector) * sector;
}
