import { z } from 'zod';
import { ImportError } from './machine.ts';

/** `driver,key=value,…` taken apart; the value without a key is `''`. */
export type Properties = ReadonlyMap<string, string>;

/** One option of QEMU's command line and its argument, if it has one. */
export interface QemuOption {
  readonly name: string;
  readonly value: string | undefined;
}

/** Options that take no argument, of those that people use. */
const BARE = new Set(
  'nographic nodefaults no-user-config S s snapshot enable-kvm daemonize no-reboot no-shutdown no-acpi full-screen usb h version no-hpet no-fd-bootchk no-quit win2k-hack preconfig only-migratable xen-attach xen-domid-restrict singlestep curses sdl portrait mem-prealloc old-param semihosting'.split(
    ' ',
  ),
);

export function qemuOptions(words: readonly string[]): QemuOption[] {
  const options: QemuOption[] = [];
  for (let index = 1; index < words.length; index++) {
    const word = words[index] ?? '';
    if (!word.startsWith('-') || word === '-') continue;
    const name = word.replace(/^--?/u, '');
    if (BARE.has(name)) options.push({ name, value: undefined });
    else options.push({ name, value: words[++index] });
  }
  return options;
}

/** `virtio-blk-pci,addr=2,drive=d0`, or the same as JSON. Two commas are one in a value. */
export function properties(value: string, implied: string): Properties {
  if (value.startsWith('{')) return jsonProperties(value, implied);
  const found = new Map<string, string>();
  const parts = value.split(/(?<!,),(?!,)/u).map((part) => part.replaceAll(',,', ','));
  for (const [index, part] of parts.entries()) {
    const at = part.indexOf('=');
    if (at < 0) found.set(index === 0 ? implied : part, index === 0 ? part : 'on');
    else found.set(part.slice(0, at), part.slice(at + 1));
  }
  return found;
}

/** Lists, such as `reserved-regions`, say nothing that is needed here. */
const DEVICE = z.record(
  z.string(),
  z.union([z.string(), z.number(), z.boolean(), z.unknown().transform(() => '')]),
);

function jsonProperties(value: string, implied: string): Properties {
  try {
    const device = DEVICE.parse(JSON.parse(value));
    const text = (key: string, item: string | number | boolean): string => {
      if (typeof item === 'boolean') return item ? 'on' : 'off';
      // A number is device and function in one; a string is what `addr=` takes.
      if (typeof item === 'number' && key === 'addr')
        return `${(item >> 3).toString(16)}.${item & 7}`;
      return String(item);
    };
    return new Map(
      Object.entries(device).map(([key, item]) => [
        key === 'driver' ? implied : key,
        text(key, item),
      ]),
    );
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ImportError(
      `a -device is no JSON object: ${why}`,
      'quote it for the shell: use single quotes',
    );
  }
}

/** On, off, or not said. */
export function flag(found: Properties, ...names: readonly string[]): boolean | undefined {
  for (const name of names) {
    const value = found.get(name);
    if (value !== undefined) return value === 'on' || value === 'true' || value === 'yes';
  }
  return undefined;
}

/** `512`, `2G`, `size=4G`: MiB, as `-m` counts. */
export function memoryMib(value: string): number | undefined {
  const found = properties(value, 'size').get('size') ?? '';
  const match = /^(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?$/iu.exec(found);
  if (match === null) return undefined;
  const unit = { K: 1 / 1024, M: 1, G: 1024, T: 1024 * 1024 }[(match[2] ?? '').toUpperCase()] ?? 1;
  const mib = Math.ceil(Number(match[1]) * unit);
  return Number.isSafeInteger(mib) && mib > 0 ? mib : undefined;
}

/** `addr=`: `2`, `0x1f`, `02.3`; QEMU reads both numbers as hexadecimal. device << 3 | function. */
export function slotOf(text: string): number | undefined {
  const match = /^(?:0x)?([0-9a-f]{1,2})(?:\.(?:0x)?([0-7]))?$/iu.exec(text);
  if (match === null) return undefined;
  const device = Number.parseInt(match[1] ?? '', 16);
  return device > 31 ? undefined : (device << 3) | Number(match[2] ?? 0);
}
