/**
 * From start to verdict: `viommu-topo boot` on the emulator, and the same topology, kernel, options
 * and initramfs under QEMU's TCG, in turns, on one core.
 *
 *   npm run bench:boot [-- ROUNDS]           builds first: what is measured is what is shipped
 *
 * A process for each run. Three of them take turns:
 *
 * - `boot`: `viommu-topo boot --backend emulator`, the whole process;
 * - `boot on QEMU`: `viommu-topo boot --backend qemu`, the whole process; its share is that command's
 *   own work plus QEMU's;
 * - `QEMU`: qemu-system-aarch64 and nothing else, `-M virt -cpu cortex-a53`, from start to power off.
 *
 * The guest alone, on the emulator, is the time that the verdict names less that of its preparation.
 * Exit code 1 when the verdict comes later than on QEMU, or memory is over its limit, 2 when a run
 * does not come to its end.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

import { bootPlan, modulesFor } from '../src/backends/plan.ts';
import { bootCmdline, buildInitramfs, fetchGuest, formatPlan } from '../src/guest/index.ts';
import { loadTopology } from '../src/topology/index.ts';
import { processIo } from '../src/cli/io.ts';
import { Progress } from '../src/cli/progress.ts';

const ROOT = join(import.meta.dirname, '..');
const TOPOLOGY = join(ROOT, 'topologies/one-endpoint.yaml');
const DISK_BYTES = 16 << 20;
/** The speed to reach, in millions of instructions a second. */
const MIPS = 90;
/** What may be resident beside the guest's RAM, in MiB. */
const BESIDE_RAM = 100;

interface Sample {
  /** Wall time of the process, in seconds. */
  readonly seconds: number;
  /** Processor time of it and its children: what counts when others use the machine. */
  readonly cpu: number;
  /** Of the guest alone, where it can be told. */
  readonly guest: number;
  readonly instructions: number;
  /** Largest resident set, in MiB. */
  readonly rss: number;
  readonly initramfs: string;
}

/** The core that was idle most of half a second, of those that this process may use. */
async function idleCore(): Promise<number> {
  const before = idleTicks();
  await sleep(500);
  const allowed = allowedCores();
  const idle = idleTicks().map((ticks, core) =>
    allowed.has(core) ? ticks - (before[core] ?? 0) : -1,
  );
  return idle.indexOf(Math.max(...idle));
}

function idleTicks(): number[] {
  const lines = readFileSync('/proc/stat', 'utf8').split('\n');
  return lines.filter((line) => /^cpu\d/u.test(line)).map((line) => Number(line.split(/ +/u)[4]));
}

function allowedCores(): Set<number> {
  const status = readFileSync('/proc/self/status', 'utf8');
  const list = /^Cpus_allowed_list:\s*(\S+)/mu.exec(status)?.[1] ?? '0';
  return new Set(
    list.split(',').flatMap((part) => {
      const [first = 0, last = first] = part.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, n) => first + n);
    }),
  );
}

interface Ran {
  readonly seconds: number;
  readonly cpu: number;
  readonly output: string;
}

/** Runs a command on a core; fails when it does. */
async function timed(core: number, argv: readonly string[], env = {}): Promise<Ran> {
  const times = join(directory, 'times');
  const script = '"$@"; status=$?; times >"$0"; exit $status';
  const start = performance.now();
  const child = spawn('taskset', ['-c', String(core), 'sh', '-c', script, times, ...argv], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 120_000,
  });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  const code = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  const seconds = (performance.now() - start) / 1000;
  const output = Buffer.concat(chunks).toString();
  if (code !== 0) fail(`${argv.join(' ')} ended with ${String(code)}\n${output.slice(-2000)}`);
  return { seconds, cpu: childrenTime(readFileSync(times, 'utf8')), output };
}

/** The second line of `times`: user and system time of the children, such as `0m1.25s 0m0.10s`. */
function childrenTime(text: string): number {
  const parts = (text.split('\n')[1] ?? '').split(' ').map((part) => {
    const [minutes = 0, seconds = 0] = part.replace('s', '').split('m').map(Number);
    return 60 * minutes + seconds;
  });
  return parts.reduce((sum, part) => sum + part, 0);
}

function fail(why: string): never {
  console.error(why);
  process.exit(2);
}

const directory = mkdtempSync(join(tmpdir(), 'viommu-topo-bench-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));

/** `boot`; a module that is loaded first writes down what the process had resident at most. */
async function boot(core: number, backend: string): Promise<Sample> {
  const usage = join(directory, 'usage');
  const hook = join(directory, 'usage.mjs');
  writeFileSync(
    hook,
    `import { writeFileSync } from 'node:fs';
process.on('exit', () => writeFileSync(${JSON.stringify(usage)}, String(process.resourceUsage().maxRSS)));`,
  );
  const argv = ['node', '--import', hook, 'bin/viommu-topo.js', 'boot', TOPOLOGY];
  argv.push('--backend', backend, '--format', 'json', '--quiet');
  if (backend === 'qemu') argv.push('--accel', 'tcg');
  const { seconds, cpu, output } = await timed(core, argv);
  const { environment } = JSON.parse(output) as {
    environment: {
      initramfsSha256: string;
      notes: string[];
      timings: { prepare: number; total: number };
    };
  };
  const { timings, notes, initramfsSha256 } = environment;
  const instructions = Number(/^(\d+) instructions/u.exec(notes[0] ?? '')?.[1] ?? 0);
  const rss = Number(readFileSync(usage, 'utf8')) / 1024;
  const guest = timings.total - timings.prepare;
  return { seconds, cpu, guest, instructions, rss, initramfs: initramfsSha256 };
}

const guest = await fetchGuest('arm64');
const { model } = loadTopology(TOPOLOGY);
if (model === undefined) fail('the topology does not load');
const ram = Number((model.memory[0]?.end ?? 0n) - (model.memory[0]?.start ?? 0n) + 1n) / 2 ** 20;
const initrd = await buildInitramfs({
  guest,
  modules: modulesFor(model),
  plan: formatPlan(bootPlan(model, () => BigInt(DISK_BYTES))),
});
const initramfs = createHash('sha256').update(initrd).digest('hex');
writeFileSync(join(directory, 'initrd'), initrd);
writeFileSync(join(directory, 'disk'), '');
truncateSync(join(directory, 'disk'), DISK_BYTES);

/** The machine alone, with a disk that is read and written by the same init script. */
async function qemu(core: number): Promise<Sample> {
  const gic = model?.gic?.version ?? 2;
  const argv = (
    `qemu-system-aarch64 -M virt,gic-version=${gic} -cpu cortex-a53 -accel tcg -m ${ram}M -nographic ` +
    '-no-reboot -nodefaults -serial stdio -monitor none -net none -device virtio-iommu-pci,addr=01.0 ' +
    '-device virtio-blk-pci,addr=02.0,drive=d,disable-legacy=on,iommu_platform=on'
  ).split(' ');
  argv.push('-drive', `if=none,id=d,format=raw,file=${join(directory, 'disk')}`);
  argv.push('-kernel', guest.kernel, '-initrd', join(directory, 'initrd'));
  argv.push('-append', bootCmdline('arm64', 'fast'));
  const { seconds, cpu, output } = await timed(core, argv);
  if (!/ disk at=0000:00:02\.0 name=vda status=0 .*bytes=262144/u.test(output)) {
    fail(`the guest read no disk\n${output.slice(-2000)}`);
  }
  return { seconds, cpu, guest: seconds, instructions: 0, rss: 0, initramfs };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 ? upper : (upper + (sorted[middle - 1] ?? 0)) / 2;
}

const rounds = Math.max(1, Number(process.argv[2] ?? 5));
const core = await idleCore();
console.log(`core ${core}, ${rounds} rounds, ${model.name}, Linux ${guest.release}, ${ram} MiB`);
const progress = new Progress(processIo(new AbortController().signal));
const runs: { own: Sample; onQemu: Sample; bare: Sample }[] = [];
for (let round = 0; round <= rounds; round++) {
  progress.count('booting', round, rounds + 1);
  const run = {
    own: await boot(core, 'emulator'),
    onQemu: await boot(core, 'qemu'),
    bare: await qemu(core),
  };
  for (const one of [run.own, run.onQemu]) {
    if (one.initramfs !== initramfs) fail('the runs differ in their initramfs');
  }
  const { own, onQemu, bare } = run;
  progress.end();
  console.log(
    `${round === 0 ? 'warm-up' : `round ${round}`}: boot ${own.seconds.toFixed(2)} s ` +
      `(guest ${own.guest.toFixed(2)} s); on QEMU ${onQemu.seconds.toFixed(2)} s ` +
      `(guest ${onQemu.guest.toFixed(2)} s); QEMU alone ${bare.seconds.toFixed(2)} s`,
  );
  if (round > 0) runs.push(run);
}

const ratio = (of: (run: (typeof runs)[number]) => number): number => median(runs.map(of));
const verdict = ratio(({ own, onQemu }) => own.seconds / onQemu.seconds);
const alone = ratio(({ own, bare }) => own.seconds / bare.seconds);
const verdictCpu = ratio(({ own, onQemu }) => own.cpu / onQemu.cpu);
const aloneCpu = ratio(({ own, bare }) => own.cpu / bare.cpu);
const guests = ratio(({ own, bare }) => own.guest / bare.seconds);
const instructions = runs[0]?.own.instructions ?? 0;
const mips = instructions / 1e6 / ratio(({ own }) => own.guest);
const rss = Math.max(...runs.map(({ own }) => own.rss));
const host = ratio(({ own }) => own.seconds - own.guest);
console.log(`
medians of ${rounds} rounds, of each round's ratio
start to verdict, boot : boot on QEMU    ${verdict.toFixed(2)}   goal: at most 1.00
  in processor time                      ${verdictCpu.toFixed(2)}
whole boot : QEMU process alone          ${alone.toFixed(2)}
  in processor time                      ${aloneCpu.toFixed(2)}
guest alone : QEMU process alone         ${guests.toFixed(2)}
the guest's instructions                 ${(instructions / 1e6).toFixed(1)} M
speed of the core, devices included      ${mips.toFixed(0)} MIPS   goal: at least ${MIPS} when the machine is quiet
beside the guest: Node, files, verdict   ${host.toFixed(2)} s
resident at most                         ${rss.toFixed(0)} MiB   goal: at most ${ram + BESIDE_RAM}`);
const [load = 0] = loadavg();
if (load > availableParallelism()) {
  console.log(
    `load ${load.toFixed(1)}: others compute; wall times tell little, processor times more`,
  );
}
process.exitCode = verdict <= 1 && rss <= ram + BESIDE_RAM ? 0 : 1;
