/**
 * A boot of a stock kernel on the emulator, and of the same kernel, initramfs, options and devices
 * under QEMU's TCG in the same run. Exit code 1 when QEMU is faster, or when either does not reach
 * the end of the init script.
 *
 *   npx jiti bench/boot.ts [ROUNDS]          taskset -c 1 in front of it pins both to one core
 *
 * Both have a virtio-iommu, a virtio-blk disk behind it that is read, GICv2m and 256 MiB. QEMU brings
 * its own device tree; its CPU is a Cortex-A53, which the emulator's CPU resembles.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';

import { buildFirmware } from '../src/firmware/index.ts';
import { describeOutcome } from '../src/emulator/index.ts';
import {
  bootCmdline,
  buildInitramfs,
  deviceAt,
  fetchGuest,
  formatPlan,
} from '../src/guest/index.ts';
import { parseTopology } from '../src/topology/index.ts';
import { builtCore } from '../test/support/emulator.ts';
import { bootTopology } from '../test/support/emulator-boot.ts';

const RAM_MIB = 256;
const DISK_BYTES = 16 << 20;
const TOPOLOGY = `
extends: virt-arm64-gicv2
viommus: [{ id: viommu0, at: 00:01.0 }]
endpoints: [{ id: disk0, at: 00:02.0, device: { kind: virtio-blk, size: 16M } }]
`;

interface Sample {
  readonly seconds: number;
  readonly report: string;
}

const guest = await fetchGuest('arm64');
const { model } = parseTopology(TOPOLOGY, join(import.meta.dirname, '../topologies/bench.yaml'));
if (model === undefined) throw new Error('the topology does not load');
const initrd = await buildInitramfs({
  guest,
  modules: ['virtio_iommu', 'virtio_pci', 'virtio_blk'],
  plan: formatPlan([
    { verb: 'modules' },
    { verb: 'disk', at: deviceAt({ segment: 0, requesterId: 0x10 }), bytes: 1 << 20 },
    { verb: 'inventory' },
  ]),
});
const cmdline = bootCmdline('arm64', 'fast', ['cma=0', 'nokaslr']);
const kernel = readFileSync(guest.kernel);
const module = await builtCore();
const { dtb } = buildFirmware(model);
if (dtb === undefined) throw new Error('the topology has no device tree');
const directory = mkdtempSync(join(tmpdir(), 'viommu-topo-bench-'));
const disk = join(directory, 'disk');
writeFileSync(disk, '');
truncateSync(disk, DISK_BYTES);
writeFileSync(join(directory, 'initrd'), initrd);

/** What the guest said of its disk; the run counts only when it read it through the vIOMMU. */
function reportOf(lines: readonly string[]): string {
  const said = lines.find((line) => / disk at=/u.test(line)) ?? '';
  return /name=vda status=0 .*bytes=1048576/u.test(said) ? 'ok' : `no disk: ${lines.at(-1) ?? ''}`;
}

async function onEmulator(): Promise<Sample & { instructions: number }> {
  const lines: string[] = [];
  const start = performance.now();
  const { outcome } = await bootTopology({
    module,
    model: model as NonNullable<typeof model>,
    dtb: dtb as Uint8Array,
    kernel,
    initrd,
    cmdline,
    ramSize: RAM_MIB << 20,
    budget: 5e9,
    onLine: (line) => lines.push(line),
  });
  const seconds = (performance.now() - start) / 1000;
  const report = outcome.kind === 'off' ? reportOf(lines) : describeOutcome(outcome);
  return { seconds, report, instructions: Number(outcome.instructions) };
}

function onQemu(): Sample {
  const argv = [
    '-M virt,gic-version=2 -cpu cortex-a53 -accel tcg,thread=single -nographic -no-reboot -nodefaults',
    `-m ${RAM_MIB} -serial stdio -monitor none -net none`,
    '-device virtio-iommu-pci,addr=01.0 -device virtio-blk-pci,addr=02.0,drive=d,disable-legacy=on,iommu_platform=on',
  ].flatMap((part) => part.split(' '));
  argv.push('-drive', `if=none,id=d,format=raw,file=${disk}`);
  argv.push('-kernel', guest.kernel, '-initrd', join(directory, 'initrd'), '-append', cmdline);
  const start = performance.now();
  const { stdout } = spawnSync('qemu-system-aarch64', argv, { encoding: 'utf8', timeout: 120_000 });
  const seconds = (performance.now() - start) / 1000;
  return { seconds, report: reportOf((stdout ?? '').split(/\r?\n/u)) };
}

const rounds = Number(process.argv[2] ?? 3);
let best = Infinity;
let bestQemu = Infinity;
let good = true;
for (let round = 0; round < rounds; round++) {
  const own = await onEmulator();
  const qemu = onQemu();
  const mips = own.instructions / own.seconds / 1e6;
  console.log(
    `emulator ${own.seconds.toFixed(2)} s, ${(own.instructions / 1e6).toFixed(1)} M instructions, ` +
      `${mips.toFixed(0)} MIPS, ${own.report}; QEMU ${qemu.seconds.toFixed(2)} s, ${qemu.report}`,
  );
  good &&= own.report === 'ok' && qemu.report === 'ok';
  best = Math.min(best, own.seconds);
  bestQemu = Math.min(bestQemu, qemu.seconds);
}
rmSync(directory, { recursive: true, force: true });
const rss = process.resourceUsage().maxRSS / 1024;
console.log(`best: ${(best / bestQemu).toFixed(2)} of QEMU's time; at most ${rss.toFixed(0)} MiB`);
process.exitCode = good && best <= bestQemu ? 0 : 1;
