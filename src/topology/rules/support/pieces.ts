import type { Range } from '../../../bytes/index.ts';
import type { Place } from '../../diagnostic.ts';
import type { Run } from './rid-map.ts';

/** What one side says about a run of requester IDs. */
export interface Answer {
  readonly iommu: string;
  /** Endpoint ID of the first requester ID. */
  readonly id: number;
  readonly place: Place;
}

/** Requester IDs for which two sides say different things; absent: that side translates none. */
export interface Piece {
  readonly rids: Range<number>;
  readonly wanted?: Answer;
  readonly got?: Answer;
}

/**
 * The runs of requester IDs for which two ascending, disjoint lists disagree; one linear walk.
 * What is broken on either side is left out: it has a rule of its own.
 */
export function* pieces(wanted: readonly Run[], got: readonly Run[]): Generator<Piece> {
  let w = 0;
  let g = 0;
  let at = 0;
  for (;;) {
    const row = wanted[w];
    const run = got[g];
    if (row === undefined && run === undefined) return;
    if (row !== undefined && row.rids.end < at) {
      w++;
      continue;
    }
    if (run !== undefined && run.rids.end < at) {
      g++;
      continue;
    }
    const rowStart = Math.max(at, row?.rids.start ?? Infinity);
    const runStart = Math.max(at, run?.rids.start ?? Infinity);
    at = Math.min(rowStart, runStart);
    const inRow = row !== undefined && rowStart === at ? row : undefined;
    const inRun = run !== undefined && runStart === at ? run : undefined;
    const end = Math.min(inRow?.rids.end ?? rowStart - 1, inRun?.rids.end ?? runStart - 1);
    const piece = disagree(inRow, inRun, { start: at, end });
    if (piece !== undefined) yield piece;
    at = end + 1;
  }
}

function disagree(
  row: Run | undefined,
  run: Run | undefined,
  rids: Range<number>,
): Piece | undefined {
  if (row?.broken !== undefined || run?.broken !== undefined) return undefined;
  const wanted = answerAt(row, rids.start);
  const got = answerAt(run, rids.start);
  if (wanted?.iommu === got?.iommu && wanted?.id === got?.id) return undefined;
  return { rids, ...(wanted && { wanted }), ...(got && { got }) };
}

function answerAt(run: Run | undefined, rid: number): Answer | undefined {
  if (run?.to === undefined) return undefined;
  const { iommu, id } = run.to;
  return { iommu, id: id + (rid - run.rids.start), place: run.place };
}
