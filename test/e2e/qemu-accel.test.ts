import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';

import { fetchGuest } from '../../src/guest/index.ts';
import { chooseAccel, findQemu, tryKvm, workDirectory } from '../../src/qemu/index.ts';

const work = await workDirectory();
afterAll(work.remove);

describe('the accelerator', () => {
  test('is what a trial with the kernel says, and the answer is kept', async () => {
    const qemu = await findQemu('x86-64');
    const { kernel } = await fetchGuest('amd64');
    const options = { kernel, cache: work.path };
    const first = await chooseAccel(qemu, options);
    expect(['kvm', 'tcg']).toContain(first.accel);
    expect(first.reason).not.toBe('');
    expect(await chooseAccel(qemu, options)).toEqual(first);
    console.log(first);
  });

  test('is TCG for a kernel that does not come up, with the reason', async () => {
    const qemu = await findQemu('x86-64');
    const kernel = join(work.path, 'no-kernel');
    writeFileSync(kernel, 'this is no kernel');
    const result = await tryKvm(qemu, { kernel });
    expect(result.accel).toBe('tcg');
    expect(result.reason).toMatch(/KVM/);
  });

  test('is TCG for another architecture, without a trial', async () => {
    const other = process.arch === 'arm64' ? 'x86-64' : 'arm64';
    const before = readdirSync(work.path).length;
    const result = await chooseAccel(await findQemu(other), { kernel: '/none', cache: work.path });
    expect(result).toMatchObject({ accel: 'tcg' });
    expect(result.reason).toContain('host');
    expect(readdirSync(work.path).length).toBe(before);
  });
});
