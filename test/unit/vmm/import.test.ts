import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { inspect, toTopologyYaml } from '../../../src/firmware/index.ts';
import {
  buildCommand,
  commandArgv,
  filesOf,
  OLDEST_QEMU,
  preflight,
  shellWord,
} from '../../../src/qemu/index.ts';
import {
  loadTopology,
  lookUpCoverage,
  parseTopology,
  type Model,
} from '../../../src/topology/index.ts';
import {
  exportFor,
  importLibvirt,
  importQemu,
  ImportError,
  machineYaml,
} from '../../../src/vmm/index.ts';
import { cli } from '../../support/cli.ts';

const scratch = mkdtempSync(join(tmpdir(), 'viommu-topo-import-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function modelOf(yaml: string): Model {
  const { model, diagnostics } = parseTopology(yaml, 'imported.yaml');
  if (model === undefined) throw new Error(diagnostics.map(({ message }) => message).join('\n'));
  return model;
}

/** Every function of a machine, and who translates it under which endpoint ID. */
function functions(model: Model): string[] {
  const rows: string[] = [];
  const add = (what: string, segment: number, rid: number): void => {
    const found = lookUpCoverage(model.coverage, segment, rid);
    const id = found === undefined ? 'bypasses' : `ID ${found.endpointId}`;
    rows.push(`${segment}:${rid.toString(16)} ${what} ${id}`);
  };
  for (const { segment, bridges } of model.hosts) {
    for (const { rid } of bridges) add('bridge', segment, rid);
  }
  for (const { transport } of model.viommus) {
    if (transport.kind === 'pci')
      rows.push(`${transport.segment}:${transport.rid.toString(16)} viommu`);
    else rows.push('mmio viommu');
  }
  for (const { device, location } of model.endpoints) {
    if (device === undefined || location.kind !== 'pci') continue;
    add(device.kind, location.segment, location.rids.start);
  }
  return rows.toSorted();
}

function commandLine(model: Model): string {
  const command = buildCommand(model, { version: OLDEST_QEMU, append: 'console=x "y"' });
  const files = new Map(filesOf(command.groups).map((name) => [name, `/f/${name}`]));
  const bindings = { accel: 'tcg', cpu: 'max', files };
  return [command.program, ...commandArgv(command, bindings)].map(shellWord).join(' ');
}

const SHIPPED = readdirSync('topologies').filter((name) => name.endsWith('.yaml'));
const ON_QEMU = SHIPPED.flatMap((name) => {
  const { model } = loadTopology(join('topologies', name));
  if (model === undefined || preflight(model).some(({ severity }) => severity === 'error'))
    return [];
  // Wishes that no command line holds: who bypasses slot by slot, vIOMMUs for parts of a bus.
  return [{ name, model }];
});

describe('from a QEMU command line', () => {
  test.each(ON_QEMU)('$name comes back as it was', ({ model }) => {
    const yaml = machineYaml(importQemu(commandLine(model), 'again'));
    const again = modelOf(yaml);
    const plain = (rows: string[]): string[] =>
      rows.map((row) => row.replace(/ (?:ID \d+|bypasses)$/u, ''));
    expect(plain(functions(again))).toEqual(plain(functions(model)));
    expect(again.memory).toEqual(model.memory);
    expect(again.cpus).toBe(model.cpus);
  });

  const golden = 'test/golden/acpi/viot';
  // Its root ports have buses that belong to the pxb: check tells it, and there is no model.
  const OVERLAP = 'q35-pxb-overlap.cmd';
  const commands = readdirSync(golden).filter(
    (name) => /^q35.*\.cmd$/u.test(name) && name !== OVERLAP,
  );
  test('buses that overlap come over as they are, and check says so', () => {
    const yaml = machineYaml(importQemu(readFileSync(join(golden, OVERLAP), 'utf8'), 'q'));
    const { diagnostics } = parseTopology(yaml, 'overlap.yaml');
    expect(diagnostics.map(({ message }) => message).join()).toMatch(/buses 0x02 of the bridge/u);
  });

  test.each(commands)('%s: behind the vIOMMU is what QEMU says in its VIOT', (name) => {
    const imported = modelOf(
      machineYaml(importQemu(readFileSync(join(golden, name), 'utf8'), 'q')),
    );
    const file = join(golden, name.replace('.cmd', '.aml'));
    const seen = modelOf(toTopologyYaml([inspect(readFileSync(file), file)], 'seen'));
    const rids = [
      ...imported.hosts.flatMap(({ bridges }) => bridges.map(({ rid }) => rid)),
      ...imported.endpoints.flatMap(({ location }) =>
        location.kind === 'pci' ? [location.rids.start] : [],
      ),
    ];
    for (const rid of rids) {
      const id = lookUpCoverage(seen.coverage, 0, rid)?.endpointId;
      expect(lookUpCoverage(imported.coverage, 0, rid)?.endpointId, rid.toString(16)).toBe(id);
    }
  });
  test('there are golden command lines', () => expect(commands.length).toBeGreaterThan(3));

  test('a script: continued lines, quotes, variables, JSON devices, what cannot be taken over', () => {
    const machine = importQemu(
      `#!/bin/sh
# not this: qemu-system-x86_64 -M pc
set -e
exec /usr/bin/qemu-system-x86_64 -enable-kvm -machine pc-q35-9.2,accel=kvm \\
  -m size=4194304k,slots=2 -smp 4,sockets=1 -name "guest=a b" \\
  -device '{"driver":"virtio-iommu-pci","addr":"1.0","id":"iommu"}' \\
  -device '{"driver":"pcie-root-port","id":"rp","addr":24,"chassis":1}' \\
  -device virtio-blk-pci,drive="$DISK",id=vd0,bus=rp,iommu_platform=on \\
  -device virtio-scsi-pci,id=scsi -device scsi-hd,bus=scsi.0 -device vfio-pci,host=01:00.0,addr=1f.1 | tee log
`,
      'vm',
    );
    expect(machine).toMatchObject({ template: 'q35', memoryMib: 4096, cpus: 4 });
    expect(machine.viommus).toEqual([{ id: 'iommu', at: { rid: 8 } }]);
    expect(machine.hosts[0]?.bridges).toMatchObject([{ id: 'rp', rid: 0x18, buses: [1, 1] }]);
    expect(machine.devices).toMatchObject([
      { id: 'vd0', kind: 'virtio-blk', rid: 0x100, accessPlatform: true },
      { id: 'scsi', kind: 'generic', rid: 0x10 },
      { kind: 'generic', rid: 0xf9, passthrough: true },
    ]);
    const notes = machine.notes.join('\n');
    expect(notes).toMatch(/scsi has no addr=/u);
    expect(notes).toMatch(/is on no PCI bus/u);
  });

  test('what is not one is refused with its reason', () => {
    const refused = (text: string, reason: RegExp): void =>
      expect(() => importQemu(text, 'x')).toThrow(reason);
    refused('echo hello', /no qemu-system/u);
    refused('qemu-system-x86_64 -M pc', /machine pc is not known/u);
    refused('qemu-system-x86_64', /names no machine/u);
    refused("qemu-system-x86_64 -M q35 -device '{nope'", /no JSON object/u);
    refused('x'.repeat(2 << 20), /longer than 1 MiB/u);
  });
});

describe('from a libvirt domain', () => {
  const held = ON_QEMU.filter(
    ({ model }) =>
      model.hosts.length === 1 &&
      model.endpoints.every(
        ({ device, location }) =>
          device === undefined || (location.kind === 'pci' && device.kind !== 'edu'),
      ),
  );
  test.each(held)('$name comes back from what build --for libvirt writes', ({ model }) => {
    const xml = exportFor(model, 'libvirt').text;
    const again = modelOf(machineYaml(importLibvirt(xml, 'x')));
    const plain = (rows: string[]): string[] =>
      rows
        .filter((row) => !row.includes('mmio'))
        .map((row) => row.replace(/ (?:ID \d+|bypasses)$/u, ''));
    expect(plain(functions(again))).toEqual(plain(functions(model)));
    expect(again.memory).toEqual(model.memory);
  });
  test('most topologies are among them', () => expect(held.length).toBeGreaterThan(8));

  test('as virsh prints it: aliases, units, controllers, what is left out', () => {
    const machine = importLibvirt(readFileSync('test/golden/import/domain.xml', 'utf8'), 'x');
    expect(machine).toMatchObject({ name: 'guest1', template: 'q35', memoryMib: 2048, cpus: 2 });
    expect(machine.viommus).toEqual([{ id: 'viommu0', at: { rid: 0x10 } }]);
    expect(machine.devices).toMatchObject([
      { id: 'virtio-disk0', rid: 0x300, accessPlatform: true },
      { id: 'net0', rid: 0x100, accessPlatform: false },
      { id: 'hostdev0', rid: 0x200, passthrough: true },
    ]);
    const notes = machine.notes.join('\n');
    expect(notes).toMatch(/sata0-0-0 .* left out/u);
    expect(modelOf(machineYaml(machine)).viommus).toHaveLength(1);
  });

  test('what is not one is refused with its reason', () => {
    const refused = (text: string, reason: RegExp): void =>
      expect(() => importLibvirt(text, 'x')).toThrow(reason);
    refused('<network/>', /not a libvirt <domain>/u);
    refused('<domain><a></domain>', /no XML: line 1/u);
    refused('<!DOCTYPE x [<!ENTITY a "b">]><domain/>', /DOCTYPE/u);
    refused("<domain><os><type arch='x86_64' machine='pc'>hvm</type></os></domain>", /machine pc/u);
  });
});

describe('from a running machine', () => {
  const sample = JSON.parse(readFileSync('test/golden/import/q35-root-ports.json', 'utf8')) as {
    functions: Record<string, string>;
    tables: Record<string, string>;
  };

  test('tables and sysfs of a guest give the topology that it was made from', async () => {
    const tables = join(scratch, 'sys/firmware/acpi/tables');
    mkdirSync(tables, { recursive: true });
    for (const [name, bytes] of Object.entries(sample.tables)) {
      writeFileSync(join(tables, name), Buffer.from(bytes, 'hex'));
    }
    for (const [name, bytes] of Object.entries(sample.functions)) {
      const at = join(scratch, 'sys/bus/pci/devices', name);
      mkdirSync(at, { recursive: true });
      writeFileSync(join(at, 'config'), Buffer.from(bytes, 'hex'));
    }
    const { code, out, err } = await cli('import', '--running', '--root', scratch);
    expect(err).toBe('');
    expect(code).toBe(0);
    const { model } = loadTopology('topologies/q35-root-ports.yaml');
    expect(model).toBeDefined();
    if (model !== undefined) expect(functions(modelOf(out))).toEqual(functions(model));
  });

  test('without a VIOT it says so', async () => {
    const { code, err } = await cli('import', '--running', '--root', join(scratch, 'nowhere'));
    expect(code).toBe(2);
    expect(err).toContain('has no VIOT and no device tree');
  });
});

describe('import, the command', () => {
  test('tells files by content, refuses to overwrite, prints findings', async () => {
    const file = join(scratch, 'vm.sh');
    const out = join(scratch, 'vm.yaml');
    writeFileSync(
      file,
      'qemu-system-x86_64 -M q35 -device virtio-iommu-pci,addr=1 -device virtio-blk-pci,addr=2\n',
    );
    const first = await cli('import', file, '-o', out);
    expect(first.code).toBe(0);
    expect(first.err).toContain('[no-access-platform]');
    expect(loadTopology(out).model?.endpoints).toHaveLength(1);
    expect((await cli('import', file, '-o', out)).err).toContain('is there already');
    const tree = await cli('import', 'test/golden/fdt/virt-viommu.dtb');
    expect(tree.code).toBe(0);
    expect(modelOf(tree.out).viommus).toHaveLength(1);
    expect((await cli('import')).code).toBe(2);
    expect((await cli('import', join(scratch, 'none'))).code).toBe(2);
  });

  test('nothing that is fed to it is more than a refusal', () => {
    const words = fc.array(
      fc.constantFrom(
        'qemu-system-x86_64',
        '-M',
        'q35',
        '-device',
        'virtio-blk-pci',
        'bus=',
        'id=a',
        ',',
        'addr=',
        '99',
        '{',
        "'",
        '"',
        '-m',
        '$(',
        'pxb-pcie',
        'bus_nr=',
        'pcie-root-port,id=a,bus=a',
      ),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          words.map((all) => `qemu-system-x86_64 -M q35 ${all.join(' ')}`),
        ),
        (text) => {
          for (const make of [importQemu, importLibvirt]) {
            try {
              machineYaml(make(text, 'x'));
            } catch (error) {
              expect(error).toBeInstanceOf(ImportError);
            }
          }
        },
      ),
      { numRuns: 400 },
    );
  });
});
