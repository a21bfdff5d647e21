import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { cli } from '../../support/cli.ts';

const readme = readFileSync('README.md', 'utf8');
const scratch = mkdtempSync(join(tmpdir(), 'viommu-topo-readme-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

describe('README', () => {
  test('its topology is right', async () => {
    const yaml = /```yaml\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';
    expect(yaml.trim().split('\n').length).toBeLessThanOrEqual(15);
    const file = join(scratch, 'readme.yaml');
    writeFileSync(file, yaml);
    expect(await cli('check', file)).toMatchObject({ code: 0, out: '' });
  });

  test('the output it shows is what comes out', async () => {
    const [, command = '', shown = ''] =
      /\$ viommu-topo (check .*)\n([\s\S]*?)```/.exec(readme) ?? [];
    const { out } = await cli(...command.split(' '));
    expect(out.trim()).toBe(shown.trim());
  });

  test('its links lead somewhere', () => {
    const links = [...readme.matchAll(/\]\(([^)#]+)\)/g)].map(([, link]) => link ?? '');
    expect(links.length).toBeGreaterThan(15);
    expect(links.filter((link) => !existsSync(link))).toEqual([]);
  });

  test('its npm scripts exist', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as {
      scripts: Record<string, string>;
    };
    const named = [...readme.matchAll(/npm run ([a-z:-]+)/g)].map(([, name]) => name ?? '');
    expect(named.length).toBeGreaterThanOrEqual(2);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });

  test('it is short', () => {
    expect(readme.split('\n').length).toBeLessThanOrEqual(200);
  });
});
