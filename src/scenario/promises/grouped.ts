import type { ExpectedEndpoint } from '../expected.ts';
import { expectedEndpoints, guestDevice } from '../expected.ts';
import { isAt, viommuLabel } from '../names.ts';
import type { Model } from '../../topology/index.ts';
import type { GuestDevice, Observation } from '../observation.ts';
import { failed, judged, passed, unseen, type Item, type Promised } from '../promise.ts';

export const behindIsGrouped: Promised = {
  id: 'behind-is-grouped',
  title: 'each endpoint behind a vIOMMU is in an IOMMU group of that vIOMMU',
  explanation:
    'Linux puts a device into a group when it found an IOMMU for it in the firmware and the IOMMU accepted it. A device that ought to be translated and is in no group does its DMA past the vIOMMU, usually without a word in the log. With several vIOMMUs the one it is linked to (`/sys/bus/…/iommu`) must be the right one.',
  judge: (model, observation) =>
    expectedEndpoints(model)
      .filter((expected) => expected.translated)
      .map((expected) => judgeBehind(model, observation, expected)),
};

function judgeBehind(model: Model, observation: Observation, expected: ExpectedEndpoint): Item {
  const { viommu = '' } = expected;
  const parts = {
    subject: expected.label,
    endpoint: expected.id,
    expected: `in a group of ${viommuLabel(model, viommu)}`,
  };
  const device = guestDevice(observation, expected.endpoint);
  if (device === undefined) return absent(observation, parts);
  if (device.group === undefined) {
    const driver = device.driver === undefined ? 'no driver' : `driver ${device.driver}`;
    return failed({ ...parts, seen: `in no group (${driver})` });
  }
  const actual = viommuOf(model, observation, device);
  if (actual === undefined) {
    const only = model.viommus.length === 1;
    const seen = `in group ${device.group}${only ? '' : ', of which vIOMMU the guest does not say'}`;
    return only ? passed({ ...parts, seen }) : unseen({ ...parts, seen });
  }
  return judged(actual === viommu, {
    ...parts,
    seen: `in group ${device.group} of ${viommuLabel(model, actual)}`,
  });
}

export const bypassIsNot: Promised = {
  id: 'bypass-is-not-grouped',
  title: 'each bypassing endpoint is in no IOMMU group',
  explanation:
    'An endpoint that the topology leaves outside every vIOMMU must not be given one: the device model would refuse it, or translate what ought to pass.',
  judge: (model, observation) =>
    expectedEndpoints(model)
      .filter((expected) => !expected.translated)
      .map((expected) => {
        const parts = {
          subject: expected.label,
          endpoint: expected.id,
          expected: 'in no group',
        };
        const device = guestDevice(observation, expected.endpoint);
        if (device === undefined) return absent(observation, parts);
        return judged(device.group === undefined, {
          ...parts,
          seen: device.group === undefined ? 'in no group' : `in group ${device.group}`,
        });
      }),
};

function absent(
  observation: Observation,
  parts: { subject: string; endpoint: string; expected: string },
): Item {
  return observation.guest.started && observation.guest.devices.length > 0
    ? failed({ ...parts, seen: 'the guest has no such device' })
    : unseen({ ...parts, seen: 'the guest did not come to list its devices' });
}

/** Topology id of the vIOMMU a guest's device is linked to. */
export function viommuOf(
  model: Model,
  observation: Observation,
  device: GuestDevice,
): string | undefined {
  const name =
    device.iommu ??
    observation.guest.iommus.find((iommu) => iommu.endpoints.includes(device.name))?.name;
  if (name === undefined) return undefined;
  const iommu = observation.guest.iommus.find((candidate) => candidate.name === name);
  const at = iommu?.device ?? name;
  return model.viommus.find((viommu) => isAt(at, viommu.transport))?.id;
}
