import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { makeDirectories } from '../../../src/bytes/index.ts';

const scratch = mkdtempSync(join(tmpdir(), 'viommu-topo-directories-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

describe('making directories', () => {
  test('all that are missing, with the mode asked for; twice is once', () => {
    const path = join(scratch, 'a', 'b c', 'ü\n');
    makeDirectories(path, 0o700);
    makeDirectories(path, 0o755);
    expect(statSync(path).mode & 0o777).toBe(0o700);
    expect(statSync(join(scratch, 'a')).isDirectory()).toBe(true);
    makeDirectories('/');
    makeDirectories('');
  });

  test('where the system answers "no such file" for ever it ends', () => {
    expect(() => makeDirectories('/proc/none/x/y')).toThrow(/ENOENT/u);
  });

  test('what is in the way is said', () => {
    writeFileSync(join(scratch, 'file'), '');
    symlinkSync(join(scratch, 'nowhere'), join(scratch, 'link'));
    expect(() => makeDirectories(join(scratch, 'file'))).toThrow(/EEXIST/u);
    expect(() => makeDirectories(join(scratch, 'file', 'x'))).toThrow(/ENOTDIR/u);
    expect(() => makeDirectories(join(scratch, 'link'))).toThrow(/EEXIST/u);
    mkdirSync(join(scratch, 'real'));
    symlinkSync(join(scratch, 'real'), join(scratch, 'good'));
    makeDirectories(join(scratch, 'good', 'x'));
    expect(statSync(join(scratch, 'real', 'x')).isDirectory()).toBe(true);
  });
});
