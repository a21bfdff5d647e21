#!/bin/sh
# Everything that is checked before a change lands, on a bare Debian machine with Node:
# installs the judges (QEMU, dtc, libfdt, a C compiler ...), then runs every test there is.
#   npm run test:all [-- STEP...]      steps: see test/run.js
set -eu
cd "$(dirname "$0")/.."

sh bin/install-tools.sh \
  qemu-system-arm qemu-system-x86 qemu-user \
  device-tree-compiler libfdt-dev gcc libc6-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross \
  dt-schema python3-libfdt \
  iproute2 xz-utils zstd cpio libxml2-utils shellcheck perl groff-base \
  chromium fonts-liberation
[ -d node_modules ] || npm ci --prefer-offline --no-audit --no-fund
exec node test/run.js "$@"
