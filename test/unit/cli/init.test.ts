import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { cli } from '../../support/cli.ts';

const scratch = mkdtempSync(join(tmpdir(), 'viommu-topo-init-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

describe('init', () => {
  test('what it writes passes check and builds', async () => {
    const file = join(scratch, 'first.yaml');
    const { code, out } = await cli(
      'init',
      file,
      '--machine',
      'q35',
      '--disks',
      '2',
      '--ports',
      '1',
    );
    expect(code).toBe(0);
    expect(out).toContain(`viommu-topo boot ${file}`);
    expect((await cli('check', file)).code).toBe(0);
    expect((await cli('build', file, '-o', join(scratch, 'out'))).code).toBe(0);
    const text = readFileSync(file, 'utf8');
    expect(text.match(/id: disk\d/gu)).toHaveLength(2);
    expect(text).toContain('extends: q35');
    expect(text).toContain('boot-bypass: true');
  });

  test('a file that is there stays, unless --force says otherwise', async () => {
    const file = join(scratch, 'kept.yaml');
    writeFileSync(file, 'mine\n');
    const refused = await cli('init', file);
    expect(refused.code).toBe(2);
    expect(refused.err).toMatch(/is there already[^]*cure: name another file, or give --force/u);
    expect(readFileSync(file, 'utf8')).toBe('mine\n');
    expect((await cli('init', file, '--force')).code).toBe(0);
    expect(readFileSync(file, 'utf8')).toContain('extends: virt-arm64');
  });

  test('what cannot be is said with its reason', async () => {
    const none = await cli('init', '--print', '--disks', '0', '--nics', '0');
    expect(none).toMatchObject({ code: 2, out: '' });
    expect(none.err).toContain('nothing is behind the vIOMMU');
    const many = await cli('init', '--print', '--disks', '7');
    expect(many.code).toBe(2);
    expect(many.err).toContain('a number from 0 to 6');
    const blocked = await cli('init', '--print', '--bypassing', '1', '--no-boot-bypass');
    expect(blocked.err).toContain('need boot-bypass');
  });

  test('a directory that cannot be written gives exit 2, not a stack', async () => {
    const { code, err } = await cli('init', join(scratch, 'nowhere', 'first.yaml'));
    expect(code).toBe(2);
    expect(err).not.toContain('mistake of viommu-topo');
  });

  test('--print writes to standard output, and nowhere else', async () => {
    const { code, out } = await cli('init', '--print', '--no-boot-bypass');
    expect(code).toBe(0);
    expect(out).toContain('boot-bypass: false');
  });
});
