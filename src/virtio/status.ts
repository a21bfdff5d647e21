import {
  VIRTIO_CONFIG_S_ACKNOWLEDGE,
  VIRTIO_CONFIG_S_DRIVER,
  VIRTIO_CONFIG_S_DRIVER_OK,
  VIRTIO_CONFIG_S_FAILED,
  VIRTIO_CONFIG_S_FEATURES_OK,
  VIRTIO_CONFIG_S_NEEDS_RESET,
} from '../spec/virtio.ts';

/** What a write to the status field leads to. */
export interface StatusTransition {
  /** The value that a read gives from now on. */
  readonly status: number;
  /** Zero was written: the device is to be reset. */
  readonly reset: boolean;
  /** FEATURES_OK was set just now: the choice of features is final. */
  readonly negotiated: boolean;
  /** DRIVER_OK was set just now: the device is live. */
  readonly started: boolean;
}

/** Each step of an initialization and the one it comes after ("Device Initialization"). */
const STEPS = [
  [VIRTIO_CONFIG_S_ACKNOWLEDGE, 0],
  [VIRTIO_CONFIG_S_DRIVER, VIRTIO_CONFIG_S_ACKNOWLEDGE],
  [VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_DRIVER],
  [VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_CONFIG_S_FEATURES_OK],
] as const;

/**
 * What the device status field becomes when a driver writes it (VIRTIO 1.3, "Device Status Field").
 *
 * Bits are only ever added, until zero resets: a driver "MUST NOT clear" one. DEVICE_NEEDS_RESET is
 * the device's alone. A step whose predecessor is missing is not taken, nor any after FAILED; one
 * write may take several steps, as firmware does.
 *
 * @param acceptable whether the device agrees with the features now chosen
 */
export function transition(
  current: number,
  written: number,
  acceptable: boolean,
): StatusTransition {
  if ((written & 0xff) === 0) {
    return { status: 0, reset: true, negotiated: false, started: false };
  }
  let status = current;
  if ((current & VIRTIO_CONFIG_S_FAILED) === 0) {
    for (const [step, before] of STEPS) {
      const allowed = step !== VIRTIO_CONFIG_S_FEATURES_OK || acceptable;
      if ((written & step) !== 0 && (status & before) === before && allowed) status |= step;
    }
  }
  status |= written & VIRTIO_CONFIG_S_FAILED;
  const added = status & ~current;
  return {
    status,
    reset: false,
    negotiated: (added & VIRTIO_CONFIG_S_FEATURES_OK) !== 0,
    started: (added & VIRTIO_CONFIG_S_DRIVER_OK) !== 0,
  };
}

/** Whether a device in this state works on its queues. */
export function isLive(status: number): boolean {
  const stopped = VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED;
  return (status & VIRTIO_CONFIG_S_DRIVER_OK) !== 0 && (status & stopped) === 0;
}
