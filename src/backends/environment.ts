import type { Guest } from '../guest/index.ts';
import type { Environment } from '../scenario/index.ts';

/** Which kernel ran, and where it came from, for a verdict. */
export function kernelOf(guest: Guest): NonNullable<Environment['kernel']> {
  // A kernel of the user's own is of no package; the programs beside it are.
  const image = guest.packages.find((one) => one.package.startsWith('linux-image'));
  return {
    release: guest.release,
    sha256: guest.kernelSha256,
    origin: image === undefined ? guest.kernel : `${image.package} ${image.version}`,
  };
}
