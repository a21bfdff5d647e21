import { main } from '../../src/cli/main.ts';

// The command line tool from sources, as a process that a test can stop and kill.
process.exitCode = await main(process.argv.slice(2));
