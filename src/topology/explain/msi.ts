import { contains, hex, showRange } from '../../bytes/index.ts';
import type { NodeRef, TreeDescription } from '../description.ts';
import type { Facts } from '../facts.ts';
import { showRef } from '../rules/support/rid-map.ts';
import { walkIdMap } from './id-map.ts';
import type { Asker, Trail } from './types.ts';

const PART = 'msi';

/** Who takes the MSIs of a PCI function, from `msi-map` or `msi-parent` of its host bridge. */
export function explainTreeMsi(
  trail: Trail,
  facts: Facts,
  tree: TreeDescription,
  asker: Asker,
): void {
  const { location } = asker;
  if (location.kind !== 'pci') return;
  const host = tree.hosts.find(
    (it) => (it.segment ?? 0) === location.segment && contains(it.buses, location.rid >>> 8),
  );
  if (host === undefined) return;
  const { msiMap, msiParent } = host;
  if (msiMap !== undefined) {
    const question = {
      part: PART,
      name: 'msi-map',
      path: host.path,
      map: msiMap,
      rid: location.rid,
    } as const;
    const answer = walkIdMap(trail, facts, question);
    if ('row' in answer) controller(trail, tree, answer.row.target, `DeviceID ${hex(answer.id)}`);
    else trail.say(PART, 'note', 'without an MSI controller the function falls back to INTx');
    return;
  }
  if (msiParent === undefined) {
    trail.say(
      PART,
      'note',
      `${host.path} has neither msi-map nor msi-parent: its functions fall back to INTx`,
      host.place,
    );
    return;
  }
  trail.say(
    PART,
    'ok',
    `${host.path} has msi-parent = ${showRef(msiParent.target)}`,
    msiParent.place,
  );
  controller(trail, tree, msiParent.target, `DeviceID ${hex(location.rid)}, its requester ID`);
}

function controller(trail: Trail, tree: TreeDescription, ref: NodeRef, id: string): void {
  const node = 'key' in ref ? tree.msiControllers.find((it) => it.key === ref.key) : undefined;
  if (node === undefined) {
    trail.say(
      PART,
      'stop',
      `${showRef(ref)} is no MSI controller: the function falls back to INTx`,
    );
    return;
  }
  const at = node.window === undefined ? '' : `; devices write to ${showRange(node.window)}`;
  const whose =
    node.kind === 'its'
      ? `an ITS, which knows the function by ${id}`
      : node.kind === 'gicv2m'
        ? 'a GICv2m frame'
        : 'an MSI controller';
  trail.say(PART, 'ok', `MSIs go to ${node.path}, ${whose}${at}`, node.place);
}

/** The same from IORT, for an ACPI boot. */
export function explainIortMsi(trail: Trail, { iort }: Facts, { location }: Asker): void {
  if (iort === undefined || location.kind !== 'pci') return;
  for (const complex of iort.rootComplexes) {
    if (complex.segment !== location.segment) continue;
    const mapping = complex.mappings.find((it) => contains(it.input, location.rid));
    if (mapping === undefined) continue;
    const id = (mapping.outputBase + (location.rid - mapping.input.start)) >>> 0;
    const to =
      mapping.target === 'its' ? `an ITS, as DeviceID ${hex(id)}` : `no ITS (${mapping.target})`;
    trail.say(
      PART,
      mapping.target === 'its' ? 'ok' : 'note',
      `IORT sends ${hex(location.rid)} to ${to}`,
      mapping.place,
    );
    return;
  }
  trail.say(
    PART,
    'note',
    `no root complex of IORT has ${hex(location.rid)} of segment ${location.segment}`,
    iort.place,
  );
}
