#!/bin/sh
# From a fresh clone to a verdict: installs what is needed, builds, fetches a stock guest, boots it.
#   npm run first-boot [-- TOPOLOGY [boot options]]
set -eu
cd "$(dirname "$0")/.."

sh bin/install-tools.sh qemu-system-arm qemu-system-x86 xz-utils zstd
[ -d node_modules ] || npm ci --no-audit --no-fund
npm run --silent build
if [ $# -eq 0 ]; then
  set -- topologies/one-endpoint.yaml
fi
exec node bin/viommu-topo.js boot --backend qemu "$@"
