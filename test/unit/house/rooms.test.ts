import { readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';

/**
 * The room table of docs/internals/architecture.md, held against the imports of the code.
 * A room imports only from the rooms named here; that also rules out cycles between rooms.
 */
const MAY_IMPORT: Record<string, readonly string[]> = {
  bytes: [],
  spec: ['bytes'],
  fdt: ['bytes', 'spec'],
  acpi: ['bytes', 'spec'],
  topology: ['bytes', 'spec'],
  firmware: ['bytes', 'spec', 'topology', 'fdt', 'acpi'],
  memory: ['bytes'],
  virtio: ['memory', 'bytes', 'spec'],
  pci: ['memory', 'bytes', 'spec'],
  iommu: ['virtio', 'memory', 'spec', 'bytes'],
  'host-iommu': ['memory', 'bytes'],
  endpoints: ['virtio', 'pci', 'memory', 'iommu', 'bytes', 'spec'],
  machine: [
    'bytes',
    'spec',
    'topology',
    'memory',
    'virtio',
    'pci',
    'iommu',
    'host-iommu',
    'endpoints',
    'acpi',
    'fdt',
    'firmware',
  ],
  driver: ['virtio', 'fdt', 'acpi', 'spec', 'bytes', 'memory'],
  emulator: ['bytes', 'spec', 'memory', 'machine'],
  'vfio-user': ['bytes', 'spec', 'topology', 'memory', 'pci', 'machine'],
  guest: ['bytes', 'spec'],
  qemu: ['bytes', 'spec', 'acpi', 'topology', 'firmware', 'guest'],
  scenario: ['bytes', 'spec', 'topology'],
  matchers: ['scenario', 'report'],
  vmm: ['bytes', 'spec', 'topology', 'firmware', 'qemu'],
  backends: [
    'debug',
    'bytes',
    'spec',
    'topology',
    'firmware',
    'guest',
    'qemu',
    'scenario',
    'acpi',
    'fdt',
    'memory',
    'iommu',
    'endpoints',
    'machine',
    'driver',
    'emulator',
    'host-iommu',
    'vfio-user',
  ],
  report: ['bytes', 'spec', 'topology', 'scenario'],
  trace: ['bytes', 'scenario'],
  debug: ['bytes', 'spec', 'topology', 'memory', 'iommu', 'machine', 'scenario'],
};

/** These may import every room; nothing may import them. */
const TOP = new Set(['cli', 'index.ts']);

const source = resolve(import.meta.dirname, '../../../src');

function* files(dir: string): Generator<string> {
  for (const name of readdirSync(dir)) {
    const path = join(dir, name);
    if (statSync(path).isDirectory()) yield* files(path);
    else if (path.endsWith('.ts')) yield path;
  }
}

function roomOf(path: string): string {
  return relative(source, path).split('/')[0] ?? '';
}

const all = [...files(source)];

describe('rooms', () => {
  test('every room of src is in the table', () => {
    const rooms = new Set(all.map(roomOf));
    expect([...rooms].filter((room) => !(room in MAY_IMPORT) && !TOP.has(room))).toEqual([]);
  });

  test('imports go only where the table says', () => {
    const wrong: string[] = [];
    for (const file of all) {
      const from = roomOf(file);
      if (TOP.has(from)) continue;
      for (const [, spec] of readFileSync(file, 'utf8').matchAll(/from '(\.[^']+)'/g)) {
        const to = roomOf(resolve(dirname(file), spec ?? ''));
        if (to !== from && !(MAY_IMPORT[from] ?? []).includes(to)) {
          wrong.push(`${relative(source, file)} imports ${spec}`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  test('a room is entered through its index, but for spec', () => {
    const wrong: string[] = [];
    for (const file of all) {
      const from = roomOf(file);
      for (const [, spec] of readFileSync(file, 'utf8').matchAll(/from '(\.[^']+)'/g)) {
        const target = resolve(dirname(file), spec ?? '');
        const to = roomOf(target);
        if (to === from || to === 'spec') continue;
        if (!target.endsWith('/index.ts')) wrong.push(`${relative(source, file)} imports ${spec}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});
