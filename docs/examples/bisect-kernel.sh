#!/bin/sh
# For `git bisect run`, in a tree of Linux: builds the commit for arm64 and boots TOPOLOGY on it.
#   TOPOLOGY=its.yaml git bisect run sh bisect-kernel.sh
# BUILD: where objects are kept, so that steps after the first are quick.  MAKE: make with its options.
set -u
: "${TOPOLOGY:?the topology to boot}"
build=${BUILD:-../bisect-build}
make=${MAKE:-make -s -j$(nproc) ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu-}

# 125 tells git that this commit cannot be tried: it does not build.
# The options of make are words.
# shellcheck disable=SC2086
{
  $make O="$build" defconfig &&
    scripts/config --file "$build/.config" -m VIRTIO_IOMMU -e VIRTIO_PCI -m VIRTIO_BLK &&
    $make O="$build" olddefconfig Image modules &&
    $make O="$build" INSTALL_MOD_PATH="$build/root" modules_install
} || exit 125

for modules in "$build"/root/lib/modules/*; do
  [ -d "$modules" ] && break
done
viommu-topo boot "$TOPOLOGY" --backend emulator --quiet \
  --kernel "$build/arch/arm64/boot/Image" --modules "$modules"
code=$?
case $code in
  0 | 1) exit "$code" ;; # the verdict: good or bad
  2 | 3) exit 128 ;;     # nothing about this commit: git stops, and keeps its place
  *) exit 125 ;;
esac
