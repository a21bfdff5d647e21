import { fileURLToPath } from 'node:url';

import { coreModule, type WasmModule } from '../../src/emulator/index.ts';

/** The core, built when its sources are newer; as the room itself loads it afterwards. */
export async function builtCore(): Promise<WasmModule> {
  const script = new URL('../../bin/build-core.js', import.meta.url);
  const { buildCore } = (await import(fileURLToPath(script))) as {
    buildCore: () => Promise<string>;
  };
  await buildCore();
  return coreModule();
}
