import { isIPv4 } from 'node:net';
import { InvalidArgumentError } from 'commander';
import { TAP_ADDRESS, TAP_PEER, type TapAttachment } from '../../../backends/index.ts';
import type { Model } from '../../../topology/index.ts';
import { isTapName } from '../../../vfio-user/index.ts';
import { InputError } from '../../exit.ts';

/** `--net`, as it was given. */
export interface NetOption {
  readonly tap: string;
  /** Default: the only virtio-net there is. */
  readonly endpoint?: string;
  readonly address: string;
  readonly peer: string;
}

const FORM = 'tap=NAME[,endpoint=ID][,ip=ADDRESS/LENGTH,peer=ADDRESS]';

/** Reads one `--net` and adds it. @throws InvalidArgumentError */
export function netOption(text: string, before: readonly NetOption[]): NetOption[] {
  const parts = new Map<string, string>();
  for (const part of text.split(',')) {
    const [, key = '', value = ''] = /^(tap|endpoint|ip|peer)=(.+)$/u.exec(part) ?? [];
    if (key === '' || parts.has(key)) throw new InvalidArgumentError(`It is ${FORM}.`);
    parts.set(key, value);
  }
  const tap = parts.get('tap');
  const endpoint = parts.get('endpoint');
  if (tap === undefined) throw new InvalidArgumentError(`It is ${FORM}.`);
  if (!isTapName(tap)) {
    throw new InvalidArgumentError(
      `${tap} is no name of an interface: up to 15 letters, digits, ".", "_" and "-".`,
    );
  }
  return [
    ...before,
    { tap, ...(endpoint === undefined ? {} : { endpoint }), ...addressesOf(parts) },
  ];
}

function addressesOf(parts: ReadonlyMap<string, string>): Pick<NetOption, 'address' | 'peer'> {
  const ip = parts.get('ip');
  const peer = parts.get('peer');
  if (ip === undefined && peer === undefined) return { address: TAP_ADDRESS, peer: TAP_PEER };
  if (ip === undefined || peer === undefined) {
    throw new InvalidArgumentError('ip= and peer= go together: what the guest is, and pings.');
  }
  const [address = '', length = '', ...rest] = ip.split('/');
  const bits = /^\d{1,2}$/u.test(length) ? Number(length) : 0;
  if (!isIPv4(address) || bits < 1 || bits > 31 || rest.length > 0) {
    throw new InvalidArgumentError('ip= is an IPv4 address with its prefix, such as 10.0.2.15/24.');
  }
  if (!isIPv4(peer)) throw new InvalidArgumentError('peer= is an IPv4 address.');
  if (numberOf(address) === numberOf(peer)) {
    throw new InvalidArgumentError('ip= is the guest and peer= whom it pings: they differ.');
  }
  if (numberOf(address) >>> (32 - bits) !== numberOf(peer) >>> (32 - bits)) {
    throw new InvalidArgumentError(`${peer} is not in ${ip}: the guest has no routes.`);
  }
  return { address: ip, peer };
}

function numberOf(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}

/**
 * What `--net` means for a topology.
 *
 * @throws InputError when a NIC is not there, or two are to be on one interface
 */
export function tapsOf(options: readonly NetOption[], model: Model): TapAttachment[] {
  const nics = model.endpoints.filter(({ device }) => device?.kind === 'virtio-net');
  const names = nics.map(({ id }) => id).join(', ');
  const taken: TapAttachment[] = [];
  for (const { tap, endpoint, address, peer } of options) {
    const [only, ...more] = nics;
    if (endpoint === undefined && more.length > 0) {
      throw new InputError(
        `--net tap=${tap}: ${model.name} has several virtio-net devices`,
        `say which: endpoint= ${names}`,
      );
    }
    const nic = endpoint === undefined ? only : nics.find(({ id }) => id === endpoint);
    if (nic === undefined) {
      const which = endpoint === undefined ? 'no virtio-net device' : `no virtio-net ${endpoint}`;
      throw new InputError(
        `--net tap=${tap}: ${model.name} has ${which}`,
        names === '' ? 'add an endpoint with `device: virtio-net`' : `it has ${names}`,
      );
    }
    const twice = taken.find((one) => one.tap === tap || one.endpoint === nic.id);
    if (twice !== undefined) {
      throw new InputError(
        `--net: ${twice.endpoint} on ${twice.tap}, and ${nic.id} on ${tap}`,
        'one NIC is on one interface, and one interface has one NIC',
      );
    }
    taken.push({ tap, endpoint: nic.id, address, peer });
  }
  return taken;
}
