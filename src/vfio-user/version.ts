import {
  EINVAL,
  ENOTSUP,
  VFIO_USER_MAJOR_VER,
  VFIO_USER_MINOR_VER,
  VFIO_USER_VERSION_BODY,
} from '../spec/vfio-user.ts';
import { MAPS_MAX } from './guest-ram.ts';
import { HEADER, type Request } from './message.ts';

const AT = VFIO_USER_VERSION_BODY.offsets;

/** Descriptors that we take with one message; QEMU 11.1 refuses a server that says more than 16. */
export const FDS_MAX = 16;
/** Bytes that one region access may move. */
export const XFER_MAX = 0x1_0000;

/** What we say of ourselves. WRITE_MULTI is not asked for; it is understood all the same. */
const CAPABILITIES = JSON.stringify({
  capabilities: {
    max_msg_fds: FDS_MAX,
    max_data_xfer_size: XFER_MAX,
    max_dma_maps: MAPS_MAX,
    pgsizes: 4096,
  },
});

/** What came of a VERSION request. */
export interface Negotiation {
  readonly errno: number;
  /** Bytes of the reply's body. */
  readonly length: number;
  /** For people, when it was refused. */
  readonly why?: string;
}

/**
 * Agrees on version 0.0. The reply is never longer than the request: QEMU receives it into the same
 * buffer, and gives up when it does not fit.
 */
export function negotiate(request: Request, out: DataView): Negotiation {
  if (request.length < VFIO_USER_VERSION_BODY.size) {
    return { errno: EINVAL, length: 0, why: `a version request of ${request.length} bytes` };
  }
  const major = request.data.getUint16(request.at + AT.major, true);
  const minor = request.data.getUint16(request.at + AT.minor, true);
  if (major !== VFIO_USER_MAJOR_VER) {
    return { errno: ENOTSUP, length: 0, why: `version ${major}.${minor}` };
  }
  const text = request.length > VFIO_USER_VERSION_BODY.size;
  if (text && !isJson(request)) {
    return { errno: EINVAL, length: 0, why: 'capabilities that are no JSON text' };
  }
  out.setUint16(HEADER + AT.major, VFIO_USER_MAJOR_VER, true);
  out.setUint16(HEADER + AT.minor, VFIO_USER_MINOR_VER, true);
  const room = request.length - VFIO_USER_VERSION_BODY.size;
  const own = [CAPABILITIES, '{}'].find((candidate) => candidate.length + 1 <= room) ?? '';
  const at = HEADER + VFIO_USER_VERSION_BODY.size;
  for (let i = 0; i < own.length; i++) out.setUint8(at + i, own.charCodeAt(i));
  if (own !== '') out.setUint8(at + own.length, 0);
  const length = VFIO_USER_VERSION_BODY.size + (own === '' ? 0 : own.length + 1);
  return { errno: 0, length };
}

/** What the client can do does not matter to us, but a text that is none tells of a mistake. */
function isJson({ bytes, at, length }: Request): boolean {
  const end = at + length - 1;
  if (bytes[end] !== 0) return false;
  try {
    const text = Buffer.from(bytes.subarray(at + VFIO_USER_VERSION_BODY.size, end)).toString();
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null;
  } catch {
    return false;
  }
}
