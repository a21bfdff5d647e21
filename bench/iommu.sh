#!/bin/sh
# Compiles bench/iommu.ts as a release is compiled, and runs it: bench/iommu.sh [--quick]
# A transpiler that rewrites private fields would measure itself.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$root"
npx tsc --ignoreConfig --outDir "$dir" --rootDir . --target es2023 --module node20 --types node --skipLibCheck \
  --rewriteRelativeImportExtensions --strict --noUncheckedIndexedAccess bench/iommu.ts
cp package.json "$dir/"
cp bench/iommu-peer.c "$dir/bench/"
node "$dir/bench/iommu.js" "$@"
