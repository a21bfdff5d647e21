#!/bin/sh
# Installs Debian packages that are not there yet: install-tools.sh PACKAGE...
# Does nothing, and needs no rights, when all of them are installed. Uses sudo when not root.
set -eu

missing=
for package in "$@"; do
  status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
  case $status in
    'install ok installed') ;;
    *) missing="$missing $package" ;;
  esac
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "install-tools: needs Debian's apt-get; install by other means:$missing" >&2
  exit 3
fi
as_root=
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "install-tools: run as root, or install sudo, or install by hand:$missing" >&2
    exit 3
  }
  as_root=sudo
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "installing:$missing"
# shellcheck disable=SC2086 # a list of package names, split on purpose
if ! { $as_root apt-get update &&
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
  tail -n 30 "$log" >&2
  echo "install-tools: apt-get failed; see above" >&2
  exit 3
fi
