import type { Guest } from '../../guest/index.ts';
import type { Capability, Finding } from './finding.ts';

const NEEDED = {
  arm64: ['emulator', 'qemu-arm64'],
  amd64: ['qemu-x86-64'],
} as const satisfies Record<string, readonly Capability[]>;

/** Stock kernels in the cache. One that is missing is fetched by `boot`, so it keeps nothing from running. */
export function findGuests(guests: ReadonlyMap<string, Guest>): Finding[] {
  return (['arm64', 'amd64'] as const).flatMap((arch): Finding[] => {
    const use = `guests of ${NEEDED[arch].join(', ')}`;
    const here = [...guests].filter(([, guest]) => guest.arch === arch);
    if (here.length === 0) {
      const cure = `viommu-topo guest fetch --arch ${arch} (boot does it by itself)`;
      return [
        { subject: `${arch} kernel`, state: 'missing', seen: 'none in the cache', use, cure },
      ];
    }
    return here.map(([name, { release }]) => ({
      subject: `${arch} kernel`,
      state: 'ok',
      seen: `${release} (${name})`,
      use,
    }));
  });
}
