import type { Guest } from '../guest/index.ts';
import type { Environment } from '../scenario/index.ts';

/** Which kernel ran, and where it came from, for a verdict. */
export function kernelOf(guest: Guest): NonNullable<Environment['kernel']> {
  const [image] = guest.packages;
  return {
    release: guest.release,
    sha256: guest.kernelSha256,
    origin: image === undefined ? guest.kernel : `${image.package} ${image.version}`,
  };
}
