import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

// The package as a stranger gets it: packed, installed from the tarball into an empty folder.

const scratch = mkdtempSync(join(tmpdir(), 'viommu-topo-package-'));
const project = join(scratch, 'project');
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** From npm's cache where it has what is asked for: a second run needs no network. */
const INSTALL = ['install', '--prefer-offline', '--no-audit', '--no-fund'];

function run(program: string, args: readonly string[], cwd: string, path = ''): string {
  const env = {
    ...process.env,
    ...(path === '' ? {} : { PATH: `${path}:${process.env['PATH'] ?? ''}` }),
  };
  return execFileSync(program, args, {
    cwd,
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

beforeAll(() => {
  const packed = run('npm', ['pack', '--silent', '--pack-destination', scratch], process.cwd());
  mkdirSync(project);
  writeFileSync(
    join(project, 'package.json'),
    '{ "name": "stranger", "private": true, "type": "module" }\n',
  );
  const tarball = join(scratch, packed.trim().split('\n').at(-1) ?? '');
  run('npm', [...INSTALL, '--omit=dev', tarball], project);
});

describe('installed from the tarball', () => {
  const installed = join(project, 'node_modules/viommu-topo');

  test('has the product, and none of its tests or sources', () => {
    const names = readdirSync(installed).toSorted();
    expect(names).toEqual([
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'bin',
      'dist',
      'package.json',
      'qemu',
      'templates',
      'topologies',
    ]);
    expect(readdirSync(join(installed, 'bin'))).toEqual(['viommu-topo.js']);
  });

  test('npx viommu-topo builds a shipped topology', () => {
    const topology = join(installed, 'topologies/one-endpoint.yaml');
    const out = run('npx', ['viommu-topo', 'build', topology, '-o', 'out'], project);
    expect(out).toContain('out/topology.dtb');
    const dtb = readFileSync(join(project, 'out/topology.dtb'));
    expect(dtb.subarray(0, 4).toString('hex')).toBe('d00dfeed');
    expect(existsSync(join(project, 'out/boot.sh'))).toBe(true);
  });

  test('is loaded from few files', () => {
    const seen = join(project, 'seen');
    const hooks = join(project, 'hooks.js');
    writeFileSync(
      hooks,
      `import { appendFileSync } from 'node:fs';
export async function load(url, context, next) {
  appendFileSync(${JSON.stringify(seen)}, url + '\\n');
  return next(url, context);
}
`,
    );
    const register = join(project, 'register.js');
    writeFileSync(
      register,
      `import { register } from 'node:module';\nregister('./hooks.js', import.meta.url);\n`,
    );
    const filesLoaded = (...argv: readonly string[]): number => {
      rmSync(seen, { force: true });
      const cli = join(installed, 'bin/viommu-topo.js');
      run('node', ['--import', register, cli, ...argv], project);
      return readFileSync(seen, 'utf8')
        .split('\n')
        .filter((url) => url.startsWith('file:')).length;
    };
    const topology = join(installed, 'topologies/one-endpoint.yaml');
    const numbers = [
      filesLoaded('--version'),
      filesLoaded('check', topology),
      filesLoaded('boot', topology, '--backend', 'model'),
    ];
    // From single files it would be 15, 400 and 1000.
    for (const [index, most] of [12, 40, 60].entries()) {
      expect(numbers[index], String(numbers)).toBeGreaterThan(2);
      expect(numbers[index], String(numbers)).toBeLessThanOrEqual(most);
    }
  });

  test('is a library', () => {
    writeFileSync(
      join(project, 'use.js'),
      `import { parseTopology, buildFirmware } from 'viommu-topo';
const { model } = parseTopology(\`
extends: virt-arm64
viommus: [{ id: viommu0, at: 00:01.0 }]
\`, 'inline.yaml');
console.log(buildFirmware(model).viot.length);
`,
    );
    expect(run('node', ['use.js'], project)).toBe('88\n');
    writeFileSync(
      join(project, 'guest.js'),
      `import { ModelGuest } from 'viommu-topo/testing';
console.log(typeof ModelGuest.boot);
`,
    );
    expect(run('node', ['guest.js'], project)).toBe('function\n');
  });

  test('boots a topology on its own devices, without QEMU or a kernel', () => {
    const topology = join(installed, 'topologies/two-viommus.yaml');
    const out = run('npx', ['viommu-topo', 'boot', topology, '--backend', 'model'], project);
    expect(out).toMatch(/^PASS two-viommus \(model/m);
  });

  // The registry brings other versions of Node as packages.
  test.each(['22', '24'])('runs on Node %s', (major) => {
    const arch = process.arch === 'arm64' ? 'arm64' : 'x64';
    const dir = join(scratch, `node-${major}`);
    mkdirSync(dir);
    writeFileSync(join(dir, 'package.json'), '{ "private": true }\n');
    run('npm', [...INSTALL, `node-linux-${arch}@${major}`], dir);
    const bin = join(dir, `node_modules/node-linux-${arch}/bin`);
    expect(run('node', ['--version'], project, bin)).toMatch(new RegExp(`^v${major}\\.`));
    const topology = join(installed, 'topologies/q35-one-endpoint.yaml');
    const cli = join(installed, 'bin/viommu-topo.js');
    const out = run('node', [cli, 'build', topology, '-o', `out-${major}`], project, bin);
    expect(out).toContain(`out-${major}/viot.aml`);
    expect(readdirSync(join(project, `out-${major}`))).toContain('boot.sh');
  });
});
