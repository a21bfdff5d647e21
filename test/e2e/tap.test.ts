import {
  accessSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa, execaSync } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fetchGuest } from '../../src/guest/index.ts';
import { builtCore } from '../support/emulator.ts';
import { vfioUserQemu } from '../support/vfio-user.ts';

// Interfaces are made in a network namespace of their own, never on the machine that the tests run on.

const ROOT = join(import.meta.dirname, '../..');
const GUIDE = 'docs/guides/network.md';
const OUTSIDE = readlinkSync('/proc/self/ns/net');

/** Why none can be made here. */
function obstacle(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
  } catch {
    return 'needs /dev/net/tun';
  }
  const script = 'ip tuntap add dev probe0 mode tap';
  const probe = execaSync('unshare', namespaceArgv(script), { reject: false });
  return probe.exitCode === 0 ? undefined : `needs a network namespace: ${probe.stderr}`;
}

function namespaceArgv(script: string): string[] {
  return ['--net', '--', 'sh', join(ROOT, 'test/support/alone.sh'), OUTSIDE, script];
}

const why = obstacle();
const scratch = mkdtempSync(join(tmpdir(), 'viommu-topo-tap-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function program(name: string, line: string): void {
  mkdirSync(join(scratch, 'bin'), { recursive: true });
  writeFileSync(join(scratch, 'bin', name), `#!/bin/sh\n${line}\n`, { mode: 0o755 });
}

/** Runs a script there, in which `viommu-topo` is what stands in src/, started by `as`. */
async function alone(script: string, as = ''): Promise<string> {
  const jiti = join(ROOT, 'node_modules/.bin/jiti');
  program('viommu-topo', `exec ${as} '${jiti}' '${join(ROOT, 'test/support/run-cli.ts')}' "$@"`);
  program('sudo', 'exec "$@"');
  const { exitCode, all } = await execa('unshare', namespaceArgv(script), {
    cwd: ROOT,
    all: true,
    reject: false,
    timeout: 300_000,
    env: {
      OUT: scratch,
      USER: 'root',
      PATH: `${join(scratch, 'bin')}:${process.env['PATH'] ?? ''}`,
    },
  });
  expect([exitCode, all]).toEqual([0, all]);
  return all;
}

interface Told {
  readonly outcome: string;
  readonly promises: readonly {
    readonly id: string;
    readonly items: readonly { readonly outcome: string; readonly seen?: string }[];
  }[];
  readonly environment: { readonly notes: readonly string[]; readonly command: readonly string[] };
}

const seen = (told: Told, id: string): readonly unknown[] =>
  told.promises.find((one) => one.id === id)?.items.map((item) => [item.outcome, item.seen]) ?? [];

function names(file: string): string[] {
  const lines = readFileSync(join(scratch, file), 'utf8').trim().split('\n');
  return lines.map((line) => /^\d+: ([^:@]+)/u.exec(line)?.[1] ?? line);
}

describe(`a NIC on a TAP interface${why === undefined ? '' : ` (skipped: ${why})`}`, () => {
  beforeAll(async () => {
    if (why !== undefined) return;
    await builtCore();
    await fetchGuest('arm64');
    await vfioUserQemu('arm64');
  });

  test.skipIf(why !== undefined)('made by us: the host’s kernel answers the guest', async () => {
    await alone(`
      viommu-topo boot topologies/net-transfer.yaml --quiet --format json -o "$OUT/verdict.json" \\
        --net tap=vt0,endpoint=net0,ip=192.168.77.2/24,peer=192.168.77.1 >"$OUT/text" &
      boot=$!
      trap 'kill $boot 2>/dev/null || true' EXIT
      tries=300
      until ip -oneline link show vt0 >/dev/null 2>&1; do
        tries=$((tries - 1)) && [ $tries -gt 0 ] && sleep 0.1
      done
      ip address add 192.168.77.1/24 dev vt0
      ip link set vt0 up
      ip -oneline link >"$OUT/during"
      # Another boot cannot have it meanwhile, and lo is none.
      viommu-topo boot topologies/its.yaml --quiet --net tap=vt0 2>"$OUT/busy" || echo $? >>"$OUT/busy"
      viommu-topo boot topologies/its.yaml --quiet --net tap=lo 2>"$OUT/lo" || echo $? >>"$OUT/lo"
      wait $boot
      ip -oneline link >"$OUT/after"`);
    expect(names('during')).toEqual(['lo', 'vt0']);
    // It was made for this boot only.
    expect(names('after')).toEqual(['lo']);
    const busy = readFileSync(join(scratch, 'busy'), 'utf8');
    expect(busy).toMatch(/vt0 cannot be used: another program has it open[^]*\n3\n$/u);
    const lo = readFileSync(join(scratch, 'lo'), 'utf8');
    expect(lo).toMatch(/lo cannot be used: [^]*it is no TAP interface[^]*\n3\n$/u);
    const told = JSON.parse(readFileSync(join(scratch, 'verdict.json'), 'utf8')) as Told;
    expect(told.outcome).toBe('pass');
    expect(seen(told, 'nics-pass-traffic')).toEqual([
      ['pass', 'ping of 192.168.77.1 answered (3 packets out, 3 in)'],
    ]);
    // There is nobody with DHCP and a TCP service.
    expect(seen(told, 'transfer-works')).toEqual([['not-observable', expect.any(String)]]);
    expect(told.environment.command.slice(-2)).toEqual([
      '--net',
      'tap=vt0,endpoint=net0,ip=192.168.77.2/24,peer=192.168.77.1',
    ]);
    expect(told.environment.notes.join('\n')).toMatch(/on the TAP interface vt0.*\n.*real time/u);
    expect(told.environment.notes.join('\n')).not.toContain('was deleted');
  });

  test.skipIf(why !== undefined)('the user’s own, as the guide has it, under QEMU', async () => {
    const guide = readFileSync(join(ROOT, GUIDE), 'utf8');
    const block = /<!-- run by test\/e2e\/tap\.test\.ts -->\n\n```console\n([^`]*)```/u.exec(guide);
    const lines = (block?.[1] ?? '').split('\n').filter((line) => line.startsWith('$ '));
    expect(lines.length).toBeGreaterThan(3);
    const script = lines.map((line) => line.slice(2)).join('\n');
    // The right to make interfaces is needed by `sudo` only, not afterwards.
    const said = await alone(
      `${script}
      ip -oneline link >"$OUT/after"
      viommu-topo boot topologies/its.yaml --quiet --net tap=new0 2>"$OUT/new" || echo $? >>"$OUT/new"`,
      'setpriv --bounding-set=-net_admin --inh-caps=-net_admin',
    );
    expect(said).toMatch(/^PASS its \(qemu-vfio-user, device tree/mu);
    expect(said).toContain(
      'net0 is on the TAP interface tap0, as 10.0.2.15/24, and pings 10.0.2.2',
    );
    expect(said).not.toContain('was down');
    expect(names('after')).toEqual(['lo', 'tap0']);
    const denied = readFileSync(join(scratch, 'new'), 'utf8');
    expect(denied).toMatch(/making one needs CAP_NET_ADMIN[^]*ip tuntap add dev new0[^]*\n3\n$/u);
  });
});
