import { hex, showRange } from '../../bytes/index.ts';
import type { RidMap, RidMapRow } from '../description.ts';
import { atLeast } from '../diagnostic.ts';
import type { Facts } from '../facts.ts';
import { badLength, rowRids, showRef } from '../rules/support/rid-map.ts';
import { linux } from '../rules/support/text.ts';
import type { StepPart, Trail } from './types.ts';

/** Rows that do not match and are told one by one; a large tree has a quarter of a million. */
const ROWS_TOLD = 12;

/** What `of_map_id` answers. */
export type IdMapAnswer =
  | { readonly row: RidMapRow; readonly index: number; readonly id: number }
  /** `broken`: the map as a whole is refused, or the row leads nowhere. */
  | { readonly why: string; readonly broken: boolean };

/** A map, and the words to tell of it with. */
export interface IdMapQuestion {
  readonly part: StepPart;
  readonly name: 'iommu-map' | 'msi-map';
  readonly path: string;
  readonly map: RidMap;
  readonly mask?: { readonly value: number };
  readonly rid: number;
}

/** Walks `iommu-map` or `msi-map` as Linux does (drivers/of/base.c, of_map_id). */
export function walkIdMap(trail: Trail, facts: Facts, question: IdMapQuestion): IdMapAnswer {
  const { part, name, path, map, rid } = question;
  if (badLength(map)) {
    const rows = map.rows.length === 0 ? 'no row' : `${map.leftover} cell(s) beside whole rows`;
    const why = `${name} of ${path} has ${map.bytes} bytes: ${rows}. A row has 16`;
    trail.say(
      part,
      'stop',
      `${why}. Linux refuses all of it: "Error: Bad ${name} length: ${map.bytes}"`,
      map.place,
    );
    return { why, broken: true };
  }
  trail.say(
    part,
    'ok',
    `${path} has ${name}: ${map.bytes} bytes, ${map.rows.length} row(s) of (requester ID, phandle, output ID, length)`,
    map.place,
  );
  const lookedUp = maskedId(trail, question);
  const mask = question.mask?.value ?? 0xffff_ffff;
  const strict = atLeast(facts.kernel, 7, 0);
  let told = 0;
  for (const [index, row] of map.rows.entries()) {
    const shown = `row ${index} ${showCells(row)}`;
    if ((row.ridBase & ~mask) !== 0) {
      const why = `${shown}: its first cell has bits outside the mask ${hex(mask)}, which ends the search`;
      trail.say(part, 'stop', `${why}: "Invalid ${name} translation"`, row.place);
      return { why, broken: true };
    }
    const dangling = !('key' in row.target);
    const rids = rowRids(row);
    const has = rids !== undefined && rids.start <= lookedUp && lookedUp <= rids.end;
    if (dangling && (has || strict)) {
      const early = has
        ? ''
        : ` (Linux from 7.0 on looks at the phandle of every row before the one that matches; here: ${linux(facts)})`;
      const why = `${shown} names ${showRef(row.target)}, which no node has${early}`;
      trail.say(part, 'stop', why, row.place);
      return { why, broken: true };
    }
    if (has) {
      passedOver(trail, part, index - told);
      const id = (row.outputBase + (lookedUp - row.ridBase)) >>> 0;
      const sum = `${hex(row.outputBase)} + (${hex(lookedUp)} - ${hex(row.ridBase)}) = ${hex(id)}`;
      trail.say(
        part,
        'ok',
        `${shown} has ${hex(lookedUp)} (it has ${showRange(rids)}), and the first row that has it counts: output ID ${sum}`,
        row.place,
      );
      otherRows(trail, question, index, lookedUp, id);
      return { row, index, id };
    }
    if (told < ROWS_TOLD) {
      const covers = rids === undefined ? 'no ID at all' : showRange(rids);
      trail.say(part, 'no', `${shown} has ${covers}, not ${hex(lookedUp)}`, row.place);
      told++;
    }
  }
  passedOver(trail, part, map.rows.length - told);
  const why = `no row of ${name} of ${path} has ${hex(lookedUp)}`;
  trail.say(part, 'stop', `${why}: "no ${name} translation for id ${hex(rid)}"`, map.place);
  return { why, broken: false };
}

function maskedId(trail: Trail, { part, name, rid, mask }: IdMapQuestion): number {
  if (mask === undefined) return rid;
  const lookedUp = (rid & mask.value) >>> 0;
  const text = `${name}-mask is ${hex(mask.value)}: looked up is ${hex(rid)} & ${hex(mask.value)} = ${hex(lookedUp)}`;
  trail.say(part, 'note', text);
  return lookedUp;
}

function passedOver(trail: Trail, part: StepPart, rows: number): void {
  if (rows > 0) trail.say(part, 'no', `${rows} more row(s) without it`);
}

/** A later row that has the ID as well, and says something else. */
function otherRows(
  trail: Trail,
  { part, map }: IdMapQuestion,
  index: number,
  lookedUp: number,
  id: number,
): void {
  for (const [offset, row] of map.rows.slice(index + 1, index + 1 + 0x1_0000).entries()) {
    const rids = rowRids(row);
    if (rids === undefined || lookedUp < rids.start || rids.end < lookedUp) continue;
    const other = (row.outputBase + (lookedUp - row.ridBase)) >>> 0;
    const says = `${showRef(row.target)}, ${hex(other)}`;
    const same = other === id ? 'the same ID' : 'another ID';
    trail.say(
      part,
      'note',
      `row ${index + 1 + offset} ${showCells(row)} has it, too (${says}: ${same}), and is never looked at`,
      row.place,
    );
    return;
  }
}

/** `<0x0 /pcie@…/iommu@1,0 0x0 0x8>`. */
export function showCells(row: RidMapRow): string {
  return `<${hex(row.ridBase)} ${showRef(row.target)} ${hex(row.outputBase)} ${hex(row.length)}>`;
}
