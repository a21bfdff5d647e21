import { DEFAULT_SERIES } from '../guest/index.ts';
import { atLeast, DEFAULT_KERNEL, showKernel, type KernelVersion } from '../topology/index.ts';

/**
 * Series of the stock kernel that a topology for `target` boots: the default one, which all is
 * measured with, unless the topology needs a newer one; then that or newer (`7.3+`).
 */
export function stockSeries(target: KernelVersion = DEFAULT_KERNEL): string {
  const newer = atLeast(target, DEFAULT_KERNEL.major, DEFAULT_KERNEL.minor + 1);
  return newer ? `${showKernel(target)}+` : DEFAULT_SERIES;
}
