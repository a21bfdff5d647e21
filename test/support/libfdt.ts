import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SOURCE = new URL('../oracle/fdt/fdt_check_full.c', import.meta.url).pathname;

/** libfdt's `fdt_check_full`, compiled when it is made; `close` removes its files. */
export class LibfdtJudge {
  readonly #folder = mkdtempSync(join(tmpdir(), 'viommu-topo-libfdt-'));
  readonly #program = join(this.#folder, 'fdt_check_full');

  constructor() {
    const args = ['-O1', '-Wall', '-o', this.#program, SOURCE, '-lfdt'];
    const run = spawnSync('gcc', args, { encoding: 'utf8', timeout: 60_000 });
    if (run.status === 0) return;
    this.close();
    throw new Error(
      `cannot compile against libfdt: sudo apt-get install -y gcc libc6-dev libfdt-dev\n${run.stderr ?? run.error}`,
    );
  }

  /** `ok` or libfdt's error (`FDT_ERR_TRUNCATED`), for each blob. */
  check(...blobs: readonly Uint8Array[]): string[] {
    const files = blobs.map((blob, index) => {
      const file = join(this.#folder, `${index}.dtb`);
      writeFileSync(file, blob);
      return file;
    });
    const run = spawnSync(this.#program, files, { encoding: 'utf8', timeout: 60_000 });
    if (run.status !== 0) throw new Error(`fdt_check_full: exit ${run.status}, ${run.stderr}`);
    return run.stdout.trim().split('\n');
  }

  close(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
