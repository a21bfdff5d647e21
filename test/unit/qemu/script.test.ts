import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';

import {
  bootScript,
  buildCommand,
  commandArgv,
  diskFileName,
  diskSha256,
  OLDEST_QEMU,
  preflight,
  scriptProducts,
  workDirectory,
  writeDiskImage,
  type FileName,
} from '../../../src/qemu/index.ts';
import { loadTopology, type Model } from '../../../src/topology/index.ts';

const work = await workDirectory();
afterAll(work.remove);

const models = readdirSync('topologies').flatMap((file): (readonly [string, Model])[] => {
  if (!file.endsWith('.yaml')) return [];
  const { model } = loadTopology(`topologies/${file}`);
  return model === undefined || preflight(model).length > 0 ? [] : [[file, model]];
});

/** Stands in for QEMU and writes down its arguments, one on each line. */
const printer = join(work.path, 'printer');
writeFileSync(printer, '#!/bin/sh\nfor a in "$@"; do printf "%s\\n" "$a"; done\n', { mode: 0o755 });

let directory = work.path;
beforeEach(() => {
  // A directory of its own for each test: the script keeps images that are there.
  directory = mkdtempSync(join(work.path, 'run-'));
});

function run(script: string, env: Record<string, string>, ...args: string[]): string[] {
  const path = join(directory, 'boot.sh');
  writeFileSync(path, script, { mode: 0o755 });
  const out = execFileSync('/bin/sh', [path, ...args], {
    env: { PATH: process.env['PATH'] ?? '', HOME: work.path, QEMU: printer, ...env },
    encoding: 'utf8',
  });
  return out.trimEnd().split('\n');
}

const kernel = join(work.path, 'a kernel');
const initrd = join(work.path, "an 'initrd'");
writeFileSync(kernel, '');
writeFileSync(initrd, '');
const APPEND = 'console=x panic=-1';

describe.each(models)('boot.sh of %s', (_, model) => {
  const script = bootScript(model, { append: APPEND });

  test('gives QEMU what a started process would get', () => {
    const command = buildCommand(model, { version: OLDEST_QEMU, append: APPEND });
    const files = new Map<FileName, string>([
      ['kernel', kernel],
      ['initrd', initrd],
      ['tree', 'topology.dtb'],
      ...command.disks.map(({ endpoint }) => [`disk:${endpoint}`, diskFileName(endpoint)] as const),
    ]);
    const cpu = model.arch === 'arm64' ? 'cortex-a57' : 'qemu64';
    const argv = commandArgv(command, { files, accel: 'tcg', cpu });
    expect(run(script, {}, kernel, initrd)).toEqual(['-serial', 'stdio', ...argv]);
  });

  test('makes the disks that are missing, with the bytes that are promised', () => {
    const { disks } = buildCommand(model, { version: OLDEST_QEMU, append: '' });
    run(script, { KERNEL: kernel, INITRD: initrd });
    for (const disk of disks) {
      const bytes = readFileSync(join(directory, diskFileName(disk.endpoint)));
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(diskSha256(disk));
    }
  });

  test.skipIf(spawnSync('shellcheck', ['--version']).status !== 0)(
    'shellcheck has nothing to say',
    () => {
      const result = spawnSync('shellcheck', ['-s', 'sh', '-'], {
        input: script,
        encoding: 'utf8',
      });
      expect(result.stdout).toBe('');
      expect(result.status).toBe(0);
    },
  );

  test('is the same text every time', () => {
    expect(bootScript(model, { append: APPEND })).toBe(script);
  });
});

describe('the script', () => {
  const first = models[0];
  if (first === undefined) throw new Error('no topology');
  const script = bootScript(first[1]);

  test('says what is missing', () => {
    const path = join(work.path, 'boot.sh');
    writeFileSync(path, script);
    const result = spawnSync('/bin/sh', [path, '/none', '/none'], { encoding: 'utf8' });
    expect(result.status).toBe(3);
    expect(result.stderr).toContain('/none is missing');
  });

  const script73 = (): string => {
    const model = models.find(([file]) => file === 'direct-region.yaml')?.[1];
    if (model === undefined) throw new Error('no direct-region');
    return bootScript(model, { append: APPEND });
  };
  /** Runs the script from another directory than its own; nothing is in the environment but `env`. */
  const from = (cwd: string, env: Record<string, string>, ...args: string[]) => {
    writeFileSync(join(directory, 'boot.sh'), script);
    const path = process.env['PATH'] ?? '';
    return spawnSync('/bin/sh', [join(directory, 'boot.sh'), ...args], {
      cwd,
      env: { PATH: path, QEMU: printer, ...env },
      encoding: 'utf8',
    });
  };

  test('takes paths from where the caller stands, without HOME', () => {
    const { stdout, stderr, status } = from(
      work.path,
      { TRACE: 'trace.log', QMP: 'qmp', CDPATH: '/tmp:/' },
      'a kernel',
      "an 'initrd'",
    );
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    const words = stdout.split('\n');
    expect(words[words.indexOf('-kernel') + 1]).toBe(kernel);
    expect(words[words.indexOf('-initrd') + 1]).toBe(initrd);
    expect(words[words.indexOf('-D') + 1]).toBe(join(work.path, 'trace.log'));
    expect(words[words.indexOf('-qmp') + 1]).toContain(join(work.path, 'qmp'));
    expect(from(work.path, { KERNEL: 'a kernel', INITRD: initrd, QEMU: './printer' }).status).toBe(
      0,
    );
  });

  test('without HOME and kernel, says what is missing and how to get it', () => {
    const { stderr, status } = from(work.path, {});
    expect(status).toBe(3);
    expect(stderr).toContain('viommu-topo guest fetch --arch arm64 --series 6.12');
  });

  test.each([
    ['one file', ['kernel']],
    ['one file and options', ['kernel', '--', '-S']],
    ['three files', ['a', 'b', 'c']],
    ['options without --', ['-S']],
  ])('%s is a wrong use', (_, args) => {
    const { stderr, stdout, status } = from(work.path, {}, ...args);
    expect(status).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toContain('usage: boot.sh');
  });

  test('looks for the guest of the series that the topology needs', () => {
    const cache = join(directory, 'cache');
    const guest = join(cache, 'viommu-topo/guests/arm64-7.3+');
    mkdirSync(guest, { recursive: true });
    writeFileSync(join(guest, 'vmlinuz'), '');
    writeFileSync(join(guest, 'initramfs.cpio'), '');
    const words = run(script73(), { XDG_CACHE_HOME: cache });
    expect(words[words.indexOf('-kernel') + 1]).toBe(join(guest, 'vmlinuz'));
  });

  test('an interrupted disk leaves nothing that the next run would take for one', () => {
    const bin = mkdtempSync(join(work.path, 'bin-'));
    writeFileSync(join(bin, 'awk'), '#!/bin/sh\necho half\nkill -TERM $PPID\nsleep 0.1\n', {
      mode: 0o755,
    });
    const path = `${bin}:${process.env['PATH'] ?? ''}`;
    const { status } = from(work.path, { PATH: path }, kernel, initrd);
    expect(status).toBe(143);
    expect(readdirSync(directory)).toEqual(['boot.sh']);
  });

  test('names every file that it makes', () => {
    for (const [, model] of models) {
      const before = mkdtempSync(join(work.path, 'made-'));
      directory = before;
      run(bootScript(model), {}, kernel, initrd);
      expect(readdirSync(before).toSorted()).toEqual(
        ['boot.sh', ...scriptProducts(model)].toSorted(),
      );
    }
  });

  test('says that there is no QEMU', () => {
    const { stderr, status } = from(work.path, { QEMU: 'no-such-qemu' }, kernel, initrd);
    expect(status).toBe(3);
    expect(stderr).toContain('there is no no-such-qemu');
  });

  test.each([
    ['7.2.22', { major: 7, minor: 2, micro: 22 }],
    ['9.0.0', { major: 9, minor: 0, micro: 0 }],
    ['11.1.0', { major: 11, minor: 1, micro: 0 }],
  ])('gives QEMU %s the properties that it has', (name, version) => {
    const named = join(work.path, `qemu-${name}`);
    const answer = `if [ "$1" = --version ]; then echo "QEMU emulator version ${name}"; exit; fi`;
    writeFileSync(named, `#!/bin/sh\n${answer}\nexec ${printer} "$@"\n`, { mode: 0o755 });
    for (const [, model] of models) {
      const words = run(bootScript(model), { QEMU: named }, kernel, initrd);
      const { groups } = buildCommand(model, { version, append: '' });
      const devices = groups
        .flatMap((group) => group.arguments)
        .filter(({ option }) => option === '-device')
        .map(({ value }) => value?.filter((part) => typeof part === 'string').join(''));
      expect(words.filter((_, at) => words[at - 1] === '-device')).toEqual(devices);
    }
  });

  test('passes on what follows --, with or without files', () => {
    expect(run(script, {}, kernel, initrd, '--', '-S').at(-1)).toBe('-S');
    expect(run(script, { KERNEL: kernel, INITRD: initrd }, '--', '-S').at(-1)).toBe('-S');
  });

  test('on q35, uses tables of ours when they are there, the $ unharmed', () => {
    const q35 = models.find(([, model]) => model.board === 'q35')?.[1];
    if (q35 === undefined) throw new Error('no q35');
    expect(run(bootScript(q35), {}, kernel, initrd).join(' ')).not.toContain('acpi_rsdp');
    writeFileSync(join(directory, 'acpi.bin'), '');
    const words = run(bootScript(q35), {}, kernel, initrd);
    expect(words[words.indexOf('-append') + 1]).toMatch(
      / acpi_rsdp=0x8000000 memmap=64K\$0x8000000$/,
    );
    expect(words).toContain('loader,file=acpi.bin,addr=0x8000000,force-raw=on');
  });
});

describe('a disk', () => {
  test('is written whole, with the hash that is promised', async () => {
    const disk = { endpoint: 'disk0', size: 3n * 1024n * 1024n + 512n, seed: 's' };
    const path = join(work.path, 'whole.img');
    await writeDiskImage(disk, path);
    const bytes = readFileSync(path);
    expect(bytes.length).toBe(Number(disk.size));
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(diskSha256(disk));
    expect(bytes.toString('latin1', 512, 1024)).toMatch(
      /^viommu-topo disk0 seed s sector 000000000001 \.+\n$/,
    );
    expect(diskSha256(disk, 1024n)).toBe(
      createHash('sha256').update(bytes.subarray(0, 1024)).digest('hex'),
    );
  });

  test('differs from another disk and another seed', () => {
    const disk = { endpoint: 'disk0', size: 4096n, seed: 's' };
    expect(diskSha256(disk)).not.toBe(diskSha256({ ...disk, seed: 't' }));
    expect(diskSha256(disk)).not.toBe(diskSha256({ ...disk, endpoint: 'disk1' }));
  });

  test('leaves nothing behind where it cannot be written', async () => {
    const path = join(work.path, 'no', 'such', 'directory.img');
    await expect(writeDiskImage({ endpoint: 'd', size: 512n, seed: 's' }, path)).rejects.toThrow();
    expect(existsSync(path)).toBe(false);
  });
});
