import { EnvironmentError, type Guest } from '../../guest/index.ts';
import {
  chooseAccel,
  findQemu,
  findVfioUserQemu,
  queryCapabilities,
  QemuError,
  showQemuVersion,
  type QemuArch,
  type QemuProgram,
} from '../../qemu/index.ts';
import { serverObstacle } from '../../vfio-user/index.ts';
import type { Finding } from './finding.ts';

/** Both QEMUs, with the devices that we need of them, and KVM where this machine could have it. */
export async function findQemus(
  guests: ReadonlyMap<string, Guest>,
  signal: AbortSignal,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const arch of ['arm64', 'x86-64'] as const) {
    const { finding, program } = await findOne(arch);
    findings.push(finding);
    findings.push(await findServed(arch));
    signal.throwIfAborted();
    if (isHost(arch)) findings.push(await findKvm(program, guests, signal));
  }
  return findings;
}

function isHost(arch: QemuArch): boolean {
  return arch === (process.arch === 'arm64' ? 'arm64' : 'x86-64');
}

async function findOne(arch: QemuArch): Promise<{ finding: Finding; program?: QemuProgram }> {
  const about = {
    subject: `QEMU for ${arch}`,
    use: `boot --backend qemu on ${arch} topologies`,
    needed: [`qemu-${arch}`] as const,
  };
  try {
    const program = await findQemu(arch);
    const { devices } = await queryCapabilities(program);
    const seen = `${program.banner.replace(/^QEMU emulator version /u, '')}, ${program.path}`;
    if (!devices.has('virtio-iommu-pci')) {
      const cure = 'install a QEMU that is built with CONFIG_VIRTIO_IOMMU';
      return { finding: { ...about, state: 'bad', seen: `${seen}: no virtio-iommu-pci`, cure } };
    }
    return { finding: { ...about, state: 'ok', seen }, program };
  } catch (error) {
    if (error instanceof EnvironmentError) {
      const state = error.code === 'env/program-missing' ? 'missing' : 'bad';
      return { finding: { ...about, state, seen: error.message, cure: error.cure } };
    }
    if (!(error instanceof QemuError)) throw error;
    const cure = 'run it by hand: something keeps it from starting';
    return { finding: { ...about, state: 'bad', seen: error.message, cure } };
  }
}

/** A QEMU that our own devices can be served to: the host's, or the one in the cache. */
async function findServed(arch: QemuArch): Promise<Finding> {
  const about = {
    subject: `vfio-user for ${arch}`,
    use: `boot --backend qemu-vfio-user and serve, on ${arch} topologies`,
    needed: [`vfio-user-${arch}`] as const,
  };
  const obstacle = serverObstacle();
  if (obstacle !== undefined) {
    return { ...about, state: 'missing', seen: obstacle.message, cure: obstacle.cure };
  }
  try {
    const program = await findVfioUserQemu(arch);
    return { ...about, state: 'ok', seen: `${showQemuVersion(program.version)}, ${program.path}` };
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error;
    return { ...about, state: 'missing', seen: error.message, cure: error.cure };
  }
}

/** KVM is believed when it has run a kernel, not because of a device node. */
async function findKvm(
  program: QemuProgram | undefined,
  guests: ReadonlyMap<string, Guest>,
  signal: AbortSignal,
): Promise<Finding> {
  const about = { subject: 'KVM', use: 'QEMU’s guests faster', needed: ['kvm'] as const };
  const cure = 'none is needed: boots run under TCG';
  const arch = process.arch === 'arm64' ? 'arm64' : 'amd64';
  const guest = [...guests.values()].find((one) => one.arch === arch);
  if (program === undefined) {
    return { ...about, state: 'missing', seen: 'cannot be tried without QEMU', cure };
  }
  if (guest === undefined) {
    const fetch = `viommu-topo guest fetch --arch ${arch}, then doctor again`;
    return { ...about, state: 'missing', seen: 'cannot be tried without a kernel', cure: fetch };
  }
  const { accel, reason } = await chooseAccel(program, { kernel: guest.kernel, signal });
  if (accel === 'kvm') return { ...about, state: 'ok', seen: reason };
  return {
    ...about,
    state: reason.includes('no /dev/kvm') ? 'missing' : 'bad',
    seen: reason,
    cure,
  };
}
