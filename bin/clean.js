// Removes build output. A file of its own because `rm -rf` in a package script is not portable.
import { rmSync } from 'node:fs';

for (const dir of process.argv.slice(2)) rmSync(dir, { recursive: true, force: true });
