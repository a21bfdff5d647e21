import { availableParallelism, totalmem } from 'node:os';
import { coreModule } from '../../emulator/index.ts';
import type { Finding } from './finding.ts';

/** A guest of 512 MiB, Node itself, and room for one of them to grow. */
const MEMORY_MIB = 1024;

/** Node itself, the machine, and our own CPU, which has to be compiled to be believed. */
export async function findNode(): Promise<Finding[]> {
  const mib = Math.floor(totalmem() / 2 ** 20);
  const use = 'runs everything';
  return [
    { subject: 'Node', state: 'ok', seen: `${process.version} (${process.arch})`, use },
    {
      subject: 'memory',
      state: mib < MEMORY_MIB ? 'bad' : 'ok',
      seen: `${mib} MiB, ${availableParallelism()} cores`,
      use: 'guests have 512 MiB unless their topology says otherwise',
      ...(mib < MEMORY_MIB
        ? { cure: 'boot smaller guests: machine.memory', needed: ['emulator'] }
        : {}),
    },
    await findCore(),
  ];
}

async function findCore(): Promise<Finding> {
  const subject = 'emulator';
  const use = 'a stock arm64 Linux inside Node';
  try {
    await coreModule();
    return { subject, state: 'ok', seen: 'its WebAssembly compiles', use, needed: ['emulator'] };
  } catch (error) {
    const seen = error instanceof Error ? error.message : String(error);
    const cure = 'from a clone: npm run build; installed: install the package again';
    return { subject, state: 'bad', seen, use, cure, needed: ['emulator'] };
  }
}
