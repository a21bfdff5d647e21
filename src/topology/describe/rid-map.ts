import type { Place } from '../diagnostic.ts';
import type { NodeRef, RidMap, RidMapRow } from '../description.ts';
import type { HostOverrides, Model, PciHost, RawCell } from '../model.ts';
import { deviceIdBase } from './keys.ts';

const ROW_CELLS = 4;

/** Requester IDs of a host, both ends included. */
export function ridsOf(host: PciHost): { start: number; end: number } {
  return { start: host.buses.start << 8, end: (host.buses.end << 8) | 0xff };
}

/** `iommu-map` from the coverage: split around vIOMMUs and whatever bypasses. */
export function iommuMap(model: Model, host: PciHost): RidMap | undefined {
  const overrides = model.firmware.overrides?.hosts[host.id];
  if (overrides?.iommuMap !== undefined) {
    return overriddenMap(overrides, 'iommu-map', overrides.iommuMap, host);
  }
  const rows = model.coverage
    .filter((row) => row.host === host.id)
    .map((row): RidMapRow => ({
      ridBase: row.rids.start,
      target: { key: row.viommu },
      outputBase: row.endpointId,
      length: row.rids.end - row.rids.start + 1,
      place: row.place,
    }));
  return rows.length === 0 ? undefined : mapOf(rows, host.place);
}

/** `msi-map`: requester ID to DeviceID of the ITS. */
export function msiMap(model: Model, host: PciHost): RidMap | undefined {
  const overrides = model.firmware.overrides?.hosts[host.id];
  if (overrides?.msiMap === 'none') return undefined;
  if (overrides?.msiMap !== undefined) {
    return overriddenMap(overrides, 'msi-map', overrides.msiMap, host);
  }
  const doorbell = model.doorbells.find((d) => d.id === host.doorbell);
  if (doorbell?.kind !== 'its') return undefined;
  const { start, end } = ridsOf(host);
  const row: RidMapRow = {
    ridBase: start,
    target: { key: doorbell.id },
    outputBase: deviceIdBase(model, host) + start,
    length: end - start + 1,
    place: host.place,
  };
  return mapOf([row], host.place);
}

/** `msi-parent`: GICv2m has no DeviceID, so there is nothing to map. */
export function msiParent(
  model: Model,
  host: PciHost,
): { target: NodeRef; place: Place } | undefined {
  const overrides = model.firmware.overrides?.hosts[host.id];
  if (overrides?.msiParent === 'none') return undefined;
  if (overrides?.msiParent !== undefined) {
    const place = overrides.places['msi-parent'] ?? host.place;
    return { target: { key: overrides.msiParent }, place };
  }
  const doorbell = model.doorbells.find((d) => d.id === host.doorbell);
  if (doorbell?.kind !== 'gicv2m') return undefined;
  return { target: { key: doorbell.id }, place: host.place };
}

function mapOf(rows: readonly RidMapRow[], place: Place): RidMap {
  return { rows, leftover: 0, bytes: rows.length * ROW_CELLS * 4, place };
}

function overriddenMap(
  { places }: HostOverrides,
  key: 'iommu-map' | 'msi-map',
  rows: readonly (readonly RawCell[])[],
  host: PciHost,
): RidMap {
  const place = places[key] ?? host.place;
  return rawMap(rows, place, (index) => places[`${key}/${index}`] ?? place);
}

/**
 * Rows as a kernel cuts them out of the cells, whatever rows the user saw in them.
 *
 * A name where a number is read stands for a phandle that is not given out yet: 0 takes its place.
 * A row is where its first cell is written.
 */
export function rawMap(
  rows: readonly (readonly RawCell[])[],
  place: Place,
  placeOf: (row: number) => Place = () => place,
): RidMap {
  const cells = rows.flat();
  const writtenIn = rows.flatMap((row, index) => row.map(() => index));
  const whole = Math.floor(cells.length / ROW_CELLS);
  const result = Array.from({ length: whole }, (_, index): RidMapRow => {
    const [ridBase, target, outputBase, length] = cells.slice(index * ROW_CELLS);
    return {
      ridBase: numberOf(ridBase),
      target: refOf(target),
      outputBase: numberOf(outputBase),
      length: numberOf(length),
      place: placeOf(writtenIn[index * ROW_CELLS] ?? 0),
    };
  });
  return { rows: result, leftover: cells.length % ROW_CELLS, bytes: cells.length * 4, place };
}

export function refOf(cell: RawCell | undefined): NodeRef {
  return typeof cell === 'string' ? { key: cell } : { phandle: cell ?? 0 };
}

export function numberOf(cell: RawCell | undefined): number {
  return typeof cell === 'number' ? cell : 0;
}
