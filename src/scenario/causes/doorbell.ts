import { hex, showRange } from '../../bytes/index.ts';
import { deviceIdBase } from '../../topology/index.ts';
import type {
  Doorbell,
  Model,
  RidMap,
  TreeDescription,
  TreeHost,
  TreeMsiController,
} from '../../topology/index.ts';
import { listed, type Case, type Cause, type CauseFinder } from '../cause.ts';
import { doorbellOf, expectedEndpoints, hostOf, type ExpectedEndpoint } from '../expected.ts';
import { covered, rowOf, showRef, showRow, treeHost } from '../firmware-reading/tree.ts';
import { fromLog, type Evidence } from '../promise.ts';

/** MSI: what the tree says about who delivers them, against the topology's doorbells. */
export const doorbell: CauseFinder = (facts) => {
  const { model, observation } = facts;
  const { tree } = observation.described;
  if (tree === undefined) return [];
  const problems = new Map<string, { cause: Omit<Cause, 'endpoints'>; endpoints: string[] }>();
  for (const expected of expectedEndpoints(model)) {
    const bell = doorbellOf(model, expected.endpoint);
    const { location } = expected.endpoint;
    if (bell === undefined || location.kind !== 'pci') continue;
    const host = treeHost(tree, location.segment, location.rids.start >>> 8);
    const cause = host === undefined ? undefined : msiCause(facts, tree, host, bell, expected);
    if (cause === undefined) continue;
    const known = problems.get(cause.id + cause.message);
    if (known === undefined)
      problems.set(cause.id + cause.message, { cause, endpoints: [expected.id] });
    else known.endpoints.push(expected.id);
  }
  return Array.from(problems.values(), ({ cause, endpoints }) => ({ ...cause, endpoints }));
};

function msiCause(
  facts: Case,
  tree: TreeDescription,
  host: TreeHost,
  bell: Doorbell,
  expected: ExpectedEndpoint,
): Omit<Cause, 'endpoints'> | undefined {
  const { location } = expected.endpoint;
  if (location.kind !== 'pci') return undefined;
  const rid = location.rids.start;
  const evidence = msiLines(facts);
  const { msiMap, msiParent } = host;
  if (msiMap === undefined && msiParent === undefined) {
    return {
      id: 'msi-map-missing',
      message: `${host.path} has neither msi-map nor msi-parent, so its devices fall back to INTx; their doorbell is ${bell.id}`,
      cure: `add msi-map = <0x0 &${bell.id} 0x0 0x10000>`,
      evidence,
    };
  }
  const row = msiMap === undefined ? undefined : rowOf(msiMap, rid);
  if (msiMap !== undefined && (msiMap.leftover > 0 || row === undefined)) {
    return noRow(host, msiMap, expected, evidence);
  }
  const ref = row?.target ?? msiParent?.target;
  const target = tree.msiControllers.find((controller) =>
    ref === undefined
      ? false
      : 'key' in ref
        ? controller.key === ref.key || controller.path === ref.key
        : controller.phandle === ref.phandle,
  );
  if (target === undefined) {
    return {
      id: 'msi-map-phandle',
      message: `the ${row === undefined ? 'msi-parent' : 'msi-map'} of ${host.path} names ${ref === undefined ? 'nothing' : showRef(ref)}, which no MSI controller has; its devices fall back to INTx`,
      cure: `point it at ${bell.id}`,
      evidence,
    };
  }
  return (
    addressCause(facts.model, target, bell, evidence) ??
    baseCause(facts.model, bell, row, host, expected, evidence)
  );
}

function noRow(
  host: TreeHost,
  map: RidMap,
  expected: ExpectedEndpoint,
  evidence: readonly Evidence[],
): Omit<Cause, 'endpoints'> {
  if (map.leftover > 0) {
    return {
      id: 'msi-map-length',
      message: `Linux throws away the msi-map of ${host.path}: it is ${map.bytes} bytes long, ${map.leftover} cell(s) more than whole rows`,
      evidence,
    };
  }
  return {
    id: 'msi-map-gap',
    message: `${expected.label} is missing from the msi-map of ${host.path}: rows cover ${covered(map)}; it falls back to INTx`,
    cure: `add a row for ${expected.label}`,
    evidence,
  };
}

/** The controller's node says another address than the topology. */
function addressCause(
  model: Model,
  target: TreeMsiController,
  bell: Doorbell,
  evidence: readonly Evidence[],
): Omit<Cause, 'endpoints'> | undefined {
  const { window } = target;
  if (window === undefined) return undefined;
  const meant = model.doorbells.find(
    ({ frame }) => window.start >= frame.start && window.start <= frame.end,
  );
  if (meant?.id === bell.id) return undefined;
  if (meant !== undefined) {
    return {
      id: 'msi-wrong-controller',
      message: `MSIs go to ${target.path}, which is ${meant.id}; the topology's doorbell is ${bell.id}`,
      cure: `point it at ${bell.id}`,
      evidence,
    };
  }
  return {
    id: 'doorbell-address',
    message: `${target.path} puts the MSI doorbell at ${showRange(window)}; ${bell.id} is at ${showRange(bell.window)}`,
    cure: `write the address of ${bell.id}`,
    evidence,
  };
}

/** An ITS knows a device by its requester ID (and segment); firmware must not say otherwise. */
function baseCause(
  model: Model,
  bell: Doorbell,
  row: ReturnType<typeof rowOf>,
  host: TreeHost,
  expected: ExpectedEndpoint,
  evidence: readonly Evidence[],
): Omit<Cause, 'endpoints'> | undefined {
  const { location } = expected.endpoint;
  const own = hostOf(model, expected.endpoint);
  if (bell.kind !== 'its' || row === undefined || own === undefined) return undefined;
  if (location.kind !== 'pci') return undefined;
  const rid = location.rids.start;
  const deviceId = row.outputBase + (rid - row.ridBase);
  const right = rid + deviceIdBase(model, own);
  if (deviceId === right) return undefined;
  return {
    id: 'msi-map-base',
    message: `row ${showRow(row)} of the msi-map of ${host.path} gives ${expected.label} DeviceID ${hex(deviceId)}; ${bell.id} sees it as ${hex(right)}, so its interrupts are lost`,
    cure: `make the row's third cell ${hex((row.outputBase - deviceId + right) >>> 0)}`,
    evidence,
  };
}

function msiLines({ observation }: Case): Evidence[] {
  return observation.guest.log
    .filter(({ meaning }) => meaning?.code === 'msi-map-missing')
    .slice(0, 2)
    .map(fromLog);
}

/** Reserved regions that PROBE answers, when they are not the topology's. */
export const probeRegions: CauseFinder = ({ failures, observation }) => {
  const wrong = failures
    .find(({ id }) => id === 'reserved-regions')
    ?.items.filter((item) => item.outcome === 'fail');
  if (wrong === undefined || wrong.length === 0) return [];
  const [first] = wrong;
  const notes = first?.evidence.map(({ text }) => text).join('; ') ?? '';
  return [
    {
      id: 'reserved-regions-differ',
      message: `${listed(wrong.map(({ subject }) => subject))} ${wrong.length === 1 ? 'has' : 'have'} other reserved regions than the topology declares: ${notes}`,
      endpoints: wrong.flatMap(({ endpoint }) => endpoint ?? []),
      evidence: observation.device.endpoints
        .flatMap(({ probe }) =>
          probe.first?.text === undefined
            ? []
            : [{ source: 'device' as const, text: probe.first.text }],
        )
        .slice(0, 2),
    },
  ];
};
