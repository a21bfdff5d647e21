import type { RequestType } from '../request.ts';
import { ATTACH } from './attach.ts';
import { DETACH } from './detach.ts';
import { MAP } from './map.ts';
import { PROBE } from './probe.ts';
import { UNMAP } from './unmap.ts';

/** The request types of VIRTIO 1.3. A device can be given more. */
export const REQUEST_TYPES: readonly RequestType[] = [ATTACH, DETACH, MAP, UNMAP, PROBE];
