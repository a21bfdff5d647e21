// Runs every check in order, prints what ran and how it ended, and fails if anything did.
//   node test/run.js [STEP...]     the steps named, or all
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const scratch = mkdtempSync(join(tmpdir(), 'viommu-topo-test-'));

/** Steps in order: name, argv. A step of vitest also reports its counts. */
const steps = [
  ['build', ['npm', 'run', '--silent', 'build']],
  ['typecheck', ['npm', 'run', '--silent', 'typecheck']],
  ['lint', ['npm', 'run', '--silent', 'lint']],
  ['format', ['npm', 'run', '--silent', 'format:check']],
  ['unused', ['npx', 'knip']],
  ['shell', ['sh', 'test/shellcheck.sh']],
  ['publint', ['npx', 'publint', '--strict']],
  vitest('unit'),
  ['coverage', ['npm', 'run', '--silent', 'coverage']],
  vitest('oracle'),
  vitest('browser'),
  vitest('e2e'),
];

function vitest(project) {
  const json = join(scratch, `${project}.json`);
  const argv = ['npx', 'vitest', 'run', '--project', project, '--reporter=default'];
  return [project, [...argv, '--reporter=json', `--outputFile.json=${json}`], json];
}

function run(argv) {
  return new Promise((done) => {
    const child = spawn(argv[0], argv.slice(1), { stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('error', (error) => {
      console.error(error.message);
      done(127);
    });
    child.on('exit', (code, signal) => done(signal ? 128 : code));
  });
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !steps.some(([step]) => step === name));
if (unknown.length > 0) {
  console.error(`no such step: ${unknown.join(', ')}; steps: ${steps.map(([s]) => s).join(', ')}`);
  process.exit(2);
}

let passed = 0;
let failed = 0;
let skipped = 0;
const table = [];
for (const [name, argv, json] of steps) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  console.log(`\n== ${name}: ${argv.slice(0, 5).join(' ')}`);
  const started = Date.now();
  const code = await run(argv);
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  let counts = '';
  if (json) {
    try {
      const result = JSON.parse(readFileSync(json, 'utf8'));
      passed += result.numPassedTests;
      failed += result.numFailedTests;
      skipped += result.numPendingTests + result.numTodoTests;
      counts = `${result.numPassedTests} passed, ${result.numFailedTests} failed`;
      // A suite that fails to load has no failed test, and still is a failure.
      if (code !== 0 && result.numFailedTests === 0) failed += 1;
    } catch {
      failed += 1;
      counts = 'no result';
    }
  } else if (code === 0) passed += 1;
  else failed += 1;
  table.push([name, code === 0 ? 'ok' : `FAILED (exit ${code})`, `${seconds} s`, counts]);
}
rmSync(scratch, { recursive: true, force: true });

console.log('\n== summary');
for (const [name, state, time, counts] of table) {
  console.log(`${name.padEnd(10)} ${state.padEnd(16)} ${time.padStart(8)}  ${counts}`);
}
console.log(`\n${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = failed === 0 ? 0 : 1;
