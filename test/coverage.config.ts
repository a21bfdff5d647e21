import { resolve } from 'node:path';
import { defineConfig, type ViteUserConfig } from 'vitest/config';

// `npm run coverage`: the tests of the device and of what stands below it must take every branch
// there. A branch that no test can reach is removed, or ignored with a reason beside it, which
// test/spec/coverage.test.ts lists.
const config: ViteUserConfig = defineConfig({
  root: resolve(import.meta.dirname, '..'),
  test: {
    include: ['test/unit/{iommu,virtio,memory,host-iommu}/**/*.test.ts', 'test/spec/**/*.test.ts'],
    setupFiles: ['test/support/seeded.ts'],
    testTimeout: 60_000,
    coverage: {
      enabled: true,
      provider: 'v8',
      include: ['src/{iommu,virtio,memory,host-iommu}/**/*.ts'],
      reportsDirectory: resolve(import.meta.dirname, '../coverage'),
      reporter: [['text', { skipFull: true }]],
      thresholds: { branches: 100, functions: 100, lines: 100 },
    },
  },
});

export default config;
