#!/bin/busybox sh
# shellcheck shell=dash disable=SC3028
# The guest of bench/vfio-user.ts: loads its modules, then does what it is told on its console.
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
stty -echo
while read -r name rest; do insmod "/viommu/ko/$name.ko" "$rest"; done </viommu/modules
while [ ! -b /dev/vda ]; do sleep 0.1; done
echo "BENCH ready"
# Microseconds since 1970, into NOW.
now() { NOW=${EPOCHREALTIME%.*}${EPOCHREALTIME#*.}; }
while read -r what count size option; do
  now
  begin=$NOW
  case $what in
    read) dd if=/dev/vda of=/dev/null bs="$size" count="$count" ${option:+"$option"} ;;
    write) dd if=/dev/zero of=/dev/vda bs="$size" count="$count" ${option:+"$option"} ;;
    drop) echo 3 >/proc/sys/vm/drop_caches ;;
    groups)
      for group in /sys/kernel/iommu_groups/*/devices/*; do echo "${group##*/}"; done
      ;;
  esac
  now
  echo "BENCH done $((NOW - begin))"
done
