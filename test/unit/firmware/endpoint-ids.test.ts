import { describe, expect, test } from 'vitest';
import {
  buildFirmware,
  describeTree,
  describeViot,
  type Json,
} from '../../../src/firmware/index.ts';
import type { Model } from '../../../src/topology/index.ts';
import { shipped, shippedModel } from './shipped.ts';
import { answer, modelLookup, treeLookup, viotLookup, type Answer } from './lookup.ts';

/** Every requester ID of the hosts, or every 13th and the ends of runs in a large topology. */
function* requesters(model: Model): Generator<readonly [string, number, number]> {
  for (const { id, segment, buses } of model.hosts) {
    const step = model.hosts.length > 2 ? 13 : 1;
    for (let rid = buses.start << 8; rid <= ((buses.end << 8) | 0xff); rid += step) {
      yield [id, segment, rid];
    }
  }
  for (const { host, segment, rids } of model.coverage) {
    for (const rid of [rids.start - 1, rids.start, rids.end, rids.end + 1]) {
      const at = model.hosts.find(({ id }) => id === host);
      const bus = rid >> 8;
      if (at !== undefined && rid >= 0 && at.buses.start <= bus && bus <= at.buses.end) {
        yield [host, segment, rid];
      }
    }
  }
}

interface ResolvedRow {
  readonly segment: number;
  readonly rids: { readonly start: number; readonly end: number };
  readonly viommu: string;
  readonly endpointId: number;
}

function jsonLookup(resolved: Json, segment: number, rid: number): Answer {
  const { coverage } = JSON.parse(JSON.stringify(resolved)) as { coverage: ResolvedRow[] };
  const row = coverage.find(
    (it) => it.segment === segment && it.rids.start <= rid && rid <= it.rids.end,
  );
  return row === undefined ? 'none' : answer(row.viommu, row.endpointId + (rid - row.rids.start));
}

test('there are topologies to compare', () => {
  expect(shipped.length).toBeGreaterThan(0);
});

describe.each(shipped)('%s', (name) => {
  const model = shippedModel(name);
  const firmware = buildFirmware(model);
  const { dtb, viot, resolved } = firmware;

  test('is described by a tree, a table or both', () => {
    expect(dtb ?? viot).toBeDefined();
  });

  test('the tree gives every requester ID the endpoint ID of the model', () => {
    if (dtb === undefined) return;
    const tree = describeTree(dtb, 'topology.dtb');
    expect(tree.formProblems).toEqual([]);
    const wrong: string[] = [];
    for (const [hostId, segment, rid] of requesters(model)) {
      const index = model.hosts.findIndex(({ id }) => id === hostId);
      const host = tree.hosts[index];
      const said = host === undefined ? 'no host' : treeLookup(model, tree, host, rid);
      const right = modelLookup(model, segment, rid);
      if (said !== right) wrong.push(`${segment}:${rid.toString(16)} ${said}, not ${right}`);
    }
    expect(wrong.slice(0, 5)).toEqual([]);
  });

  test('the VIOT gives every requester ID the endpoint ID of the model', () => {
    if (viot === undefined) return;
    const table = describeViot(viot, 'viot.aml');
    expect(table.formProblems).toEqual([]);
    const wrong: string[] = [];
    for (const [, segment, rid] of requesters(model)) {
      const said = viotLookup(model, table, segment, rid);
      const right = modelLookup(model, segment, rid);
      if (said !== right) wrong.push(`${segment}:${rid.toString(16)} ${said}, not ${right}`);
    }
    expect(wrong.slice(0, 5)).toEqual([]);
  });

  test('the resolved JSON says the same of the ends of every run', () => {
    for (const { segment, rids } of model.coverage.slice(0, 64)) {
      for (const rid of [rids.start, rids.end]) {
        expect(jsonLookup(resolved, segment, rid)).toBe(modelLookup(model, segment, rid));
      }
    }
  });

  test('platform devices have their endpoint ID everywhere', () => {
    const tree = dtb === undefined ? undefined : describeTree(dtb, 'topology.dtb');
    const table = viot === undefined ? undefined : describeViot(viot, 'viot.aml');
    for (const { location, endpointId, viommu } of model.endpoints) {
      if (location.kind !== 'platform' || viommu === undefined) continue;
      const device = tree?.devices.find(({ base }) => base === location.base);
      if (tree !== undefined) expect(device?.iommus[0]?.ids).toEqual([endpointId]);
      const node = table?.nodes.find(
        (it) => it.type === 'mmio-endpoint' && it.base === location.base,
      );
      if (table !== undefined) expect(node).toMatchObject({ endpoint: endpointId });
    }
  });

  test('the same model gives the same bytes', () => {
    expect([...buildFirmware(shippedModel(name)).files]).toEqual([...firmware.files]);
  });
});
