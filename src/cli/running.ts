import { closeSync, openSync, readFileSync, readSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { inspect, type Inspection } from '../firmware/index.ts';
import type { SeenFunction } from '../vmm/index.ts';
import { InputError } from './exit.ts';

const TABLES = ['VIOT', 'IORT', 'MCFG'] as const;
/** What everybody may read of a configuration space; the rest needs root. */
const CONFIG_BYTES = 64;

/** What Linux shows of its firmware and its PCI functions below `root`. */
export function readRunning(root: string): {
  readonly inspections: readonly Inspection[];
  readonly functions: readonly SeenFunction[];
} {
  const firmware = join(root, 'sys/firmware');
  const files = [
    ...TABLES.map((name) => join(firmware, 'acpi/tables', name)),
    join(firmware, 'fdt'),
  ];
  const inspections = files.flatMap((file) => tableOf(file) ?? []);
  if (!inspections.some(({ format }) => format === 'viot' || format === 'dtb')) {
    throw new InputError(
      `${firmware} has no VIOT and no device tree`,
      'this machine has no virtio-iommu in its tables, or they need root to be read',
    );
  }
  return { inspections, functions: functionsOf(join(root, 'sys/bus/pci/devices')) };
}

function tableOf(file: string): Inspection | undefined {
  try {
    return inspect(readFileSync(file), file);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    if (code !== 'EACCES') throw error;
    throw new InputError(`${file} may not be read by this user`, 'run it as root', {
      cause: error,
    });
  }
}

function functionsOf(directory: string): SeenFunction[] {
  const names = namesIn(directory);
  return names.flatMap((name): SeenFunction[] => {
    const match = /^([0-9a-f]{4,8}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])$/u.exec(name);
    if (match === null) return [];
    const [segment = 0, bus = 0, device = 0, fn = 0] = match
      .slice(1)
      .map((part) => Number.parseInt(part, 16));
    const features = featuresOf(join(directory, name));
    return [
      {
        segment,
        rid: (bus << 8) | (device << 3) | fn,
        config: head(join(directory, name, 'config')),
        ...(features === undefined ? {} : { features }),
      },
    ];
  });
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).toSorted((a, b) => a.localeCompare(b));
  } catch {
    return [];
  }
}

/** What the driver of a virtio function has accepted. */
function featuresOf(directory: string): string | undefined {
  const name = namesIn(directory).find((one) => /^virtio\d+$/u.test(one));
  if (name === undefined) return undefined;
  try {
    return readFileSync(join(directory, name, 'features'), 'latin1').trim();
  } catch {
    return undefined;
  }
}

function head(file: string): Uint8Array {
  const bytes = Buffer.alloc(CONFIG_BYTES);
  const fd = openSync(file, 'r');
  try {
    return bytes.subarray(0, readSync(fd, bytes, 0, CONFIG_BYTES, 0));
  } finally {
    closeSync(fd);
  }
}
