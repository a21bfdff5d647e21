import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, describe, expect, test } from 'vitest';

const scratch = mkdtempSync(join(tmpdir(), 'viommu-topo-completion-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** What is proposed for the last word, without the descriptions. */
async function complete(...words: string[]): Promise<string[]> {
  const argv = ['bin/viommu-topo.js', 'complete', '--', ...words];
  const { stdout } = await execa('node', argv);
  return stdout
    .split('\n')
    .flatMap((line) => (line.startsWith(':') ? [] : (line.split('\t')[0] ?? [])));
}

describe('completion', () => {
  test('commands, options, choices and files', async () => {
    expect(await complete('')).toEqual(expect.arrayContaining(['boot', 'check', 'init', 'doctor']));
    expect(await complete('boot', '--ba')).toEqual(['--backend']);
    expect(await complete('boot', '--backend', '')).toContain('qemu-vfio-user');
    expect(await complete('guest', '')).toContain('fetch');
    expect(await complete('check', 'topologies/one')).toEqual(['topologies/one-endpoint.yaml']);
    expect(await complete('build', 'x.yaml', '-o', 'topol')).toEqual(['topologies/']);
    expect(await complete('check', '/nowhere/at/all')).toEqual([]);
  });

  test('bash takes the code, and completes by it', async () => {
    const { stdout: code } = await execa('node', ['bin/viommu-topo.js', 'completion', 'bash']);
    const file = join(scratch, 'viommu-topo.bash');
    writeFileSync(file, code);
    // In place of the function of the package bash-completion that finds the words.
    const script = `
      viommu-topo() { node bin/viommu-topo.js "$@"; }
      _get_comp_words_by_ref() { words=(viommu-topo boot --fir); cur=--fir; prev=boot; cword=2; }
      compopt() { :; }
      . "$1"
      __viommu_topo_complete
      printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout } = await execa('bash', ['-c', script, 'bash', file]);
    expect(stdout.split('\n')).toEqual(expect.arrayContaining(['--firmware', '--firmware-from']));
  });

  test('a shell that is not known is refused', async () => {
    const argv = ['bin/viommu-topo.js', 'completion', 'csh'];
    const { exitCode, stderr } = await execa('node', argv, { reject: false });
    expect(exitCode).toBe(2);
    expect(stderr).toContain('zsh, bash, fish');
  });
});
