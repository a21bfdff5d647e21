import { execa } from 'execa';

import { fileKey, type QemuProgram } from './find.ts';
import { qemuAtLeast, showQemuVersion, VFIO_USER_QEMU } from './version.ts';

/** QEMU's client of vfio-user. */
export const VFIO_USER_DEVICE = 'vfio-user-pci';

/** What this QEMU lacks to be a client of vfio-user, as a clause; undefined when nothing. */
export async function vfioUserLack(qemu: QemuProgram): Promise<string | undefined> {
  const name = `${qemu.path} is QEMU ${showQemuVersion(qemu.version)}`;
  if (!qemuAtLeast(qemu.version, VFIO_USER_QEMU.major, VFIO_USER_QEMU.minor)) {
    return `${name}, which is too old`;
  }
  return (await hasDevice(qemu)) ? undefined : `${name}, built without it`;
}

const asked = new Map<string, Promise<boolean>>();

function hasDevice({ path }: QemuProgram): Promise<boolean> {
  const key = fileKey(path);
  const known = asked.get(key);
  if (known !== undefined) return known;
  // `-device help` lists it too, but loads every module there is, and those may be of another build.
  const answer = execa(path, ['-M', 'none', '-device', `${VFIO_USER_DEVICE},help`], {
    reject: false,
    timeout: 30_000,
    stdin: 'ignore',
  }).then(({ stdout }) => /^ {2}socket=/mu.test(stdout));
  asked.set(key, answer);
  return answer;
}
