import { execFileSync } from 'node:child_process';

/** Some tests run what is built. It is built once and before all: they run side by side. */
export default function setup(): void {
  execFileSync('npm', ['run', '--silent', 'build'], { stdio: ['ignore', 'ignore', 'inherit'] });
}
