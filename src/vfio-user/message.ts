import {
  VFIO_USER_F_ERROR,
  VFIO_USER_F_NO_REPLY,
  VFIO_USER_F_TYPE,
  VFIO_USER_F_TYPE_COMMAND,
  VFIO_USER_F_TYPE_REPLY,
  VFIO_USER_HEADER,
} from '../spec/vfio-user.ts';
import { MESSAGE_MAX } from './sys.ts';

const AT = VFIO_USER_HEADER.offsets;

/** Bytes of a header. */
export const HEADER = VFIO_USER_HEADER.size;

/** A request as it lies in a buffer. Reused for each message: nothing on the hot path is allocated. */
export interface Request {
  id: number;
  command: number;
  /** A posted write: nobody waits for a word. */
  noReply: boolean;
  /** The buffer it lies in. */
  bytes: Uint8Array;
  data: DataView;
  /** Where its body begins there, and how many bytes that has. */
  at: number;
  length: number;
  /** Descriptors that came with it. Whoever keeps one takes it out; the rest is closed. */
  fds: number[];
}

/** What can be said of a message from its first bytes. */
export type Framing =
  /** There is not even a header. */
  | 'short'
  | 'whole'
  | 'partial'
  /** Sizes that no message has, or not a request: what follows cannot be told apart from it. */
  | 'broken';

/** Whether a whole message lies at `at`, of which `available` bytes are there. */
export function frame(data: DataView, at: number, available: number): Framing {
  if (available < HEADER) return 'short';
  const size = data.getUint32(at + AT.message_size, true);
  if (size < HEADER || size > MESSAGE_MAX) return 'broken';
  const type = data.getUint32(at + AT.flags, true) & VFIO_USER_F_TYPE;
  if (type !== VFIO_USER_F_TYPE_COMMAND) return 'broken';
  return size <= available ? 'whole' : 'partial';
}

/** Size of the message at `at`, with its header. */
export function messageSize(data: DataView, at: number): number {
  return data.getUint32(at + AT.message_size, true);
}

/** Fills in a request from a message that is all there. */
export function decode(request: Request, bytes: Uint8Array, data: DataView, at: number): void {
  request.id = data.getUint16(at + AT.message_id, true);
  request.command = data.getUint16(at + AT.command, true);
  request.noReply = (data.getUint32(at + AT.flags, true) & VFIO_USER_F_NO_REPLY) !== 0;
  request.bytes = bytes;
  request.data = data;
  request.at = at + HEADER;
  request.length = messageSize(data, at) - HEADER;
}

/**
 * Puts a reply's header in front of its body, which lies at {@link HEADER}.
 *
 * @param errno 0, or why the request was refused: the body is not sent then
 * @returns bytes of the whole reply
 */
export function encodeReply(
  out: DataView,
  { id, command }: Pick<Request, 'id' | 'command'>,
  body: number,
  errno: number,
): number {
  const size = HEADER + (errno === 0 ? body : 0);
  const flags = VFIO_USER_F_TYPE_REPLY | (errno === 0 ? 0 : VFIO_USER_F_ERROR);
  out.setUint16(AT.message_id, id, true);
  out.setUint16(AT.command, command, true);
  out.setUint32(AT.message_size, size, true);
  out.setUint32(AT.flags, flags, true);
  out.setUint32(AT.error_no, errno, true);
  return size;
}
