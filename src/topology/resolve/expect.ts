import type { EndpointExpectation, Expectations } from '../model.ts';
import type { Context } from './context.ts';
import { BAD_PATTERN } from './problems.ts';

export function resolveExpectations(context: Context): Expectations {
  const input = context.input.expect;
  // No prototype: `constructor` is a name like any other.
  const endpoints = Object.create(null) as Record<string, EndpointExpectation>;
  for (const [id, expected] of Object.entries(input?.endpoints ?? {})) {
    const key = context.keyPlace('expect', 'endpoints', id);
    if (context.lookUp(['endpoint'], id, key) === undefined) continue;
    const { translated, works, 'group-type': groupType } = expected;
    endpoints[id] = {
      ...(translated === undefined ? {} : { translated }),
      ...(groupType === undefined ? {} : { groupType }),
      ...(works === undefined ? {} : { works }),
      place: context.place('expect', 'endpoints', id),
    };
  }
  const log = {
    present: patterns(context, 'present', input?.log?.present ?? []),
    absent: patterns(context, 'absent', input?.log?.absent ?? []),
  };
  return { endpoints, log, ...(input === undefined ? {} : { place: context.place('expect') }) };
}

function patterns(context: Context, key: 'present' | 'absent', list: readonly string[]): string[] {
  return list.filter((pattern, index) => {
    try {
      RegExp(pattern);
      return true;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      context.report(BAD_PATTERN, context.place('expect', 'log', key, index), reason);
      return false;
    }
  });
}
