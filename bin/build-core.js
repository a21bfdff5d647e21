// Builds the emulator's core, src/emulator/core/*.ts (AssemblyScript), to build/emulator/core.wasm,
// unless that is newer than all its sources.
//   node bin/build-core.js [COPY [TEXT]]    COPY: copies it there, TEXT: writes its text format
import { cpSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import asc from 'assemblyscript/asc';

const root = fileURLToPath(new URL('../', import.meta.url));
const sources = join(root, 'src/emulator/core');
const transform = join(root, 'bin/asc-inline.js');

function newest(files) {
  return Math.max(...files.map((file) => statSync(file).mtimeMs));
}

/** Makes `out` as `build` in package.json does; answers its path. */
export async function buildCore(out = join(root, 'build/emulator/core.wasm'), text) {
  const inputs = readdirSync(sources).map((name) => join(sources, name));
  inputs.push(transform, fileURLToPath(import.meta.url));
  const built = statSync(out, { throwIfNoEntry: false });
  if (text === undefined && built && built.mtimeMs > newest(inputs)) return out;
  mkdirSync(dirname(out), { recursive: true });
  // Whole or not at all: others may build at the same time.
  const draft = `${out}.${process.pid}`;
  const argv = [
    join(sources, 'index.ts'),
    `--outFile=${draft}`,
    `--transform=${transform}`,
    '--runtime=stub',
    '--importMemory',
    '--noExportMemory',
    '--initialMemory=16',
    '--use=abort=',
    '--optimizeLevel=3',
    '--shrinkLevel=0',
    '--noAssert',
  ];
  if (text !== undefined) argv.push(`--textFile=${text}`);
  const { error, stderr } = await asc.main(argv, {});
  const details = /** @type {{ toString(): string }} */ (stderr).toString();
  if (error) {
    rmSync(draft, { force: true });
    throw new Error(`asc: ${error.message}\n${details}`);
  }
  renameSync(draft, out);
  return out;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [copy, text] = process.argv.slice(2);
  const built = await buildCore(undefined, text);
  if (copy !== undefined) cpSync(built, copy);
}
