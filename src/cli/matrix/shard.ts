import { InvalidArgumentError } from 'commander';

/** One of `of` equal parts, counted from 1. */
export interface Shard {
  readonly index: number;
  readonly of: number;
}

/** `2/5`. */
export function shard(text: string): Shard {
  const [, index, of] = /^(\d{1,4})\/(\d{1,4})$/u.exec(text)?.map(Number) ?? [];
  if (index !== undefined && of !== undefined && index >= 1 && index <= of) return { index, of };
  throw new InvalidArgumentError('A part is wanted, such as 2/5: the second of five.');
}

/** Every `of`-th item: neighbours, which take about as long, go to different shards. */
export function inShard<T>(items: readonly T[], part: Shard | undefined): readonly T[] {
  if (part === undefined) return items;
  return items.filter((_, at) => at % part.of === part.index - 1);
}
