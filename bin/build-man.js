// Writes the manual page from what the built program says of itself.
//   node bin/build-man.js FILE
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { manPage } from '../dist/cli/man.js';
import { createProgram } from '../dist/cli/program.js';

const [file] = process.argv.slice(2);
if (file === undefined) throw new Error('usage: node bin/build-man.js FILE');
const io = { out: () => undefined, err: () => undefined };
// The date of the latest release, so that two builds of one version are the same.
const date = /^## \[[^\]]+\] - (\d{4}-\d{2}-\d{2})$/mu.exec(
  readFileSync('CHANGELOG.md', 'utf8'),
)?.[1];
mkdirSync(dirname(file), { recursive: true });
writeFileSync(file, manPage(await createProgram(io, () => undefined), date ?? ''));
