import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const FOLDER = fileURLToPath(new URL('../../../templates/report', import.meta.url));

/** In the order in which they use each other. */
const SCRIPTS = ['data', 'view', 'lanes', 'timeline', 'space', 'console', 'main'] as const;

export interface Assets {
  readonly style: string;
  readonly script: string;
}

/** The style sheet and the script of the report. */
export function reportAssets(): Assets {
  const read = (name: string): string => readFileSync(`${FOLDER}/${name}`, 'utf8');
  const scripts = SCRIPTS.map((name) => read(`${name}.js`));
  return {
    style: read('report.css'),
    script: `'use strict';\n(() => {\n${scripts.join('\n')}\n})();\n`,
  };
}

/**
 * What the page may do, for the browser to enforce: its own style and script, nothing else. Text of
 * a guest that got into the page as markup could still run nothing and reach nobody.
 */
export function contentPolicy(style: string, script: string): string {
  const source = (text: string): string =>
    `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
  return [
    "default-src 'none'",
    `style-src ${source(style)}`,
    ...(script === '' ? [] : [`script-src ${source(script)}`]),
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
}
