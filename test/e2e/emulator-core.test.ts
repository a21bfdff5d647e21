import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';

import { bootPlan, modulesFor } from '../../src/backends/plan.ts';
import { Emulator, type Outcome, type WasmModule } from '../../src/emulator/index.ts';
import { buildFirmware } from '../../src/firmware/index.ts';
import { bootCmdline, buildInitramfs, fetchGuest, formatPlan } from '../../src/guest/index.ts';
import type { Guest } from '../../src/guest/index.ts';
import type { MachineEvent } from '../../src/machine/index.ts';
import { loadTopology } from '../../src/topology/index.ts';
import { bareTree, builtCore } from '../support/emulator.ts';
import { bootTopology } from '../support/emulator-boot.ts';

let guest: Guest;
let module: WasmModule;
beforeAll(async () => {
  guest = await fetchGuest('arm64');
  module = await builtCore();
});

interface Boot {
  readonly outcome: Outcome;
  readonly lines: readonly string[];
  readonly hash: string;
  readonly events: readonly MachineEvent[];
}

async function boot(name: string): Promise<Boot> {
  const { model } = loadTopology(join(import.meta.dirname, `../../topologies/${name}.yaml`));
  const { dtb } = (model && buildFirmware(model)) ?? {};
  if (model === undefined || dtb === undefined) throw new Error(`${name} does not load`);
  const plan = formatPlan(bootPlan(model, () => 16n << 20n));
  const initrd = await buildInitramfs({ guest, modules: modulesFor(model), plan });
  const lines: string[] = [];
  const events: MachineEvent[] = [];
  const { outcome } = await bootTopology({
    module,
    model,
    dtb,
    initrd,
    kernel: await readFile(guest.kernel),
    cmdline: bootCmdline('arm64', 'fast', ['cma=0']),
    ramSize: 256 << 20,
    budget: 5e9,
    onLine: (line) => lines.push(line),
    onMachine: (machine) => void machine.subscribe((event) => events.push(event)),
  });
  const hash = createHash('sha256').update(lines.join('\n')).digest('hex');
  return { outcome, lines, hash, events };
}

describe('a stock kernel on the emulator', () => {
  test.each(['gicv2m', 'viommu-mmio'])('%s: devices behind our virtio-iommu work', async (name) => {
    const { outcome, lines, events } = await boot(name);
    expect(outcome.kind, lines.slice(-20).join('\n')).toBe('off');
    const text = lines.join('\n');
    expect(text).toMatch(/ group id=0 type=DMA/u);
    expect(text).toMatch(/ disk at=0000:00:02.0 name=vda status=0 .*bytes=262144/u);
    expect(text).toMatch(/ write at=0000:00:02.0 name=vda status=0/u);
    expect(text).toMatch(/ nic at=0000:00:03.0 .*status=0 .*received=3/u);
    expect(text).toMatch(/msi=\d+:msix/u);
    const kinds = events.map((event) =>
      event.source === 'viommu' ? event.event.kind : event.source,
    );
    expect(kinds.filter((kind) => kind === 'attach')).toHaveLength(2);
    expect(kinds.filter((kind) => kind === 'message').length).toBeGreaterThan(10);
    expect(kinds).not.toContain('fault');
  });

  test('the same inputs give the same run: instructions, console, events', async () => {
    const [first, second] = [await boot('gicv2m'), await boot('gicv2m')];
    expect(second.outcome.instructions).toBe(first.outcome.instructions);
    expect(second.hash).toBe(first.hash);
    expect(second.events.length).toBe(first.events.length);
  });

  test('a CPU without floating point, up to the root file system', async () => {
    const ramSize = 128 << 20;
    const lines: string[] = [];
    const machine = new Emulator({ module, ramSize, onLine: (line) => lines.push(line) });
    machine.load({
      kernel: await readFile(guest.kernel),
      initrd: new Uint8Array(0),
      dtb: () => bareTree({ ramSize, bootargs: bootCmdline('arm64', 'fast', ['cma=0']) }),
    });
    // Without a root file system the kernel panics, and resets.
    const outcome = await machine.run({ budget: 1e9 });
    expect(outcome.kind).toBe('reset');
    expect(lines.join('\n')).toContain('Unable to mount root fs');
  });
});
