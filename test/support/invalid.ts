import { readFileSync } from 'node:fs';

/** What the first comment lines of a bad topology promise about its diagnostics. */
export interface Header {
  readonly rule: string;
  readonly severity: string;
  readonly line: number;
  readonly column: number;
  /** Other rules that the same mistake sets off. */
  readonly also: readonly string[];
  /** The sentence that says what is wrong. */
  readonly text: string;
}

/** Reads the header of `topologies/invalid/<rule>.yaml`. */
export function readHeader(file: string): Header {
  const lines = readFileSync(file, 'utf8').split('\n');
  const [, rule = '', severity = '', line = '', column = ''] =
    /^# ([\w-]+): (error|warning) at (\d+):(\d+)$/.exec(lines[0] ?? '') ?? [];
  const also = /^# also: (.*)$/.exec(lines[1] ?? '')?.[1]?.split(', ') ?? [];
  const text = (lines[also.length === 0 ? 1 : 2] ?? '').replace(/^# /, '');
  return { rule, severity, line: Number(line), column: Number(column), also, text };
}
