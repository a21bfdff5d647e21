import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import { diagnose } from '../../../src/cli/doctor/finding.ts';
import { cli } from '../../support/cli.ts';

const scratch = mkdtempSync(join(tmpdir(), 'viommu-topo-doctor-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
afterEach(() => void vi.unstubAllEnvs());

interface Answer {
  readonly capabilities: Readonly<Record<string, boolean>>;
  readonly findings: readonly { subject: string; state: string; seen: string; cure?: string }[];
}

/** A machine with the programs of `path` alone, and an empty cache. */
async function doctor(
  path: string,
  ...argv: string[]
): Promise<{ code: number; answer: Answer; err: string }> {
  vi.stubEnv('PATH', path);
  vi.stubEnv('XDG_CACHE_HOME', join(scratch, 'cache'));
  const { code, out, err } = await cli('doctor', '--format', 'json', ...argv);
  return { code, answer: JSON.parse(out) as Answer, err };
}

describe('doctor', () => {
  test('a capability needs everything that names it', () => {
    const finding = { subject: 'x', seen: '', use: '', needed: ['kvm', 'qemu-arm64'] } as const;
    const { capabilities } = diagnose([
      { ...finding, state: 'ok' },
      { ...finding, state: 'bad', needed: ['kvm'] },
      { subject: 'only nice', state: 'missing', seen: '', use: '' },
    ]);
    expect(capabilities).toMatchObject({ kvm: false, 'qemu-arm64': true, model: true });
  });

  test('on a bare machine: what is missing, each with its cure', async () => {
    const { code, answer } = await doctor(scratch);
    expect(code).toBe(0);
    expect(answer.capabilities).toMatchObject({ model: true, 'qemu-arm64': false, kvm: false });
    const missing = answer.findings.filter(({ state }) => state !== 'ok');
    const names = missing.map(({ subject }) => subject);
    for (const name of ['QEMU for arm64', 'QEMU for x86-64', 'arm64 kernel', 'dtc', 'iasl']) {
      expect(names).toContain(name);
    }
    for (const { subject, cure } of missing) expect(cure, subject).toMatch(/\w/u);
  });

  test('--require is exit 3 for what is not there, and says what', async () => {
    const { code, err } = await doctor(scratch, '--require', 'model,qemu-arm64,kvm');
    expect(code).toBe(3);
    expect(err).toContain('cannot run qemu-arm64, kvm\n');
    expect((await doctor(scratch, '--require', 'model')).code).toBe(0);
    const unknown = await cli('doctor', '--require', 'warp');
    expect(unknown.code).toBe(2);
    expect(unknown.err).toContain('one or more of model');
  });

  test('a program that is too old, or is another one, is no use', async () => {
    const fake = (name: string, says: string): void => {
      writeFileSync(join(scratch, name), `#!/bin/sh\necho '${says}'\n`);
      chmodSync(join(scratch, name), 0o755);
    };
    fake('iasl', 'ASL+ Optimizing Compiler/Disassembler version 20200925');
    fake('dtc', 'hello');
    fake('qemu-system-aarch64', 'QEMU emulator version 5.2.0');
    const { answer } = await doctor(`${scratch}:/bin`);
    const of = (name: string): unknown => answer.findings.find(({ subject }) => subject === name);
    expect(of('iasl')).toMatchObject({ state: 'bad', seen: expect.stringContaining('VIOT') });
    expect(of('dtc')).toMatchObject({ state: 'bad' });
    expect(of('QEMU for arm64')).toMatchObject({
      state: 'bad',
      seen: expect.stringContaining('5.2.0'),
    });
  });
});
