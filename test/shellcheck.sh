#!/bin/sh
# Every shell script of the repository, by shellcheck; guest scripts are for busybox ash.
set -eu
cd "$(dirname "$0")/.."
git ls-files '*.sh' .ci/run | while read -r file; do
  shellcheck "$file" || exit 1
done
