import { expect, test } from 'vitest';

import { kernelOf } from '../../../src/backends/environment.ts';

const sha256 = '0'.repeat(64);
const busybox = { package: 'busybox-static', version: '1:1.35.0-4', sha256 };
const guest = {
  arch: 'arm64',
  kernel: '/boot/vmlinuz',
  kernelSha256: sha256,
  release: '6.12.9',
  modulesDir: '/lib/modules/6.12.9',
  busybox: '/bin/busybox',
} as const;

test('a kernel is of its package, or of the file that the user named', () => {
  const image = { package: 'linux-image-6.12.9-arm64', version: '6.12.9-1', sha256 };
  expect(kernelOf({ ...guest, packages: [busybox, image] }).origin).toBe(
    'linux-image-6.12.9-arm64 6.12.9-1',
  );
  // The programs of such a guest are of a package still.
  expect(kernelOf({ ...guest, packages: [busybox] }).origin).toBe('/boot/vmlinuz');
});
