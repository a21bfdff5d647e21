import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { XMLParser, XMLValidator } from 'fast-xml-parser';
import { afterAll, describe, expect, test } from 'vitest';
import { loadTopology, parseTopology, type Model } from '../../../src/topology/index.ts';
import { exportFor, showLoss, VMMS, type Vmm } from '../../../src/vmm/index.ts';
import { cli } from '../../support/cli.ts';

const scratch = mkdtempSync(join(tmpdir(), 'viommu-topo-vmm-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const SHIPPED = readdirSync('topologies').filter((name) => name.endsWith('.yaml'));
const SCRIPTS = ['cloud-hypervisor', 'crosvm', 'kvmtool'] as const;

function load(name: string): Model {
  const { model } = loadTopology(join('topologies', name));
  if (model === undefined) throw new Error(`${name} does not load`);
  return model;
}

/** Runs a script with a VMM that prints what it is given, one argument a line. */
function argumentsOf(model: Model, vmm: (typeof SCRIPTS)[number]): string[] {
  const { text } = exportFor(model, vmm);
  const program = vmm === 'kvmtool' ? 'lkvm' : vmm;
  const fake = join(scratch, program);
  writeFileSync(fake, '#!/bin/sh\nfor one in "$@"; do printf "%s\\0" "$one"; done\n');
  chmodSync(fake, 0o755);
  const hosts = Object.fromEntries(
    Array.from(text.matchAll(/\$\{(\w+_HOST):\?/gu), ([, name]) => [name, `/dev/${name} x`]),
  );
  const env = { PATH: `${scratch}:/usr/bin:/bin`, KERNEL: '/k e', INITRD: "/i'n", ...hosts };
  const out = execFileSync('sh', ['-c', text, 'sh', '--more'], { env, encoding: 'utf8' });
  return out.split('\0').slice(0, -1);
}

describe('build --for', () => {
  test.each(VMMS)('%s: every device is in the text, or its loss is told', (vmm) => {
    for (const name of SHIPPED) {
      const model = load(name);
      const { text, losses } = exportFor(model, vmm);
      if (text === '') {
        expect(losses.length, name).toBeGreaterThan(0);
        continue;
      }
      for (const { id, device } of model.endpoints) {
        if (device === undefined || vmm === 'qemu') continue;
        const told = losses.some(({ subject }) => subject === id);
        const named = text.includes(id) || /virtio-rng|virtio-net/u.test(device.kind);
        expect(told || named, `${name}: ${id} for ${vmm}`).toBe(true);
      }
      for (const loss of losses) {
        if (vmm !== 'qemu') expect(text).toContain(showLoss(loss).replaceAll('--', '- -'));
      }
    }
  });

  test.each(SCRIPTS)('%s: the script hands over exactly its arguments', (vmm) => {
    for (const name of SHIPPED) {
      const given = argumentsOf(load(name), vmm);
      expect(given.at(-1), name).toBe('--more');
      expect(given).toContain(vmm === 'crosvm' ? '/k e' : '--kernel');
      expect(given).toContain("/i'n");
    }
  });

  test('cloud-hypervisor: slots, segments and who is behind the vIOMMU', () => {
    const given = argumentsOf(load('segments.yaml'), 'cloud-hypervisor');
    expect(given.slice(given.indexOf('--platform') + 1)[0]).toBe(
      'num_pci_segments=3,iommu_segments=[1,2]',
    );
    const disks = given.filter((one) => one.startsWith('path=disk'));
    expect(disks).toEqual([
      'path=disk0.img,image_type=raw,id=disk0,iommu=on,pci_device_id=2',
      'path=disk1.img,image_type=raw,id=disk1,iommu=on,pci_segment=1,pci_device_id=2',
      'path=disk2.img,image_type=raw,id=disk2,iommu=on,pci_segment=2,pci_device_id=2',
    ]);
    const bypass = argumentsOf(load('bypass.yaml'), 'cloud-hypervisor');
    expect(bypass.find((one) => one.includes('disk1.img'))).toContain('iommu=off');
  });

  test('crosvm: only what is passed through can be behind its vIOMMU', () => {
    const model = load('passthrough.yaml');
    const given = argumentsOf(model, 'crosvm');
    expect(given).toContain('/dev/DISK1_HOST x,guest-address=00:03.0,iommu=viommu');
    const { losses } = exportFor(model, 'crosvm');
    expect(losses.map(showLoss).join('\n')).toMatch(/disk0: .*it bypasses/u);
  });

  test('kvmtool: says that nothing is translated', () => {
    const { losses } = exportFor(load('its.yaml'), 'kvmtool');
    expect(losses.map(showLoss).join('\n')).toMatch(/viommu0: kvmtool has no virtio-iommu/u);
    expect(argumentsOf(load('gicv2m.yaml'), 'kvmtool')).toContain('gicv2m');
  });

  test('libvirt: well-formed, buses by controller, iommu on what is behind', () => {
    const { text } = exportFor(load('q35-root-ports.yaml'), 'libvirt');
    expect(XMLValidator.validate(text)).toBe(true);
    const { domain } = new XMLParser({ ignoreAttributes: false }).parse(text) as {
      domain: { devices: { disk: Record<string, Record<string, string>>[]; iommu: unknown } };
    };
    expect(domain.devices.disk.map(({ address }) => address?.['@_bus'])).toEqual(['0x01', '0x02']);
    expect(domain.devices.disk.map(({ driver }) => driver?.['@_iommu'])).toEqual(['on', 'on']);
    expect(domain.devices.iommu).toMatchObject({ '@_model': 'virtio' });
  });

  test('nothing in a name leaves its place', () => {
    const nasty = 'a"\\n$(touch x)`--><b>\\r';
    const { model } = parseTopology(
      `name: ${JSON.stringify(nasty)}\nextends: q35\nviommus: [{ id: v, at: 00:01.0 }]\n` +
        'endpoints: [{ id: d, at: 00:02.0, device: virtio-blk }]\n',
      'nasty.yaml',
    );
    if (model === undefined) throw new Error('the name is refused: choose another nasty one');
    for (const vmm of VMMS) {
      const { text } = exportFor(model, vmm);
      if (vmm === 'libvirt') expect(XMLValidator.validate(text)).toBe(true);
      else expect(() => execFileSync('sh', ['-n', '-c', text])).not.toThrow();
    }
    for (const vmm of SCRIPTS) argumentsOf(model, vmm);
    expect(readdirSync('.')).not.toContain('x');
  });

  test('on the command line: files beside the firmware, losses said; an unknown VMM is refused', async () => {
    const out = join(scratch, 'out');
    const all = VMMS.flatMap((vmm: Vmm) => ['--for', vmm]);
    const { code, err } = await cli('build', 'topologies/its.yaml', '-o', out, ...all);
    expect(code).toBe(0);
    expect(readdirSync(out)).toEqual(
      expect.arrayContaining([
        'boot.sh',
        'libvirt.xml',
        'cloud-hypervisor.sh',
        'crosvm.sh',
        'kvmtool.sh',
      ]),
    );
    expect(err).toContain('kvmtool.sh: kvmtool cannot express all of this topology:');
    const unknown = await cli('build', 'topologies/its.yaml', '-o', out, '--for', 'bhyve');
    expect(unknown.code).toBe(2);
    expect(unknown.err).toContain('one of qemu, libvirt');
  });
});
