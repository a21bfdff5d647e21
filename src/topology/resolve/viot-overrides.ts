import type { ViotNodeOverride, ViotOutput, ViotOverrides } from '../model.ts';
import type { OverridesInput, ViotNodeInput } from '../schema/firmware.ts';
import type { Context } from './context.ts';
import { OVERRIDE_SCOPE } from './problems.ts';

const AT = ['firmware', 'overrides', 'viot'] as const;

export function resolveViotOverrides(
  context: Context,
  input: NonNullable<OverridesInput['viot']>,
): ViotOverrides {
  const nodes = input.nodes?.map((node, index) => viotNode(context, node, index));
  const { 'node-count': nodeCount, 'node-offset': nodeOffset } = input;
  return {
    ...(nodeCount === undefined ? {} : { nodeCount }),
    ...(nodeOffset === undefined ? {} : { nodeOffset }),
    ...(nodes === undefined ? {} : { nodes }),
    places: context.places(...AT),
  };
}

function viotNode(context: Context, input: ViotNodeInput, index: number): ViotNodeOverride {
  const place = context.place(...AT, 'nodes', index);
  const common = { place, ...(input.length === undefined ? {} : { length: input.length }) };
  switch (input.type) {
    case 'pci-range': {
      const { start, end } = input.rids;
      return {
        ...common,
        type: 'pci-range',
        endpointStart: input['endpoint-start'],
        segments: input.segments ?? {
          start: input.rids.segment ?? 0,
          end: input.rids.segment ?? 0,
        },
        rids: { start, end },
        output: outputOf(context, input, index),
      };
    }
    case 'mmio-endpoint': {
      const { endpoint, base } = input;
      return {
        ...common,
        type: input.type,
        endpoint,
        base,
        output: outputOf(context, input, index),
      };
    }
    case 'pci-iommu':
      return { ...common, type: input.type, segment: input.at.segment ?? 0, rid: input.at.rid };
    case 'mmio-iommu':
      return { ...common, type: input.type, base: input.base };
    case 'unknown':
      return { ...common, type: input.type, number: input.number };
  }
}

function outputOf(
  context: Context,
  input: { readonly output?: number | undefined; readonly 'output-offset'?: number | undefined },
  index: number,
): ViotOutput {
  const { output: node, 'output-offset': offset } = input;
  if ((node === undefined) === (offset === undefined)) {
    const message = 'a range or endpoint states one of `output` and `output-offset`';
    context.partial = true;
    context.report(OVERRIDE_SCOPE, context.place(...AT, 'nodes', index), message);
  }
  const count = context.input.firmware?.overrides?.viot?.nodes?.length ?? 0;
  if (node !== undefined && node >= count) {
    const place = context.place(...AT, 'nodes', index, 'output');
    context.partial = true;
    context.report(OVERRIDE_SCOPE, place, `there is no node ${node}: they are 0-${count - 1}`);
  }
  return offset === undefined ? { node: node ?? 0 } : { offset };
}
