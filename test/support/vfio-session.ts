import { buildMachine, type Machine } from '../../src/machine/index.ts';
import { GuestMemory } from '../../src/memory/index.ts';
import { numberBuses } from '../../src/vfio-user/functions.ts';
import { GuestRam, type ClientMaps } from '../../src/vfio-user/guest-ram.ts';
import { Connection } from '../../src/vfio-user/connection.ts';
import type { ServerProblem } from '../../src/vfio-user/problem.ts';
import { ServedDevice } from '../../src/vfio-user/served-device.ts';
import { Session } from '../../src/vfio-user/session.ts';
import { shippedModel } from './model-guest.ts';
import { message, versionBody, type Answer } from './vfio-client.ts';
import { FakeSys } from './vfio-fake-sys.ts';

/** A machine whose memory is a VMM's, numbered as its topology is. */
export function servedMachine(name = 'gicv2m'): Machine {
  const machine = buildMachine(shippedModel(name), { memory: new GuestMemory() });
  numberBuses(machine);
  return machine;
}

/** One connection to one function, without an operating system. */
export interface Rig {
  readonly sys: FakeSys;
  readonly machine: Machine;
  readonly device: ServedDevice;
  readonly ram: GuestRam;
  readonly maps: ClientMaps;
  readonly session: Session;
  readonly connection: Connection;
  readonly problems: ServerProblem[];
  readonly resets: string[];
  /** Sends a request and answers the bytes that come back. */
  readonly raw: (bytes: Uint8Array, fds?: readonly number[]) => Uint8Array;
  readonly request: (command: number, body?: Uint8Array, fds?: readonly number[]) => Answer;
}

export function rig(id = 'disk0', { agreed = true, topology = 'gicv2m' } = {}): Rig {
  const sys = new FakeSys();
  const machine = servedMachine(topology);
  const fn = machine.unit(id)?.pci?.fn;
  if (fn === undefined) throw new Error(`no ${id}`);
  const device = new ServedDevice(fn, sys);
  const ram = new GuestRam(sys, machine.memory, machine.model.memory);
  const maps = ram.open();
  const problems: ServerProblem[] = [];
  const resets: string[] = [];
  const session = new Session(device, maps, new DataView(sys.tx.buffer), {
    problem: (problem) => void problems.push(problem),
    reset: () => void resets.push(id),
  });
  const connection = new Connection(sys, sys.accept(), session);
  const raw = (bytes: Uint8Array, fds: readonly number[] = []): Uint8Array => {
    sys.sent.length = 0;
    sys.incoming.push({ bytes, fds });
    connection.work();
    return Uint8Array.from(sys.sent);
  };
  const request = (command: number, body?: Uint8Array, fds?: readonly number[]): Answer => {
    const reply = Buffer.from(raw(message(7, command, body), fds));
    if (reply.length < 16) throw new Error(`${reply.length} bytes of reply`);
    return { errno: reply.readUInt32LE(12), body: new Uint8Array(reply.subarray(16)) };
  };
  if (agreed) raw(message(1, 1, versionBody()));
  return { sys, machine, device, ram, maps, session, connection, problems, resets, raw, request };
}
