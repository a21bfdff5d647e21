import { hex } from '../../bytes/index.ts';
import { showBdf } from '../../spec/pci.ts';
import type { Model } from '../../topology/index.ts';
import type { Cause, CauseFinder } from '../cause.ts';
import { viommuOfViotNode, type IommuNode } from '../firmware-reading/viot.ts';
import { isAt, placeName } from '../names.ts';
import type { Observation } from '../observation.ts';
import { fromLog } from '../promise.ts';

/** Problems of content, which are said of the endpoints they concern. */
const NOT_FORM = /^viot\/(?:(?:range|output|endpoint)-.*|duplicate)$/u;

/** The table itself: its form, and the IOMMUs it names. */
export const viotTable: CauseFinder = ({ model, observation, findings }) => {
  const { viot } = observation.described;
  if (viot === undefined) return [];
  const evidence = findings
    .filter(({ kind }) => kind === 'viot' || kind === 'deferred')
    .slice(0, 3)
    .map(({ line }) => fromLog(line));
  const stray = viot.nodes
    .filter((node): node is IommuNode => node.type === 'pci-iommu' || node.type === 'mmio-iommu')
    .filter((node) => viommuOfViotNode(model, node) === undefined)
    .map((node) => ({ ...strayNode(model, observation, node), evidence }));
  const form = viot.formProblems
    .filter(({ code, severity }) => severity !== 'warning' && !NOT_FORM.test(code))
    .map(({ code, message }): Cause => ({
      id: 'viot-form',
      message: `Linux cannot read all of the VIOT: ${message} (${code})`,
      endpoints: [],
      cure: 'mend the table: nodes after the damage are lost',
      evidence,
    }));
  return [...form, ...stray];
};

function strayNode(model: Model, { guest }: Observation, node: IommuNode): Omit<Cause, 'evidence'> {
  const said = node.type === 'pci-iommu' ? showBdf(node.rid, node.segment) : hex(node.base);
  const right = model.viommus.map(({ id, transport }) => `${id} is at ${placeName(transport)}`);
  const base = { endpoints: [], cure: `name the vIOMMU's own place: ${right.join(', ')}` };
  const start = `VIOT's node at ${hex(node.offset)} says that ${said} is the virtio-iommu`;
  const place =
    node.type === 'pci-iommu'
      ? ({ kind: 'pci', host: '', segment: node.segment, rid: node.rid } as const)
      : ({ kind: 'mmio', base: node.base, size: 0n, interrupt: 0, legacy: false } as const);
  const endpoint = model.endpoints.find(({ location }) => sameAs(location, node));
  const device = guest.devices.find(({ name }) => isAt(name, place));
  if (endpoint?.device !== undefined || device !== undefined) {
    const what =
      endpoint?.device === undefined
        ? `another device${device?.driver === undefined ? '' : ` (driver ${device.driver})`}`
        : `${endpoint.id}, a ${endpoint.device.kind}`;
    return {
      ...base,
      id: 'viot-iommu-is-another-device',
      message: `${start}, but that is ${what}; ${right.join(', ')}. Linux defers every endpoint for ever`,
    };
  }
  return {
    ...base,
    id: 'viot-iommu-absent',
    message: `${start}, but nothing is there; ${right.join(', ')}`,
  };
}

function sameAs(location: Model['endpoints'][number]['location'], node: IommuNode): boolean {
  if (location.kind === 'platform')
    return node.type === 'mmio-iommu' && node.base === location.base;
  return (
    node.type === 'pci-iommu' &&
    location.form === 'function' &&
    location.segment === node.segment &&
    location.rids.start === node.rid
  );
}
