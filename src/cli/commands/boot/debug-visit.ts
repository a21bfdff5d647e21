import type { MachineVisitor, RemoteVisitor } from '../../../backends/index.ts';
import {
  Inspector,
  serveDebug,
  SocketError,
  type Answerer,
  type DebugServer,
} from '../../../debug/index.ts';
import { InputError } from '../../exit.ts';
import { packageVersion } from '../../version.ts';

/** What is asked for with --debug. */
export interface DebugWish {
  readonly socket: string;
  /** Whether the guest waits for a debugger before its first instruction. */
  readonly wait: boolean;
  readonly backend: string;
  readonly say: (line: string) => void;
}

/** `boot --debug`: the machine can be asked for as long as it runs. */
export function debugVisit({ socket, wait, backend, say }: DebugWish): MachineVisitor {
  return async ({ machine, hold, release, clock }) => {
    const inspector = new Inspector(
      machine,
      { hold, release, clock },
      { tool: packageVersion(), backend },
    );
    const server = await open(socket, inspector);
    if (wait) {
      inspector.wait();
      say(`the guest waits: viommu-topo debug ${socket} continue`);
    }
    return async () => {
      inspector.end();
      await server.close();
    };
  };
}

/** `boot --debug` on devices of ours that a QEMU uses. */
export function remoteDebugVisit(socket: string): RemoteVisitor {
  return async (machine) => {
    const server = await open(socket, machine);
    return () => server.close();
  };
}

/** @throws InputError */
async function open(socket: string, answerer: Answerer): Promise<DebugServer> {
  try {
    return await serveDebug(socket, answerer);
  } catch (error) {
    if (!(error instanceof SocketError)) throw error;
    throw new InputError(error.message, error.cure, { cause: error });
  }
}
