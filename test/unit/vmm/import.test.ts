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
  // What all of them have in common stands behind a "# +".
  const goldenCommand = (name: string): string =>
    readFileSync(join(golden, name), 'utf8').replace('# +', '');
  // Its root ports have buses that belong to the pxb: check tells it, and there is no model.
  const OVERLAP = 'q35-pxb-overlap.cmd';
  const commands = readdirSync(golden).filter(
    (name) => /^q35.*\.cmd$/u.test(name) && name !== OVERLAP,
  );
  test('buses that overlap come over as they are, and check says so', () => {
    const yaml = machineYaml(importQemu(goldenCommand(OVERLAP), 'q'));
    const { diagnostics } = parseTopology(yaml, 'overlap.yaml');
    expect(diagnostics.map(({ message }) => message).join()).toMatch(/buses 0x02 of the bridge/u);
  });

  test.each(commands)('%s: behind the vIOMMU is what QEMU says in its VIOT', (name) => {
    const imported = modelOf(machineYaml(importQemu(goldenCommand(name), 'q')));
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
  -device virtio-scsi-pci,id=scsi -device scsi-hd,bus=scsi.0 -device vfio-pci,host=01:00.0,addr=1f.1 -nodefaults | tee log
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

  const placesOf = (text: string): string[] => {
    const { viommus, devices } = importQemu(text, 'x');
    const of = (at: { rid: number } | { mmio: number }): string =>
      'rid' in at ? at.rid.toString(16) : 'mmio';
    return [
      ...viommus.map(({ id, at }) => `${of(at)} ${id}`),
      ...devices.map(({ id, kind, rid }) => `${rid.toString(16)} ${id} ${kind}`),
    ];
  };

  test('JSON without its quotes, as ps prints what libvirt has started', () => {
    const line =
      '/usr/libexec/qemu-kvm -name guest=a,debug-threads=on -object {"qom-type":"secret","id":"k"} ' +
      '-machine pc-q35-rhel9.2.0,usb=off -accel kvm -m 4096 -nodefaults ' +
      '-device {"driver":"virtio-iommu-pci","bus":"pcie.0","addr":"0x2"} ' +
      '-device {"driver":"pcie-root-port","id":"pci.1","bus":"pcie.0","multifunction":true,"addr":"0x3"} ' +
      '-blockdev {"node-name":"f","file":{"x":["}",1]},"backing":null} ' +
      '-device {"driver":"virtio-blk-pci","iommu_platform":true,"bus":"pci.1","addr":"0x0","drive":"f","id":"d"} ' +
      '-device {"driver":"usb-tablet","id":"t","bus":"usb.0"} -msg timestamp=on';
    expect(placesOf(line)).toEqual(['10 viommu0', '100 d virtio-blk']);
  });

  test('the words of /proc/PID/cmdline', () => {
    const words = ['/usr/bin/kvm', '-M', 'q35', '-nodefaults', '-device', 'virtio-iommu-pci', ''];
    expect(placesOf(words.join('\0'))).toEqual(['8 viommu0']);
  });

  test('variables and arrays of a script are put in, and a test for the program is not the command', () => {
    const script = `#!/bin/bash
QEMU=qemu-system-aarch64
command -v qemu-system-aarch64 >/dev/null || { echo "no qemu-system-aarch64"; exit 1; }
IMG=\${1:-disk.img}
export MEM="2G"
ARGS=(
  -M virt,gic-version=3   # with an ITS
  -m "$MEM"
)
ARGS+=(-device virtio-iommu-pci,addr=2)
NET="-netdev user,id=n"
exec "$QEMU" "\${ARGS[@]}" $NET -smp \${CPUS:-2} -drive file="$IMG",if=virtio \
  -device virtio-net-pci,netdev=n,iommu_platform=on
$QEMU -M virt
`;
    expect(placesOf(script)).toEqual(['10 viommu0', '8 net0 virtio-net', '18 blk0 virtio-blk']);
    const { memoryMib, cpus, template, notes } = importQemu(script, 'x');
    expect({ memoryMib, cpus, template }).toEqual({
      memoryMib: 2048,
      cpus: 2,
      template: 'virt-arm64',
    });
    expect(notes.join('\n')).toContain('1 more QEMU command(s)');
  });

  // Measured with `info pci` of QEMU 7.2.
  test.each([
    ['-device virtio-rng-pci', ['8 vga0 generic', '10 nic0 e1000e', '18 rng0 virtio-rng']],
    ['-vga none -nic none -device virtio-rng-pci', ['8 rng0 virtio-rng']],
    ['-device virtio-vga -netdev user,id=n', ['8 vga0 generic']],
    [
      '-nic user,model=virtio-net-pci -nic user,model=e1000 -device virtio-rng-pci',
      ['8 vga0 generic', '10 net0 virtio-net', '18 nic0 generic', '20 rng0 virtio-rng'],
    ],
    [
      '-nodefaults -drive if=virtio,file=a -drive if=none,id=e,file=b -device virtio-blk-pci,drive=e,id=e',
      ['8 e virtio-blk', '10 blk0 virtio-blk'],
    ],
    [
      '-nodefaults -virtfs local,path=/x,mount_tag=y -device virtio-rng-pci',
      ['8 fs0 generic', '10 rng0 virtio-rng'],
    ],
    // A slot that is given away is not taken by what QEMU would add.
    ['-device virtio-rng-pci,addr=1', ['8 rng0 virtio-rng', '10 nic0 e1000e']],
  ])('q35 with %s has what QEMU gives it', (options, places) => {
    expect(placesOf(`qemu-system-x86_64 -M q35 ${options}`).toSorted()).toEqual(places.toSorted());
  });

  test('what is on a bus that is not known takes no slot of one that is', () => {
    const { devices, notes } = importQemu(
      'qemu-system-x86_64 -M q35 -nodefaults -device virtio-scsi-pci,id=s -device scsi-hd,drive=x ' +
        '-device pcie-root-port,id=up -device x3130-upstream,id=us,bus=up ' +
        '-device xio3130-downstream,id=ds,bus=us -device nvme,bus=ds -device virtio-rng-pci,id=r',
      'x',
    );
    expect(devices.map(({ id, rid }) => [id, rid])).toEqual([
      ['s', 0x08],
      ['r', 0x18],
    ]);
    const text = notes.join('\n');
    expect(text).toContain('scsi-hd is on no PCI bus: left out');
    expect(text).toContain('us, a x3130-upstream is a kind of bridge');
    expect(text).toContain('nvme is on the bus ds, which is not here: left out');
  });

  test('variables that double with every line end in a refusal', () => {
    const lines = Array.from({ length: 60 }, () => 'A="$A$A"').join('\n');
    expect(() => importQemu(`A=xx\n${lines}\nqemu-system-x86_64 $A`, 'x')).toThrow(/1 MiB/u);
    expect(() => importQemu('qemu-system-x86_64 ${} -M q35', 'x')).toThrow(ImportError);
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
