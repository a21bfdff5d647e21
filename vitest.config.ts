import { fileURLToPath } from 'node:url';
import { defineConfig, type ViteUserConfig } from 'vitest/config';

// `unit` needs nothing but Node; `e2e` and `oracle` call foreign programs (dtc, iasl, QEMU) and real
// guests: two files at a time, since a boot under TCG takes a whole core. `browser` needs a real
// chromium, one file at a time.
// Examples import the package by its name, as users do; here it is what stands in src/.
const src = (path: string): string => fileURLToPath(new URL(`src/${path}`, import.meta.url));
const alias = {
  'viommu-topo/testing': src('driver/index.ts'),
  'viommu-topo/matchers': src('matchers/index.ts'),
  'viommu-topo': src('index.ts'),
};

const config: ViteUserConfig = defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          alias,
          include: ['test/{unit,spec,golden,property,sim}/**/*.test.ts'],
          // Seconds on a quiet machine; nobody's timing is asserted.
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
      {
        test: {
          name: 'oracle',
          include: ['test/oracle/**/*.test.ts'],
          testTimeout: 300_000,
        },
      },
      {
        test: {
          name: 'browser',
          include: ['test/browser/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'fuzz',
          include: ['test/fuzz/**/*.fuzz.ts'],
        },
      },
      {
        test: {
          name: 'e2e',
          alias,
          include: ['test/e2e/**/*.test.ts', 'docs/examples/**/*.test.ts'],
          testTimeout: 600_000,
          hookTimeout: 600_000,
          globalSetup: ['test/e2e/setup.ts'],
          maxWorkers: 2,
        },
      },
    ],
  },
});

export default config;
