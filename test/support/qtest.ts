import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync, readSync, read, writeSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { EnvironmentError } from '../../src/guest/index.ts';
import { findQemu } from '../../src/qemu/find.ts';
import { leash } from '../../src/qemu/guard.ts';

const readAsync = promisify(read);

/** `cli; hlt; jmp .-1` at the reset vector of a 64 KiB image: the guest's CPU never does anything. */
const FIRMWARE_SIZE = 0x1_0000;
const RESET_VECTOR = 0xfff0;
const HALT = [0xfa, 0xf4, 0xeb, 0xfd];
/** Memory goes over the pipe in lines of this many bytes: QEMU searches a line from its start anew. */
const LINE_BYTES = 0x3000;
/** Commands sent ahead of their answers; the answers must fit the pipe. */
const AHEAD = 256;

export interface QtestOptions {
  /** Arguments beside machine basics: devices. */
  readonly devices: readonly string[];
  /** Guest RAM, MiB. */
  readonly memory: number;
  /** Seconds after which QEMU is killed. */
  readonly timeLimit: number;
}

/**
 * QEMU's q35 under the qtest protocol, spoken synchronously over two FIFOs: the guest's side of a
 * driver is ordinary code then. The `qtest` accelerator is no part of Debian's QEMU, so the CPU is
 * halted in firmware; with `sleep=off` the guest's clock jumps to the next timer while it is.
 */
export class Qtest {
  readonly #process: ChildProcess;
  readonly #directory: string;
  readonly #log: string;
  readonly #to: number;
  readonly #from: number;
  readonly #chunk: Buffer = Buffer.alloc(1 << 16);
  #text = '';

  private constructor(
    process: ChildProcess,
    place: { readonly directory: string; readonly log: string },
    to: number,
    from: number,
  ) {
    this.#process = process;
    this.#directory = place.directory;
    this.#log = place.log;
    this.#to = to;
    this.#from = from;
  }

  /** @throws Error that names the command to install QEMU, or says how it ended */
  static async start(options: QtestOptions): Promise<Qtest> {
    const path = await qemuPath();
    const directory = await mkdtemp(join(tmpdir(), 'viommu-topo-qtest-'));
    try {
      return await open(path, directory, options, (...parts) => new Qtest(...parts));
    } catch (error) {
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /**
   * Sends commands, and returns what follows `OK` in each answer.
   *
   * @throws Error when one fails, or QEMU has ended
   */
  run(commands: readonly string[]): string[] {
    const answers: string[] = [];
    for (let at = 0; at < commands.length; at += AHEAD) {
      const part = commands.slice(at, at + AHEAD);
      this.#send(`${part.join('\n')}\n`);
      for (const command of part) {
        const line = this.#line();
        if (!line.startsWith('OK')) throw new Error(`qtest ${command.slice(0, 80)}: ${line}`);
        answers.push(line.slice(3));
      }
    }
    return answers;
  }

  out32(port: number, value: number): void {
    this.run([`outl 0x${port.toString(16)} 0x${(value >>> 0).toString(16)}`]);
  }

  /** @param size 1, 2 or 4 bytes */
  read(address: number, size: number): number {
    const [answer = ''] = this.run([`read${LETTER[size]} 0x${address.toString(16)}`]);
    return Number(answer);
  }

  /** @param size 1, 2 or 4 bytes */
  write(address: number, size: number, value: number): void {
    this.run([writeCommand(address, size, value)]);
  }

  /** Guest memory into `into`. */
  readMemory(address: number, into: Uint8Array): void {
    const commands = lines(into.length).map(
      ([at, size]) => `b64read 0x${(address + at).toString(16)} 0x${size.toString(16)}`,
    );
    for (const [i, answer] of this.run(commands).entries()) {
      into.set(Buffer.from(answer, 'base64'), i * LINE_BYTES);
    }
  }

  writeMemory(address: number, bytes: Uint8Array): void {
    const commands = lines(bytes.length).map(([at, size]) => {
      const text = Buffer.from(bytes.buffer, bytes.byteOffset + at, size).toString('base64');
      return `b64write 0x${(address + at).toString(16)} 0x${size.toString(16)} ${text}`;
    });
    for (const command of commands) this.run([command]);
  }

  /** What QEMU printed so far. */
  get log(): string {
    return readFileSync(this.#log, 'utf8');
  }

  /** Ends QEMU. */
  async close(): Promise<void> {
    const ended = new Promise((resolve) => {
      if (this.#process.exitCode !== null || this.#process.signalCode !== null) resolve(0);
      else this.#process.once('exit', resolve);
    });
    this.#process.kill();
    await ended;
    closeSync(this.#to);
    closeSync(this.#from);
    await rm(this.#directory, { recursive: true, force: true });
  }

  #send(text: string): void {
    const bytes = Buffer.from(text, 'latin1');
    for (let done = 0; done < bytes.length;) {
      done += writeSync(this.#to, bytes, done);
    }
  }

  #line(): string {
    for (;;) {
      const end = this.#text.indexOf('\n');
      if (end >= 0) {
        const line = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 1);
        return line;
      }
      const size = readSync(this.#from, this.#chunk);
      if (size === 0) throw new Error(`QEMU has ended: ${this.log}`);
      this.#text += this.#chunk.toString('latin1', 0, size);
    }
  }
}

async function qemuPath(): Promise<string> {
  try {
    return (await findQemu('x86-64')).path;
  } catch (cause) {
    const cure = cause instanceof EnvironmentError ? `${cause.message}. ${cause.cure}` : '';
    throw new Error(`no QEMU to compare with: ${cure}`, { cause });
  }
}

const LETTER: Readonly<Record<number, string>> = { 1: 'b', 2: 'w', 4: 'l' };

/** A write of 1, 2 or 4 bytes as a command, for `run`. */
export function writeCommand(address: number, size: number, value: number): string {
  return `write${LETTER[size]} 0x${address.toString(16)} 0x${(value >>> 0).toString(16)}`;
}

function lines(length: number): [at: number, size: number][] {
  return Array.from({ length: Math.ceil(length / LINE_BYTES) }, (_, i) => {
    const at = i * LINE_BYTES;
    return [at, Math.min(LINE_BYTES, length - at)];
  });
}

type Make = (
  process: ChildProcess,
  place: { readonly directory: string; readonly log: string },
  to: number,
  from: number,
) => Qtest;

async function open(
  program: string,
  directory: string,
  options: QtestOptions,
  make: Make,
): Promise<Qtest> {
  const pipe = join(directory, 'qtest');
  const log = join(directory, 'log');
  const firmware = new Uint8Array(FIRMWARE_SIZE);
  firmware.set(HALT, RESET_VECTOR);
  await writeFile(join(directory, 'halt.bin'), firmware);
  const made = spawnSync('mkfifo', [`${pipe}.in`, `${pipe}.out`]);
  if (made.status !== 0) throw new Error('mkfifo (Debian package coreutils) failed');
  // Held open for both directions until QEMU answers, so that no open and no write waits for it.
  const hold = [`${pipe}.in`, `${pipe}.out`].map((path) => openSync(path, constants.O_RDWR));
  const to = openSync(`${pipe}.in`, constants.O_WRONLY);
  const from = openSync(`${pipe}.out`, constants.O_RDONLY);
  const logFile = openSync(log, 'w');
  const basics = `-nodefaults -display none -machine q35,hpet=off -accel tcg -m ${options.memory}`;
  const clock = '-icount shift=0,sleep=off -qtest-log none';
  const qemu = leash([
    program,
    ...`${basics} ${clock}`.split(' '),
    '-bios',
    join(directory, 'halt.bin'),
    '-qtest',
    `pipe:${pipe}`,
    ...options.devices,
  ]);
  // Ends after its time, however busy we are, and with us.
  const limited = leash(['timeout', '-k', '5', `${options.timeLimit}`, ...qemu.argv]);
  const [first = '', ...args] = limited.argv;
  const child = spawn(first, args, { stdio: ['ignore', logFile, logFile] });
  closeSync(logFile);
  // An end before the first answer wakes the reader with a line that is none of QEMU's.
  const [, holdOut = 0] = hold;
  const early = (): void => void writeSync(holdOut, 'ended\n');
  child.once('exit', early);
  writeSync(to, 'endianness\n');
  const greeting = Buffer.alloc(64);
  const { bytesRead } = await readAsync(from, greeting, 0, greeting.length, null);
  child.off('exit', early);
  for (const fd of hold) closeSync(fd);
  const answer = greeting.toString('latin1', 0, bytesRead);
  if (!answer.startsWith('OK')) {
    closeSync(to);
    closeSync(from);
    child.kill();
    throw new Error(`QEMU did not start: ${readFileSync(log, 'utf8')}`);
  }
  return make(child, { directory, log }, to, from);
}
