import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { cli } from '../../support/cli.ts';

const scratch = mkdtempSync(join(tmpdir(), 'viommu-topo-help-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const QEMU = 'qemu-system-aarch64';

test.skipIf(spawnSync(QEMU, ['--version']).status !== 0)(
  'the example of build --help merges into the tree that its QEMU command writes',
  async () => {
    const { out: help } = await cli('build', '--help');
    const [, dump = ''] = new RegExp(`^ *(${QEMU} .*dumpdtb=base\\.dtb.*)$`, 'm').exec(help) ?? [];
    const [, build = ''] = /^ *viommu-topo (build .*--base-dtb base\.dtb.*)$/m.exec(help) ?? [];
    expect([dump, build]).not.toContain('');
    execFileSync('/bin/sh', ['-c', dump], { cwd: scratch, timeout: 60_000, stdio: 'ignore' });
    const words = build.split(' ').map((word) => {
      return word === 'out' || word === 'base.dtb' ? join(scratch, word) : word;
    });
    expect(await cli(...words)).toMatchObject({ code: 0 });
    expect(existsSync(join(scratch, 'out/merged.dtb'))).toBe(true);
  },
);
