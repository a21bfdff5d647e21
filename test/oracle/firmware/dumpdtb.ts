import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The device tree that QEMU makes for a `virt` machine of these options, as it is now. */
export function dumpTree(machine: string, devices: readonly string[]): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'viommu-topo-dumpdtb-'));
  try {
    const file = join(folder, 'virt.dtb');
    const args = ['-M', `virt,${machine},dumpdtb=${file}`, '-cpu', 'cortex-a57', '-m', '512'];
    const run = spawnSync(
      'qemu-system-aarch64',
      [...args, '-display', 'none', '-nodefaults', ...devices],
      { encoding: 'utf8', timeout: 60_000 },
    );
    if (run.error !== undefined) {
      throw new Error('qemu-system-aarch64 is missing: sudo apt-get install -y qemu-system-arm', {
        cause: run.error,
      });
    }
    if (run.status !== 0) throw new Error(`qemu-system-aarch64: exit ${run.status}\n${run.stderr}`);
    return new Uint8Array(readFileSync(file));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
