import { CST, Lexer } from 'yaml';
import type { Diagnostic } from '../diagnostic.ts';
import { finding } from '../input-rule.ts';
import { YAML_FEATURE, YAML_TOO_BIG } from './problems.ts';
import type { SourceText } from './text.ts';

/** The composer of `yaml` recurses once or twice for each level: keep far from the stack's end. */
export const DEPTH_MAX = 64;
/** Block collections nest by at most two levels for each column. */
const COLUMN_MAX = 2 * DEPTH_MAX;
/** About 20,000 endpoints, a second of work; `[[],[],[]…` would have more in 1 MiB. */
const TOKENS_MAX = 400_000;

/** Tokens of the lexer that stand for no text; the text itself has no control characters. */
const MARKS: ReadonlySet<string> = new Set([CST.DOCUMENT, CST.FLOW_END, CST.SCALAR]);

/**
 * Looks over the tokens, without recursion and in one pass, for what must not reach the parser:
 * nesting that would exhaust the stack, token floods, and directives (`%YAML 1.1` changes what
 * numbers mean).
 */
export function scan(source: SourceText): Diagnostic | undefined {
  let offset = 0;
  let lineStart = 0;
  let flow = 0;
  let tokens = 0;
  for (const token of new Lexer().lex(source.text)) {
    const type = CST.tokenType(token);
    const here = source.place.bind(source, offset, offset + token.length);
    if (++tokens > TOKENS_MAX) {
      return finding(YAML_TOO_BIG, here(), `more than ${TOKENS_MAX} YAML tokens`);
    }
    if (type === 'flow-map-start' || type === 'flow-seq-start') flow++;
    if (type === 'flow-map-end' || type === 'flow-seq-end') flow = Math.max(0, flow - 1);
    const indicator =
      type === 'seq-item-ind' || type === 'map-value-ind' || type === 'explicit-key-ind';
    if (flow > DEPTH_MAX || (flow === 0 && indicator && offset - lineStart > COLUMN_MAX)) {
      return finding(YAML_TOO_BIG, here(), `nested more than ${DEPTH_MAX} levels deep`);
    }
    if (type === 'directive-line') {
      return finding(YAML_FEATURE, here(), 'YAML directives are not supported', {
        cure: 'remove the line: topologies are YAML 1.2',
      });
    }
    if (MARKS.has(token)) continue;
    offset += token.length;
    const newline = token.lastIndexOf('\n');
    if (newline !== -1) lineStart = offset - token.length + newline + 1;
  }
  return undefined;
}
