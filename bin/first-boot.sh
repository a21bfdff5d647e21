#!/bin/sh
# From a fresh clone to a verdict: builds, fetches a stock guest, boots it inside Node.
#   npm run first-boot [-- TOPOLOGY [boot options]]
# Beyond Node and what every Debian has (apt-get, dpkg-deb) it needs xz, for the guest's modules.
set -eu
cd "$(dirname "$0")/.."

command -v xz >/dev/null || sh bin/install-tools.sh xz-utils
[ -d node_modules ] || npm ci --prefer-offline --no-audit --no-fund
npm run --silent build
if [ $# -eq 0 ]; then
  set -- topologies/one-endpoint.yaml
fi
exec node bin/viommu-topo.js boot "$@"
