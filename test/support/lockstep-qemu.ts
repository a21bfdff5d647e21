/** A boot under QEMU's TCG that tells the CPU's state before each instruction. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createReadStream, type ReadStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { connectQmp, type QmpClient } from '../../src/qemu/index.ts';

/** Registers of a state: x0 to x30, SP, PC; then PSTATE. Each two words, the lower one first. */
export const STATE_PC = 64;
export const STATE_PSTATE = 66;
export const STATE_WORDS = 67;

export interface LockstepBoot {
  readonly kernel: string;
  readonly initrd?: string;
  readonly cmdline: string;
  /** MiB of RAM. */
  readonly ram: number;
}

/**
 * QEMU, stopped before its first instruction. Time is instructions (`-icount shift=0`) and nothing
 * in its tree is random, so that each run is the same.
 */
export class LockstepQemu {
  readonly #child: ChildProcess;
  readonly #qmp: QmpClient;
  readonly #directory: string;
  readonly #trace: ReadStream;
  readonly #ram: number;

  private constructor(
    child: ChildProcess,
    qmp: QmpClient,
    directory: string,
    trace: ReadStream,
    ram: number,
  ) {
    this.#child = child;
    this.#qmp = qmp;
    this.#directory = directory;
    this.#trace = trace;
    this.#ram = ram;
  }

  static async start({ kernel, initrd, cmdline, ram }: LockstepBoot): Promise<LockstepQemu> {
    const directory = await mkdtemp(join(tmpdir(), 'viommu-topo-lockstep-'));
    const fifo = join(directory, 'trace');
    const socket = join(directory, 'qmp');
    spawnSync('mkfifo', [fifo]);
    const trace = createReadStream(fifo, { highWaterMark: 1 << 20 });
    const argv = (
      `-M virt,gic-version=2,dtb-randomness=off -cpu cortex-a53 -m ${ram}M -display none -nodefaults ` +
      `-serial null -monitor none -S -qmp unix:${socket},server=on,wait=off -no-reboot ` +
      `-icount shift=0,sleep=off -singlestep -d cpu,nochain -D ${fifo}`
    ).split(' ');
    argv.push('-kernel', kernel, '-append', cmdline);
    if (initrd !== undefined) argv.push('-initrd', initrd);
    const child = spawn('qemu-system-aarch64', argv, { stdio: ['ignore', 'ignore', 'inherit'] });
    const failed = new Promise<never>((_, reject) => {
      child.on('error', reject);
      child.on('exit', (code) => reject(new Error(`QEMU ended with ${String(code)}`)));
    });
    failed.catch(() => undefined);
    const qmp = await Promise.race([failed, connected(socket)]);
    await qmp.negotiate();
    return new LockstepQemu(child, qmp, directory, trace, ram);
  }

  /** RAM as QEMU's loader left it. */
  async ram(base: bigint): Promise<Uint8Array> {
    const file = join(this.#directory, 'ram');
    const size = this.#ram << 20;
    await this.#qmp.execute('pmemsave', { val: Number(base), size, filename: file });
    return readFile(file);
  }

  /** Lets it run, and gives each state in turn, in the same array. */
  async *states(): AsyncGenerator<Uint32Array> {
    const state = new Uint32Array(STATE_WORDS);
    await this.#qmp.execute('cont');
    let rest: Buffer = Buffer.alloc(0);
    let layout: readonly number[] | undefined;
    for await (const chunk of this.#trace as AsyncIterable<Buffer>) {
      const text = rest.length ? Buffer.concat([rest, chunk]) : chunk;
      let at = 0;
      for (;;) {
        const mark = text.indexOf('PSTATE=', at);
        const end = mark < 0 ? -1 : text.indexOf(10, mark);
        if (end < 0) break;
        const start = text.indexOf('PC=', at);
        layout ??= fields(text.toString('latin1', start, end));
        parseState(text, start, layout, state);
        yield state;
        at = end + 1;
      }
      rest = text.subarray(at);
    }
  }

  async end(): Promise<void> {
    this.#child.removeAllListeners('exit');
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    this.#qmp.close();
    this.#trace.destroy();
    await gone;
    await rm(this.#directory, { recursive: true, force: true });
  }
}

async function connected(socket: string): Promise<QmpClient> {
  for (let tries = 0; ; tries++) {
    try {
      return await connectQmp(socket);
    } catch (error) {
      if (tries > 100) throw error;
      await sleep(50);
    }
  }
}

/** Where in a state's text the values are, in the order of the array; the text is always as long. */
function fields(text: string): readonly number[] {
  const names = Array.from({ length: 31 }, (_, n) => `X${String(n).padStart(2, '0')}=`);
  return [...names, ' SP=', 'PC=', 'PSTATE='].map((name) => {
    const at = text.indexOf(name);
    if (at < 0) throw new Error(`no ${name} in what QEMU told: ${text}`);
    return at + name.length;
  });
}

const DIGITS = new Uint8Array(256);
for (let n = 0; n < 16; n++) DIGITS['0123456789abcdef'.charCodeAt(n)] = n;

function parseState(
  text: Buffer,
  start: number,
  layout: readonly number[],
  state: Uint32Array,
): void {
  let to = 0;
  for (const at of layout) {
    const high = word(text, start + at);
    if (to === STATE_PSTATE) state[to] = high;
    else {
      state[to] = word(text, start + at + 8);
      state[to + 1] = high;
    }
    to += 2;
  }
}

function word(text: Buffer, at: number): number {
  let value = 0;
  for (let n = at; n < at + 8; n++) value = (value << 4) | (DIGITS[text[n] ?? 0] ?? 0);
  return value >>> 0;
}
