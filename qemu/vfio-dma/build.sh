#!/bin/sh
# Builds vfio-dma for the guests: build.sh [OUTPUT-DIRECTORY [ARCHITECTURE...]]
# Default: arm64 and amd64, into built/ beside this file, where the package ships them. Needs
# Debian's gcc of each architecture and the kernel's headers: gcc libc6-dev gcc-aarch64-linux-gnu
# libc6-dev-arm64-cross on an amd64 host.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ $# -gt 0 ]; then
  out=$1
  shift
else
  # As src/guest/program.ts looks for it: what was built from other sources is not found.
  hash=$(cat "$here/build.sh" "$here/start.h" "$here/vfio-dma.c" | sha256sum | cut -c 1-16)
  out=$here/built/$hash
  # What is there of these sources stays until it is replaced: a guest may be about to get it.
  for old in "$here"/built/*; do
    [ "$old" = "$out" ] || rm -rf "$old"
  done
fi
[ $# -gt 0 ] || set -- arm64 amd64
mkdir -p "$out"

for arch in "$@"; do
  case $arch in
    arm64) triplet=aarch64-linux-gnu ;;
    amd64) triplet=x86_64-linux-gnu ;;
    *)
      echo "build.sh: no such architecture: $arch" >&2
      exit 2
      ;;
  esac
  # There is no library behind it, and the same sources give the same bytes.
  "$triplet-gcc" -std=gnu11 -O2 -Wall -Wextra -Werror -ffreestanding -fno-builtin \
    -fno-stack-protector -fno-pie -fno-asynchronous-unwind-tables -nostdlib -nostartfiles \
    -static -no-pie -s -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-z,max-page-size=4096 \
    -o "$out/.vfio-dma-$arch.$$" "$here/vfio-dma.c"
  mv "$out/.vfio-dma-$arch.$$" "$out/vfio-dma-$arch"
done
