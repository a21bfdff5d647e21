import { BlobBuilder } from './blobs.ts';
import { type ConsoleLine, parseConsoleLine } from './console-line.ts';
import { Fields } from './fields.ts';
import { InventoryBuilder } from './inventory.ts';
import { KernelLog } from './kernel-log.ts';
import type { GuestReport, GuestResult } from './report-types.ts';
import { type EduStart, resultOf } from './results.ts';

/** What a guest can make us keep. */
const LIMITS = { resultsMax: 10_000, inventoriesMax: 64, complaintsMax: 100, modulesMax: 1000 };
const TAIL_LINES = 40;
/** A console that never ends a line. */
const PARTIAL_MAX = 65_536;

/**
 * Reads a guest's console as it comes.
 *
 * The text may be anything, in pieces of any size: nothing throws, memory is bounded, and what does
 * not follow the protocol ends up in `complaints`, `missing` or nowhere.
 */
export class ReportReader {
  readonly #kernel = new KernelLog();
  readonly #blobs = new BlobBuilder();
  readonly #inventories: InventoryBuilder[] = [];
  readonly #results: GuestResult[] = [];
  readonly #modules: GuestReport['modules'][number][] = [];
  readonly #complaints: string[] = [];
  readonly #tail: string[] = [];
  #partial = '';
  #last = 0;
  #lines = 0;
  #missing = 0;
  #ended = false;
  #edu: EduStart | undefined;
  #facts: Pick<GuestReport, 'release' | 'version' | 'cmdline' | 'initTime' | 'endTime'> = {
    release: undefined,
    version: undefined,
    cmdline: '',
    initTime: undefined,
    endTime: undefined,
  };

  /** Takes the next piece of the console and returns the lines that it completed. */
  push(text: string): ConsoleLine[] {
    const lines = (this.#partial + text).split('\n');
    this.#partial = (lines.pop() ?? '').slice(0, PARTIAL_MAX);
    return lines.map((line) => this.#line(line));
  }

  /** The report so far; an unfinished last line counts. */
  finish(): GuestReport {
    if (this.#partial !== '') this.push('\n');
    const complaints = [...this.#complaints, ...this.#blobs.complaints];
    return {
      ...this.#facts,
      complete: this.#ended && this.#missing === 0,
      ended: this.#ended,
      lines: this.#lines,
      missing: this.#missing,
      complaints: complaints.slice(0, LIMITS.complaintsMax),
      modules: [...this.#modules],
      firmware: new Map(this.#blobs.blobs),
      inventories: this.#inventories.map((builder) => builder.result),
      results: [...this.#results],
      // A `klog` action brings old messages late.
      kernel: this.#kernel.events.toSorted((a, b) => a.time - b.time),
      tail: [...this.#tail],
    };
  }

  #line(raw: string): ConsoleLine {
    const line = parseConsoleLine(raw);
    this.#tail.push(raw.slice(0, 1200).replaceAll('\r', ''));
    if (this.#tail.length > TAIL_LINES) this.#tail.shift();
    if (line.type === 'kernel') this.#kernel.add(line.time, line.text, this.#last);
    if (line.type === 'record') this.#record(line.number, line.kind, new Fields(line.fields));
    else if (line.text.includes('VT1 ')) this.#complain(`unreadable line: ${line.text}`);
    return line;
  }

  #record(number: number, kind: string, fields: Fields): void {
    // The kernel prints in order, so an older number is an echo.
    if (number <= this.#last) return;
    this.#missing += number - this.#last - 1;
    this.#last = number;
    this.#lines += 1;
    switch (kind) {
      case 'begin':
        this.#begin(fields);
        break;
      case 'cmdline':
        if (this.#facts.cmdline.length < 65_536)
          this.#facts = { ...this.#facts, cmdline: this.#facts.cmdline + fields.text('text') };
        break;
      case 'module':
        this.#module(fields);
        break;
      case 'blob':
        this.#blobs.begin(fields);
        break;
      case 'chunk':
        this.#blobs.chunk(fields);
        break;
      case 'inventory':
        if (this.#inventories.length < LIMITS.inventoriesMax)
          this.#inventories.push(new InventoryBuilder(number));
        break;
      case 'klog':
        this.#klog(fields.text('text'));
        break;
      case 'badplan':
        this.#complain(`the guest does not know ${fields.text('verb')} ${fields.text('argument')}`);
        break;
      case 'end':
        // A line that was cut or changed on its way is not the end.
        this.#ended = fields.integer('lines') === number;
        this.#facts = { ...this.#facts, endTime: fields.seconds('uptime') };
        break;
      default:
        this.#outcome(number, kind, fields);
    }
  }

  #begin(fields: Fields): void {
    this.#facts = {
      ...this.#facts,
      release: fields.optional('release'),
      version: fields.optional('version'),
      initTime: fields.seconds('uptime'),
    };
    const protocol = fields.text('protocol');
    if (protocol !== '1') this.#complain(`the guest speaks protocol ${protocol}, not 1`);
  }

  #module(fields: Fields): void {
    if (this.#modules.length >= LIMITS.modulesMax) return;
    this.#modules.push({
      name: fields.text('name'),
      status: fields.text('status'),
      error: fields.text('error'),
    });
  }

  #klog(text: string): void {
    const line = parseConsoleLine(text);
    if (line.type === 'kernel') this.#kernel.add(line.time, line.text, 0);
  }

  #outcome(number: number, kind: string, fields: Fields): void {
    if (this.#inventories.at(-1)?.add(kind, fields) === true) return;
    if (kind === 'edustart') {
      this.#edu = {
        number,
        iova: fields.wide('iova') ?? 0n,
        bytes: fields.count('bytes'),
        gpa: fields.wide('gpa') ?? 0n,
      };
      return;
    }
    const result = resultOf(kind, number, fields, this.#edu);
    if (kind === 'edu') this.#edu = undefined;
    if (result !== undefined && this.#results.length < LIMITS.resultsMax)
      this.#results.push(result);
  }

  #complain(text: string): void {
    if (this.#complaints.length < LIMITS.complaintsMax) this.#complaints.push(text.slice(0, 300));
  }
}

/** The report in a whole console log; never throws. */
export function parseReport(text: string): GuestReport {
  const reader = new ReportReader();
  reader.push(text);
  return reader.finish();
}
