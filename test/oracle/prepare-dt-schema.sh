#!/bin/sh
# Makes ready what dt-validate needs to judge our device trees, and prints the folder it is in:
#
#   test/oracle/prepare-dt-schema.sh    -> ~/.cache/viommu-topo/dt-schema
#
#   <folder>/dt-validate FILE.dtb…      runs Debian's dt-schema on them
#
# The bindings are Linux' own, from Debian's source package. Only those that our trees use are
# processed, which takes a second instead of a minute. Nothing of the host is changed.
# Needs apt-get, dpkg-deb, xz and python3 of the distribution. Exit 3 when this host cannot do it.
set -eu

base=${XDG_CACHE_HOME:-$HOME/.cache}/viommu-topo
target=$base/dt-schema

fail() {
  echo "prepare-dt-schema: $1" >&2
  exit 3
}

if [ -s "$target/schema.json" ]; then
  echo "$target"
  exit 0
fi
for tool in apt-get apt-cache dpkg-deb xz tar /usr/bin/python3; do
  command -v "$tool" >/dev/null || fail "$tool is not installed"
done

mkdir -p "$base"
work=$(mktemp -d "$base/.dt-schema-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 3' INT TERM HUP
mkdir "$work/deb" "$work/root" "$work/bindings"

source=$(apt-cache search --names-only '^linux-source-6\.[0-9]+$' | awk '{ print $1 }' | sort -V | tail -n 1)
[ -n "$source" ] || fail "apt knows no linux-source package"
packages=$(apt-cache depends --recurse --important dt-schema |
  awk '/^(dt-schema|python3-[a-z0-9.-]+|libyaml-[0-9-]+)$/')
[ -n "$packages" ] || fail "apt knows no dt-schema package"
# shellcheck disable=SC2086 # a list of names
(cd "$work/deb" && apt-get -q download $packages "$source") >"$work/log" 2>&1 || {
  tail -n 3 "$work/log" >&2
  fail "apt-get download failed"
}
for package in "$work"/deb/*.deb; do
  case $package in
  */linux-source*) ;;
  *) dpkg-deb -x "$package" "$work/root" ;;
  esac
done

cd "$work/bindings"
dpkg-deb --fsys-tarfile "$work"/deb/linux-source*.deb | tar -xO --wildcards './usr/src/*.tar.xz' |
  xz -dc | tar -x --strip-components=4 --wildcards --no-anchored \
  Documentation/devicetree/bindings/virtio/mmio.yaml \
  Documentation/devicetree/bindings/virtio/pci-iommu.yaml \
  Documentation/devicetree/bindings/virtio/virtio-device.yaml \
  Documentation/devicetree/bindings/pci/host-generic-pci.yaml \
  Documentation/devicetree/bindings/interrupt-controller/arm,gic.yaml \
  Documentation/devicetree/bindings/interrupt-controller/arm,gic-v3.yaml \
  Documentation/devicetree/bindings/arm/cpus.yaml \
  Documentation/devicetree/bindings/arm/pmu.yaml \
  Documentation/devicetree/bindings/arm/primecell.yaml \
  Documentation/devicetree/bindings/arm/psci.yaml \
  Documentation/devicetree/bindings/timer/arm,arch_timer.yaml \
  Documentation/devicetree/bindings/serial/serial.yaml \
  Documentation/devicetree/bindings/serial/pl011.yaml \
  Documentation/devicetree/bindings/rtc/rtc.yaml \
  Documentation/devicetree/bindings/rtc/arm,pl031.yaml \
  Documentation/devicetree/bindings/clock/fixed-clock.yaml \
  Documentation/devicetree/bindings/firmware/qemu,fw-cfg-mmio.yaml

cat >"$work/run" <<'RUN'
#!/bin/sh
# A tool of dt-schema with the modules that were unpacked beside it.
folder=$(dirname "$(readlink -f "$0")")
PYTHONPATH=$folder/root/usr/lib/python3/dist-packages
LD_LIBRARY_PATH=$(dirname "$(find "$folder/root" -name 'libyaml-*.so*' | head -n 1)")
export PYTHONPATH LD_LIBRARY_PATH
tool=$1
shift
exec /usr/bin/python3 "$folder/root/usr/bin/$tool" "$@"
RUN
cat >"$work/dt-validate" <<'RUN'
#!/bin/sh
folder=$(dirname "$(readlink -f "$0")")
exec "$folder/run" dt-validate -s "$folder/schema.json" "$@"
RUN
chmod +x "$work/run" "$work/dt-validate"
"$work/run" dt-mk-schema -j "$work/bindings" >"$work/schema.json" 2>"$work/log" || {
  tail -n 3 "$work/log" >&2
  fail "dt-mk-schema failed"
}
rm -rf "$work/deb" "$work/log"
rm -rf "$target"
mv -T "$work" "$target" 2>/dev/null || [ -s "$target/schema.json" ] || fail "cannot write $target"
echo "$target"
