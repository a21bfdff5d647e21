import { ByteSink } from '../bytes/index.ts';

/**
 * How property names share the strings block: `suffix` also lets a name be the tail of a longer
 * one, as dtc does; `whole` stores each name once, as rust-vmm does; `none` once per property.
 */
export type StringSharing = 'suffix' | 'whole' | 'none';

/** A strings block and where each name is in it; `none` hands out a new copy for every call. */
export interface StringsBlock {
  /** `nameoff` for the next use of this name. Call it once per property, in order. */
  offsetOf(name: string): number;
  bytes(): Uint8Array;
}

/** Lays out the names (in order of first use) of a strings block. */
export function stringsBlock(names: Iterable<string>, sharing: StringSharing): StringsBlock {
  const sink = new ByteSink('be', 1024);
  const append = (name: string): number => {
    const at = sink.length;
    sink.latin1(name).u8(0);
    return at;
  };
  if (sharing === 'none') return { offsetOf: append, bytes: () => sink.bytes() };

  const hosts = sharing === 'suffix' ? suffixHosts(names) : new Map<string, string>();
  const offsets = new Map<string, number>();
  const place = (name: string): number => {
    let at = offsets.get(name);
    if (at === undefined) {
      const host = hosts.get(name);
      at = host === undefined ? append(name) : place(host) + host.length - name.length;
      offsets.set(name, at);
    }
    return at;
  };
  return { offsetOf: place, bytes: () => sink.bytes() };
}

/** For each name that is the tail of another, a longest such other. */
function suffixHosts(names: Iterable<string>): Map<string, string> {
  // Read backwards, a tail is a prefix, and in sorted order a prefix stands right before the
  // names that begin with it: one look at the next neighbour decides.
  const backwards = Array.from(new Set(names), (name) => Array.from(name).toReversed().join(''));
  backwards.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const forward = backwards.map((name) => Array.from(name).toReversed().join(''));
  const hosts = new Map<string, string>();
  for (let index = backwards.length - 2; index >= 0; index--) {
    const [name, next] = [forward[index] ?? '', forward[index + 1] ?? ''];
    if (next.endsWith(name)) hosts.set(name, hosts.get(next) ?? next);
  }
  return hosts;
}
