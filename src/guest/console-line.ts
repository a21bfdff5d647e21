/**
 * One line of the guest's console, told apart.
 *
 * A report line is `VT1 <number> <kind>( <key>=<value>)*`. Numbers count from 1 without a gap;
 * kinds and keys are lower-case; a value has no blank, `%xx` stands for a byte, and absent means
 * empty. A boot is `begin`, `cmdline` (in pieces), what the plan asks for, `end lines=<number>`:
 *
 * - `modules`: `module name status error` each;
 * - `firmware`: `blob name size sha256 chunks` each, then that many `chunk name index data`
 *   (base64 of gzip of the file);
 * - `inventory`: a line `inventory`, then `iommu`, `iommudev`, `group`, `groupdev`, `resv`, `pci`,
 *   `bar`, `platform`, `virtio`, `block`, `net`, `deferred`, each after the one it belongs to;
 * - `edu`: `edustart` right before the DMA, then `edu`; `await`: `await`, then `awaited`;
 * - `dma`: `aim`, which the machine answers on the console with an address or `none`, then `dma`;
 *   `plug`: `plugin`, at which the machine plugs the device in, then `plug`;
 * - any other action: one line of its own name; `badplan` for what the guest did not understand.
 *
 * The fields are in `report-types.ts`; the writer is `qemu/init/init.sh`.
 */
export type ConsoleLine =
  /** A report of the init script: `VT1 <number> <kind> key=value …`. */
  | {
      readonly type: 'record';
      /** Seconds since the kernel started. */
      readonly time: number | undefined;
      /** Counts from 1; a gap is a lost line. */
      readonly number: number;
      readonly kind: string;
      readonly fields: ReadonlyMap<string, string>;
    }
  /** A message of the kernel, without its time stamp. */
  | { readonly type: 'kernel'; readonly time: number; readonly text: string }
  /** Firmware, programs, or a piece of something. */
  | { readonly type: 'other'; readonly text: string };

const STAMP = /\[\s*(\d{1,7}\.\d{6})\](?:\[\s*[TC]\d+\])? /u;
const RECORD = /^(?:<\d>)?VT1 (\d{1,9}) ([a-z]+)((?: [a-z][a-z0-9]*=[^ ]*)*)$/u;

/** Longer lines are cut: the longest of ours is under 1100 characters. */
const LINE_MAX = 4096;

/** Reads one line (without its newline); never throws. */
export function parseConsoleLine(raw: string): ConsoleLine {
  const line = raw.slice(0, LINE_MAX).replaceAll('\r', '');
  const stamp = STAMP.exec(line);
  const time = stamp === null ? undefined : Number(stamp[1]);
  // A program's unfinished line may stand before the time stamp.
  const text = stamp === null ? line : line.slice(stamp.index + stamp[0].length);
  const record = RECORD.exec(text);
  if (record !== null) {
    const [, number = '', kind = '', rest = ''] = record;
    return { type: 'record', time, number: Number(number), kind, fields: parseFields(rest) };
  }
  return time === undefined ? { type: 'other', text } : { type: 'kernel', time, text };
}

function parseFields(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const pair of text.split(' ')) {
    const equals = pair.indexOf('=');
    if (equals > 0) fields.set(pair.slice(0, equals), decode(pair.slice(equals + 1)));
  }
  return fields;
}

/** Percent-decoding that leaves alone what is not an escape. */
function decode(text: string): string {
  return text.replaceAll(/%([0-9a-f]{2})/gu, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
}
