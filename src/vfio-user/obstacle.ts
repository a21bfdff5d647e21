import { LinuxSys } from './ffi.ts';
import { ServerUnavailable } from './unavailable.ts';

/** Why this machine cannot serve devices over vfio-user; undefined when it can. */
export function serverObstacle(): ServerUnavailable | undefined {
  try {
    void new LinuxSys();
    return undefined;
  } catch (error) {
    if (error instanceof ServerUnavailable) return error;
    throw error;
  }
}
