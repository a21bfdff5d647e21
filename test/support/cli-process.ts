import { main } from '../../src/cli/main.ts';

// The command line from the sources, as a process: `jiti test/support/cli-process.ts check …`.
process.exitCode = await main(process.argv.slice(2));
