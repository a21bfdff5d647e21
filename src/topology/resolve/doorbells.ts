import { GITS_TRANSLATER_PAGE, GITS_TRANSLATER_PAGE_SIZE } from '../../spec/gic.ts';
import type { Board, Doorbell, Gic } from '../model.ts';
import type { DoorbellInput } from '../schema/machine.ts';
import type { Context } from './context.ts';
import { BOARD_LACKS } from './problems.ts';
import { GIC_SPI_FIRST } from '../../spec/gicv2.ts';

const BASES = { its: 0x808_0000n, gicv2m: 0x802_0000n, x86: 0xfee0_0000n } as const;
const V2M_SIZE = 0x1000n;
const X86_SIZE = 0x10_0000n;

export function resolveDoorbells(context: Context, board: Board, gic: Gic | undefined): Doorbell[] {
  return (context.input.doorbells ?? []).flatMap((input, index) => {
    if (!context.define('doorbell', input.id, context.idPlace('doorbells', index))) return [];
    const lack = lacks(input.kind, board, gic);
    if (lack !== undefined) {
      const place = context.place('doorbells', index, 'kind');
      context.report(BOARD_LACKS, place, `${lack}, so it cannot have the doorbell "${input.id}"`);
      context.partial = true;
      return [];
    }
    return [doorbell(context, input, index)];
  });
}

function lacks(kind: DoorbellInput['kind'], board: Board, gic?: Gic): string | undefined {
  if ((kind === 'x86') !== (board === 'q35')) {
    return `${board} has no ${kind === 'x86' ? 'x86 interrupt window' : 'GIC'}`;
  }
  if (kind === 'its' && gic?.version === 2) return 'a GICv2 has no ITS';
  return undefined;
}

function doorbell(context: Context, input: DoorbellInput, index: number): Doorbell {
  const base = input.base ?? BASES[input.kind];
  const place = context.place('doorbells', index);
  const common = { id: input.id, kind: input.kind, delivery: input.delivery ?? 'reserved', place };
  if (input.kind === 'its') {
    const page = base + GITS_TRANSLATER_PAGE;
    const end = page + GITS_TRANSLATER_PAGE_SIZE - 1n;
    return { ...common, frame: { start: base, end }, window: { start: page, end } };
  }
  const size = input.kind === 'x86' ? X86_SIZE : V2M_SIZE;
  const frame = { start: base, end: base + size - 1n };
  if (input.kind === 'x86') return { ...common, frame, window: frame };
  const ids = input.spis ?? { start: 80, end: 143 };
  if (ids.start < GIC_SPI_FIRST) {
    const spis = context.place('doorbells', index, 'spis');
    context.report(BOARD_LACKS, spis, `interrupt ID ${ids.start} is no SPI: they begin at 32`);
  }
  const spis = { base: Math.max(0, ids.start - GIC_SPI_FIRST), count: ids.end - ids.start + 1 };
  return { ...common, frame, window: frame, spis };
}
