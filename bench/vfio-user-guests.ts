import { mkdir, mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { modulesFor } from '../src/backends/plan.ts';
import { buildFirmware } from '../src/firmware/index.ts';
import { bootCmdline, buildInitramfs, fetchGuest } from '../src/guest/index.ts';
import {
  buildVfioUserCommand,
  commandArgv,
  cpuModel,
  findVfioUserQemu,
  startQemu,
  type FileName,
  type QemuProcess,
  type QemuProgram,
} from '../src/qemu/index.ts';
import { parseTopology, type Model } from '../src/topology/index.ts';
import { serve, type VfioUserServer } from '../src/vfio-user/index.ts';
import type { ServerCounters } from './vfio-user-setup.ts';

/** Bytes of the disk: more than is read. */
const DISK_BYTES = 96 * 2 ** 20;
const BOOT_SECONDS = 240;
const COMMAND_SECONDS = 240;

const TOPOLOGY = `
extends: q35
viommus:
  - { id: viommu0, at: 00:01.0 }
endpoints:
  - { id: disk0, at: 00:02.0, device: { kind: virtio-blk, size: ${DISK_BYTES} } }
`;

/** Whose devices a guest has. */
export interface Kind {
  readonly devices: 'ours' | 'QEMU';
  readonly iommu: boolean;
}

/** What all guests are made of. */
export class Site {
  readonly directory: string;
  readonly model: Model;
  readonly qemu: QemuProgram;
  readonly release: string;
  readonly #files: ReadonlyMap<FileName, string>;

  private constructor(
    directory: string,
    model: Model,
    qemu: QemuProgram,
    release: string,
    files: ReadonlyMap<FileName, string>,
  ) {
    this.directory = directory;
    this.model = model;
    this.qemu = qemu;
    this.release = release;
    this.#files = files;
  }

  /** Finds QEMU and kernel, and writes what a guest is started with. */
  static async prepare(): Promise<Site> {
    const { model } = parseTopology(TOPOLOGY, 'bench.yaml');
    if (model === undefined) throw new Error('the topology of the benchmark does not load');
    const qemu = await findVfioUserQemu('x86-64');
    const guest = await fetchGuest('amd64');
    // QEMU's disk is a file: in memory like ours, where the system has such a place.
    const shm = await stat('/dev/shm').catch(() => undefined);
    const parent = shm?.isDirectory() === true ? '/dev/shm' : tmpdir();
    const directory = await mkdtemp(join(parent, 'viommu-topo-bench-'));
    const init = await readFile(new URL('vfio-user-init.sh', import.meta.url));
    const initramfs = await buildInitramfs({
      guest,
      modules: modulesFor(model),
      plan: '',
      files: new Map([['/init', { data: init, mode: 0o755 }]]),
    });
    const { viot } = buildFirmware(model);
    if (viot === undefined) throw new Error('the topology has no VIOT');
    const files = new Map<FileName, string>([['kernel', guest.kernel]]);
    const put = async (name: FileName, file: string, bytes: Uint8Array): Promise<void> => {
      files.set(name, join(directory, file));
      await writeFile(join(directory, file), bytes);
    };
    await put('initrd', 'initramfs.cpio', initramfs);
    await put('viot', 'viot.aml', viot);
    return new Site(directory, model, qemu, guest.release, files);
  }

  async remove(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }

  /** Boots a guest and waits until it takes commands. */
  async start(kind: Kind, { events = false, profile = '' } = {}): Promise<Guest> {
    const name = `${kind.devices}-${kind.iommu ? 'iommu' : 'direct'}`;
    const directory = join(this.directory, name);
    await mkdir(directory);
    const ours = kind.devices === 'ours';
    const server = ours ? await this.#serve(directory, events, profile) : undefined;
    const functions = (server?.functions ?? []).filter(
      ({ kind: what }) => kind.iommu || what === 'endpoint',
    );
    const command = buildVfioUserCommand(this.model, {
      functions,
      append: bootCmdline('amd64', 'fast', ['quiet']),
      viot: ours && kind.iommu,
      tree: false,
    });
    const argv = commandArgv(command, {
      files: this.#files,
      accel: 'tcg',
      cpu: cpuModel(this.model, 'tcg'),
    });
    if (!ours) argv.push(...(await qemuDevices(directory, kind.iommu)));
    const guest = new Guest(kind, name, server);
    try {
      await guest.boot(this.qemu, argv);
    } catch (error) {
      await guest.end();
      throw error;
    }
    return guest;
  }

  async #serve(directory: string, events: boolean, profile: string): Promise<VfioUserServer> {
    const module = new URL('vfio-user-setup.js', import.meta.url).href;
    const data = { events, profile };
    const server = await serve({ model: this.model, directory, setup: { module, data } });
    await server.ask('begin');
    return server;
  }
}

/** The same machine of QEMU's own parts, with the features that ours have. */
async function qemuDevices(directory: string, iommu: boolean): Promise<string[]> {
  const disk = join(directory, 'disk');
  await writeFile(disk, '');
  await truncate(disk, DISK_BYTES);
  const drive = `if=none,id=d,format=raw,file=${disk}`;
  const block = 'virtio-blk-pci,addr=02.0,drive=d,disable-legacy=on,num-queues=1,queue-size=128';
  const device = ['-drive', drive, '-device', `${block},iommu_platform=${iommu ? 'on' : 'off'}`];
  return iommu ? ['-device', 'virtio-iommu-pci,addr=01.0', ...device] : device;
}

/** A guest that takes commands on its console. */
export class Guest {
  readonly kind: Kind;
  readonly name: string;
  readonly #server: VfioUserServer | undefined;
  #running: QemuProcess | undefined;
  #said = '';
  #await: { readonly wanted: RegExp; readonly done: (found: RegExpExecArray) => void } | undefined;

  constructor(kind: Kind, name: string, server: VfioUserServer | undefined) {
    this.kind = kind;
    this.name = name;
    this.#server = server;
  }

  async boot({ path }: QemuProgram, args: readonly string[]): Promise<void> {
    this.#running = await startQemu({
      program: path,
      args,
      console: (line) => this.#line(line),
      stderr: (line) => this.#line(line),
    });
    await this.#until(/BENCH ready/u, BOOT_SECONDS);
  }

  /** Seconds that a command took, by the guest's own clock. */
  async time(command: string): Promise<number> {
    const { microseconds } = await this.#do(command);
    return microseconds / 1e6;
  }

  /** What a command says. */
  async run(command: string): Promise<string> {
    return (await this.#do(command)).said;
  }

  async counters(): Promise<ServerCounters | undefined> {
    return (await this.#server?.ask('counters')) as ServerCounters | undefined;
  }

  /** QEMU goes first: it aborts when its server does. */
  async end(): Promise<void> {
    this.#running?.kill();
    await this.#running?.exit;
    await this.#server?.ask('end').catch(() => undefined);
    await this.#server?.stop();
  }

  async #do(command: string): Promise<{ readonly microseconds: number; readonly said: string }> {
    this.#said = '';
    const [, took] = await this.#until(/BENCH done (\d+)/u, COMMAND_SECONDS, `${command}\n`);
    // A command that failed says so before it is done.
    if (/can't|error/iu.test(this.#said)) throw new Error(`${this.name}: ${this.#said}`);
    return { microseconds: Number(took), said: this.#said };
  }

  #line(line: string): void {
    this.#said += `${line}\n`;
    const found = this.#await?.wanted.exec(line);
    if (found) this.#await?.done(found);
  }

  async #until(wanted: RegExp, seconds: number, type?: string): Promise<RegExpExecArray> {
    let timer: NodeJS.Timeout | undefined;
    const found = await new Promise<RegExpExecArray>((resolve, reject) => {
      const fail = (why: string): void => {
        reject(new Error(`${this.name}: ${why}\n${this.#said.slice(-2000)}`));
      };
      timer = setTimeout(() => fail(`nothing for ${seconds} s`), seconds * 1000);
      void this.#running?.exit.then(() => fail('QEMU ended'));
      this.#await = { wanted, done: resolve };
      if (type !== undefined) this.#running?.type(type);
    }).finally(() => clearTimeout(timer));
    this.#await = undefined;
    return found;
  }
}
