// Binds what is built in dist/ into a few files, dist/bundle/, with the packages it uses: loading a
// thousand small files takes Node half a second, a quarter of what a boot takes.
//   node bin/bundle.js
// dist/ stays the library it is; only the places below become doors to the bundle.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

import { rolldown } from 'rolldown';

const root = fileURLToPath(new URL('../', import.meta.url));
const dist = join(root, 'dist');
const out = join(dist, 'bundle');

/** What is started: the program, and what its threads begin with. By the names in the bundle. */
const DOORS = {
  main: { file: 'cli/main.js', door: "export { main } from 'BUNDLE';\n" },
  'boot-worker': {
    file: 'cli/commands/boot/worker.js',
    door: "export { default } from 'BUNDLE';\n",
  },
};

/** Packages that only some commands load, that bring files which are no JavaScript, or no licence text. */
const OUTSIDE =
  /^(?:node:|koffi|@hpcc-js\/|@inquirer\/|@bomb\.sh\/|fast-xml-parser|tinypool|jiti)/u;

/** The package that a module is of, and where it lies. */
function packageOf(id) {
  const match = /^(.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?([^\\/]+))[\\/]/u.exec(id);
  return match?.[1];
}

const packages = new Set();
const bundle = await rolldown({
  input: Object.fromEntries(
    Object.entries(DOORS).map(([name, { file }]) => [name, join(dist, file)]),
  ),
  platform: 'node',
  external: (id) => OUTSIDE.test(id),
  plugins: [
    {
      name: 'places',
      // Files are named by where the module lies that reads them; it moves, and they do not.
      transform(code, id) {
        const home = packageOf(id);
        const places = code.includes('import.meta.');
        if (home !== undefined) packages.add(home);
        if (home !== undefined && places) throw new Error(`${id} looks for files beside it`);
        if (home !== undefined || !places) return undefined;
        const place = relative(out, id).split(sep).join('/');
        return code.replaceAll(
          'import.meta.url',
          `new URL(${JSON.stringify(place)}, import.meta.url).href`,
        );
      },
    },
  ],
});
await bundle.write({
  dir: out,
  format: 'esm',
  comments: { legal: true, annotation: true, jsdoc: false },
  entryFileNames: '[name].js',
  chunkFileNames: '[name]-[hash].js',
});
for (const [name, { file, door }] of Object.entries(DOORS)) {
  const place = relative(dirname(join(dist, file)), join(out, `${name}.js`));
  writeFileSync(join(dist, file), door.replace('BUNDLE', place.split(sep).join('/')));
}

/** Their licences ask for being told wherever their code goes. */
const licences = [...packages]
  .toSorted((a, b) => a.localeCompare(b))
  .map((home) => {
    const { name, version, license } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'));
    const file = readdirSync(home).find((one) => /^licen[cs]e/iu.test(one));
    if (file === undefined) throw new Error(`${name} comes without the text of its licence`);
    return `${name} ${version}, ${license}\n\n${readFileSync(join(home, file), 'utf8').trim()}\n`;
  });
writeFileSync(join(out, 'LICENSES.txt'), licences.join(`\n${'-'.repeat(80)}\n\n`));
