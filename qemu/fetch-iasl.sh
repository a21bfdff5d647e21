#!/bin/sh
# Unpacks an iasl that knows VIOT (20210331 or newer) for the current user and prints the path
# of a wrapper that runs it:
#
#   qemu/fetch-iasl.sh            -> ~/.cache/viommu-topo/iasl/<suite>/iasl
#
# Needs a Debian-like host: apt-get, dpkg-deb. No root; nothing of the host is changed. apt runs
# on a private configuration that takes the mirror from the host's own sources; the program runs
# with the C library of its own suite, through that library's loader.
# Exit codes: 0, or 3 when this host cannot do it (the reason is on stderr).
set -eu

suite=${1:-trixie}
base=${XDG_CACHE_HOME:-$HOME/.cache}/viommu-topo/iasl
target=$base/$suite

fail() {
  echo "fetch-iasl: $1" >&2
  exit 3
}

if [ -x "$target/iasl" ]; then
  echo "$target/iasl"
  exit 0
fi
for tool in apt-get dpkg dpkg-deb; do
  command -v "$tool" >/dev/null || fail "$tool is not installed"
done

mkdir -p "$base"
work=$(mktemp -d "$base/.new-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 3' INT TERM HUP
mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial" "$work/apt/parts" "$work/root"
: >"$work/apt/status"

# The host's apt.conf still holds (proxies, certificates); only places are replaced.
private_apt() {
  tool=$1
  shift
  "$tool" -q \
    -o Dir::Etc::SourceList="$work/apt/sources.list" \
    -o Dir::Etc::SourceParts="$work/apt/parts" \
    -o Dir::Etc::PreferencesParts="$work/apt/parts" \
    -o Dir::Etc::Preferences=/dev/null \
    -o Dir::State="$work/apt" \
    -o Dir::State::lists="$work/apt/lists" \
    -o Dir::State::status="$work/apt/status" \
    -o Dir::Cache="$work/apt" \
    -o Dir::Cache::archives="$work/apt/archives" \
    -o APT::Sandbox::User="$(id -un)" \
    -o Acquire::Languages=none \
    -o Acquire::Retries=2 \
    -o Debug::NoLocking=1 \
    "$@"
}

keyring=/usr/share/keyrings/debian-archive-keyring.gpg
option=
[ -r "$keyring" ] && option="[signed-by=$keyring] "

# Every repository of the host that is a distribution's main one is tried in turn.
# shellcheck disable=SC2016 # apt fills these in, not the shell
mirrors=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
  awk '$2 !~ /-(security|updates|backports)/ && !seen[$1]++ { print $1 }')
[ -n "$mirrors" ] || fail "apt has no source to take a mirror from"
found=
for mirror in $mirrors; do
  echo "deb $option$mirror $suite main" >"$work/apt/sources.list"
  if private_apt apt-get update >"$work/log" 2>&1 &&
    (cd "$work/apt" && private_apt apt-get download acpica-tools libc6) >>"$work/log" 2>&1; then
    found=1
    break
  fi
done
[ -n "$found" ] || {
  tail -n 5 "$work/log" >&2
  fail "no mirror of this host has acpica-tools of $suite"
}

for package in "$work"/apt/*.deb; do
  dpkg-deb -x "$package" "$work/root"
done
loader=$(cd "$work/root" && find . -path '*/ld-linux*' -name '*.so.*' | head -n 1)
[ -n "$loader" ] || fail "no dynamic loader in libc6 of $suite"
library=$(dirname "$(cd "$work/root" && find . -name 'libc.so.6' | head -n 1)")
cat >"$work/iasl" <<WRAPPER
#!/bin/sh
root=\$(dirname "\$0")/root
exec "\$root/$loader" --library-path "\$root/$library" "\$root/usr/bin/iasl" "\$@"
WRAPPER
chmod +x "$work/iasl"
"$work/iasl" -v >/dev/null || fail "the iasl of $suite does not run here"

rm -rf "$work/apt" "$work/log"
# Another run may have been faster: its result is as good.
mv -T "$work" "$target" 2>/dev/null || [ -x "$target/iasl" ] || fail "cannot write $target"
echo "$target/iasl"
