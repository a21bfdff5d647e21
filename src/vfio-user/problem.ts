/** Kinds of what can go wrong between a VMM and the server. */
export type ProblemCode =
  /** The descriptors that came are not those of the memory that the guest runs in. */
  | 'vfio-user/ram-not-shared'
  /** RAM came without a descriptor. */
  | 'vfio-user/ram-without-fd'
  /** What the other side sent is not the protocol. */
  | 'vfio-user/protocol'
  /** Our own mistake. The request was answered with an error. */
  | 'vfio-user/internal';

/** Something that the user should see. */
export interface ServerProblem {
  readonly code: ProblemCode;
  /** Topology id of the function on whose socket it was seen. */
  readonly function?: string;
  readonly message: string;
  readonly effect: string;
  readonly cure: string;
}

const SHARED =
  'start QEMU with -object memory-backend-memfd,id=ram,size=SIZE,share=on -machine memory-backend=ram';

export function ramNotShared(id: string): ServerProblem {
  return {
    code: 'vfio-user/ram-not-shared',
    function: id,
    message:
      "the guest drives the device, but the memory that QEMU passed is empty: it is not the guest's",
    effect: 'the device sees nothing of what the guest writes, and the guest waits for ever',
    cure: SHARED,
  };
}

export function ramWithoutFd(id: string, range: string): ServerProblem {
  return {
    code: 'vfio-user/ram-without-fd',
    function: id,
    message: `QEMU did not share the guest's RAM at ${range}: it came without a file descriptor`,
    effect: 'the devices cannot reach the guest, which waits for them for ever',
    cure: SHARED,
  };
}

export function protocolProblem(id: string, message: string, effect: string): ServerProblem {
  return {
    code: 'vfio-user/protocol',
    function: id,
    message,
    effect,
    cure: 'use QEMU 10.1 or later, which speaks version 0.0 of vfio-user',
  };
}

export function internalProblem(id: string, message: string): ServerProblem {
  return {
    code: 'vfio-user/internal',
    function: id,
    message,
    effect: 'the request was answered with an error; the guest may not be able to use the device',
    cure: 'this is a mistake of viommu-topo: please report it with this text',
  };
}
