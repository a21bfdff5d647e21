/**
 * Where QEMU's arm64 `virt` board (7.2 to 11.1, highmem on) has what a topology names.
 * Guest-physical addresses; from QEMU's hw/arm/virt.c, held against its own device tree by a test.
 */
export const VIRT = {
  ram: 0x4000_0000n,
  gicDistributor: 0x0800_0000n,
  /** GICv2. */
  gicCpuInterface: 0x0801_0000n,
  gicV2m: 0x0802_0000n,
  gicIts: 0x0808_0000n,
  /** GICv3. */
  gicRedistributors: 0x080a_0000n,
  virtioMmio: 0x0a00_0000n,
  virtioMmioSize: 0x200n,
  virtioMmioCount: 32,
  /** SPI of the first virtio-mmio device, counted from 0. */
  virtioMmioSpi: 16,
  ecam: 0x40_1000_0000n,
  /** Configuration space of one bus. */
  ecamPerBus: 0x10_0000n,
  mem32: { start: 0x1000_0000n, end: 0x3efe_ffffn },
  mem64: { start: 0x80_0000_0000n, end: 0xff_ffff_ffffn },
  io: { start: 0x3eff_0000n, end: 0x3eff_ffffn },
  /** CPUs a GICv2 can serve. */
  gicv2Cpus: 8,
} as const;

/** Which virtio-mmio slot has its registers at `base`, or undefined. */
export function virtioMmioSlot(base: bigint): number | undefined {
  const offset = base - VIRT.virtioMmio;
  if (offset < 0n || offset % VIRT.virtioMmioSize !== 0n) return undefined;
  const slot = Number(offset / VIRT.virtioMmioSize);
  return slot < VIRT.virtioMmioCount ? slot : undefined;
}

/** Q35: configuration space of segment 0, all 256 buses (as SeaBIOS programs it). */
export const Q35 = { ecam: 0xb000_0000n } as const;
