#!/bin/sh
# Compiles bench/vfio-user.ts as a release is compiled, and runs it: bench/vfio-user.sh [OPTIONS]
# A transpiler that rewrites private fields would measure itself.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$root"
npx tsc --ignoreConfig --outDir "$dir" --rootDir . --target es2023 --module node20 --types node --skipLibCheck \
  --rewriteRelativeImportExtensions --strict --noUncheckedIndexedAccess \
  bench/vfio-user.ts bench/vfio-user-setup.ts src/vfio-user/worker.ts
cp package.json "$dir/"
for name in node_modules qemu templates topologies; do ln -s "$root/$name" "$dir/$name"; done
cp bench/vfio-user-init.sh "$dir/bench/"
node "$dir/bench/vfio-user.js" "$@"
