#!/bin/busybox sh
# shellcheck shell=dash disable=SC2034,SC2086,SC3045,SC3057,SC3060
# (busybox ash has `read -t`, substrings and replacement; fields of a line that nobody needs get a
# name all the same; and words of a report are meant to be split, their blanks are encoded.)
# The guest's side of a boot: loads modules, works through /viommu/plan, reports, powers off.
#
# Every report is one record of the kernel's log, `VT1 <number> <kind> key=value ...`, written to
# /dev/kmsg: the kernel prints a record in one piece, so none of its own messages can fall into
# the middle of a line, and what happened first stands first. The lines: src/guest/console-line.ts,
# the plan: src/guest/plan.ts.
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
mkdir -p /run

# Without this the kernel drops records of ours as soon as there are more than ten in five seconds.
echo on >/proc/sys/kernel/printk_devkmsg
read -r was rest </proc/sys/kernel/printk
echo 7 >/proc/sys/kernel/printk
if [ -c /dev/kmsg ]; then exec 3>/dev/kmsg; else exec 3>/dev/console; fi

# What the guest does in the end: `poweroff`, or `reboot` if the plan asks for it.
LAST=poweroff

N=0
# say KIND key=value...: one record. Level 1 is printed under `quiet` as well.
say() {
  N=$((N + 1))
  echo "<1>VT1 $N $*" >&3
}

# enc VALUE: percent-encodes what would end a value, into E. Cut to 300 characters, since a record
# of the kernel's log has at most 1024 and each of them may become three.
enc() {
  E=${1:0:300}
  E=${E//%/%25}
  E=${E// /%20}
  E=${E//	/%09}
  E=${E//
/%0a}
}

# link PATH: the last part of what a symbolic link points to, into L; empty without one.
link() {
  L=
  if [ -e "$1" ]; then
    cd -P "$1" 2>/dev/null && L=${PWD##*/}
    cd /
  fi
}

# real PATH: the path without links, into R; empty when it does not exist.
real() {
  R=
  if cd -P "$1" 2>/dev/null; then R=$PWD; fi
  cd /
}

# place PATH: which PCI or platform device a path below /sys/devices belongs to, into AT.
place() {
  AT=
  IFS=/
  for part in $1; do
    if [ -e "/sys/bus/pci/devices/$part" ] || [ -e "/sys/bus/platform/devices/$part" ]; then
      AT=$part
    fi
  done
  unset IFS
}

# base_of NAME: where the registers of a platform device are, into BASE.
base_of() {
  BASE=
  while read -r range colon name rest; do
    if [ "$name" = "$1" ]; then
      BASE=0x${range%-*}
      return
    fi
  done </proc/iomem
}

# at_base ADDRESS: the platform device whose registers start there, into at.
at_base() {
  while read -r range colon name rest; do
    if [ $((0x${range%-*})) = $(($1)) ] && [ -e "/sys/bus/platform/devices/$name" ]; then
      at=$name
      return
    fi
  done </proc/iomem
}

# blob NAME FILE [bytes]: size and hash of a file, and its bytes, compressed: QEMU pads a tree to
# 1 MiB. More than 64 KiB even so are not sent.
blob() {
  [ -r "$2" ] || return
  sha256sum "$2" >/run/hash
  read -r hash rest </run/hash
  wc -c <"$2" >/run/size
  read -r size </run/size
  count=0
  if [ "$3" = bytes ]; then
    gzip -c "$2" | base64 -w 800 >/run/base64
    wc -l </run/base64 >/run/count
    read -r count </run/count
    [ "$count" -le 110 ] || count=0
  fi
  say blob name=$1 size=$size sha256=$hash chunks=$count
  [ "$count" -gt 0 ] || return
  i=0
  while read -r line; do
    say chunk name=$1 index=$i data=$line
    i=$((i + 1))
  done </run/base64
}

report_firmware() {
  blob fdt /sys/firmware/fdt bytes
  for table in /sys/firmware/acpi/tables/*; do
    case ${table##*/} in
      VIOT* | IORT* | MCFG* | APIC*) blob "${table##*/}" "$table" bytes ;;
      data | dynamic | '*') ;;
      *) blob "${table##*/}" "$table" ;;
    esac
  done
}

report_iommus() {
  for iommu in /sys/class/iommu/*; do
    [ -e "$iommu" ] || continue
    name=${iommu##*/}
    real "$iommu/device"
    place "$R"
    enc "$R"
    say iommu name=$name at=$AT path=$E
    for device in "$iommu"/devices/*; do
      [ -e "$device" ] && say iommudev iommu=$name device=${device##*/}
    done
  done
}

report_groups() {
  for group in /sys/kernel/iommu_groups/*; do
    [ -e "$group" ] || continue
    id=${group##*/}
    type=''
    read -r type <"$group/type"
    say group id=$id type=$type
    for device in "$group"/devices/*; do
      [ -e "$device" ] && say groupdev id=$id device=${device##*/}
    done
    while read -r start end type; do
      say resv id=$id start=$start end=$end type=$type
    done <"$group/reserved_regions"
  done
}

# irq_count NUMBER: how often an interrupt came, over all CPUs, into COUNT. The kernel gives one
# number for each CPU, with commas between them.
irq_count() {
  COUNT=0
  [ -r "/sys/kernel/irq/$1/per_cpu_count" ] || return
  read -r counts <"/sys/kernel/irq/$1/per_cpu_count"
  COUNT=$((${counts//,/+}))
}

report_pci() {
  for path in /sys/bus/pci/devices/*; do
    [ -e "$path" ] || continue
    at=${path##*/}
    read -r vendor <"$path/vendor"
    read -r device <"$path/device"
    read -r class <"$path/class"
    link "$path/driver"
    driver=$L
    link "$path/iommu_group"
    group=$L
    link "$path/iommu"
    irqs='' taken=''
    for irq in "$path"/msi_irqs/*; do
      [ -e "$irq" ] || continue
      read -r mode <"$irq"
      irqs=$irqs,${irq##*/}:$mode
      irq_count "${irq##*/}"
      taken=$((taken + COUNT))
    done
    # A kernel without these files counts nothing that we could see.
    [ -d /sys/kernel/irq ] || taken=''
    say pci at=$at vendor=$vendor device=$device class=$class driver=$driver group=$group iommu=$L msi=${irqs#,} taken=$taken
    i=0
    while read -r start end flags; do
      case $flags in 0x0000000000000000) ;; *) say bar at=$at index=$i start=$start end=$end flags=$flags ;; esac
      i=$((i + 1))
    done <"$path/resource"
  done
}

report_devices() {
  for path in /sys/bus/platform/devices/*; do
    link "$path/iommu_group"
    group=$L
    link "$path/driver"
    driver=$L
    # The board has dozens of platform devices; those with a say here are in a group, or virtio's.
    case $driver in virtio-mmio | *smmu*) ;; *) [ -n "$group" ] || continue ;; esac
    link "$path/iommu"
    iommu=$L
    base_of ${path##*/}
    say platform at=${path##*/} base=$BASE driver=$driver group=$group iommu=$iommu
  done
  for path in /sys/bus/virtio/devices/*; do
    [ -e "$path" ] || continue
    link "$path/driver"
    driver=$L
    real "$path"
    place "$R"
    read -r device <"$path/device"
    read -r features <"$path/features"
    say virtio name=${path##*/} at=$AT device=$device driver=$driver features=$features
  done
  for path in /sys/class/block/*; do
    [ -e "$path/device" ] || continue
    real "$path"
    place "$R"
    read -r sectors <"$path/size"
    say block name=${path##*/} at=$AT sectors=$sectors
  done
  for path in /sys/class/net/*; do
    [ -e "$path/device" ] || continue
    real "$path"
    place "$R"
    read -r mac <"$path/address"
    say net name=${path##*/} at=$AT mac=$mac
  done
  [ -r /sys/kernel/debug/devices_deferred ] || return
  while read -r device reason; do
    enc "$reason"
    say deferred device=$device reason=$E
  done </sys/kernel/debug/devices_deferred
}

# find_child CLASS: the block device or network interface of the device $at, into FOUND; waits for
# it up to $timeout seconds (a deferred probe takes ten).
find_child() {
  tries=$((timeout * 10))
  while :; do
    for path in "/sys/class/$1"/*; do
      [ -e "$path/device" ] || continue
      real "$path"
      place "$R"
      if [ "$AT" = "$at" ]; then
        FOUND=${path##*/}
        return 0
      fi
    done
    tries=$((tries - 1))
    [ $tries -gt 0 ] || return 1
    usleep 100000
  done
}

# limited COMMAND...: runs it in the background, waits $timeout seconds; a process stuck in the
# kernel cannot be killed, so it is left behind.
limited() {
  rm -f /run/fifo
  mkfifo /run/fifo
  exec 4<>/run/fifo
  { "$@" >/run/out 2>/run/err; echo $? >/run/fifo; } &
  STATUS=timeout
  read -r -t $timeout STATUS <&4
  exec 4>&-
}

# first_error [STATUS]: the first line that a program wrote to /run/err, encoded, into E; empty when
# its status is 0 (dd writes there in any case).
first_error() {
  MESSAGE=
  [ "$1" = 0 ] || read -r MESSAGE </run/err
  enc "$MESSAGE"
}

# read_hash BLOCK-DEVICE SKIP COUNT: sha256 of COUNT bytes at SKIP, past the page cache.
read_hash() {
  if [ $(($2 % 4096 + $3 % 4096)) = 0 ]; then
    chunk=4096
    [ $(($2 % 262144 + $3 % 262144)) = 0 ] && chunk=262144
  else
    chunk=512
  fi
  dd if=/dev/$1 bs=$chunk skip=$(($2 / chunk)) count=$(($3 / chunk)) iflag=direct >/run/data || return
  sha256sum /run/data
}

do_disk() {
  if ! find_child block; then
    say disk at=$asked status=absent
    return
  fi
  read -r sectors <"/sys/class/block/$FOUND/size"
  bytes=${bytes:-$((sectors * 512))}
  limited read_hash $FOUND ${offset:-0} $bytes
  hash=''
  [ "$STATUS" = 0 ] && read -r hash rest </run/out
  first_error $STATUS
  rm -f /run/data
  say disk at=$asked name=$FOUND status=$STATUS size=$((sectors * 512)) offset=${offset:-0} bytes=$bytes sha256=$hash error=$E
}

# write_pattern BLOCK-DEVICE OFFSET BYTES
write_pattern() {
  yes "${seed:-viommu-topo}" | head -c $3 >/run/pattern
  dd if=/run/pattern of=/dev/$1 bs=512 seek=$(($2 / 512)) oflag=direct conv=notrunc,fsync || return
  sha256sum /run/pattern
  read_hash $1 $2 $3
}

do_write() {
  if ! find_child block; then
    say write at=$asked status=absent
    return
  fi
  limited write_pattern $FOUND ${offset:-0} ${bytes:-65536}
  wrote='' reread=''
  [ "$STATUS" = 0 ] && { read -r wrote rest; read -r reread rest; } </run/out
  first_error $STATUS
  rm -f /run/data /run/pattern
  say write at=$asked name=$FOUND status=$STATUS offset=${offset:-0} bytes=${bytes:-65536} sha256=$wrote reread=$reread error=$E
}

do_nic() {
  if ! find_child net; then
    say nic at=$asked status=absent
    return
  fi
  target=${target:-10.0.2.2}
  ip link set "$FOUND" up
  ip addr add "${address:-10.0.2.15/24}" dev "$FOUND"
  tries=$((timeout * 10)) carrier=0
  while read -r carrier <"/sys/class/net/$FOUND/carrier"; [ "$carrier" != 1 ] && [ $tries -gt 0 ]; do
    tries=$((tries - 1))
    usleep 100000
  done
  limited ping -c ${count:-3} -i 0.1 -W 3 -s ${bytes:-1400} -I "$FOUND" "$target"
  sent=0 received=0
  while read -r a b c d e; do
    [ "$b $c" = 'packets transmitted,' ] && sent=$a received=$d
  done </run/out
  first_error $STATUS
  read -r rx <"/sys/class/net/$FOUND/statistics/rx_bytes"
  read -r tx <"/sys/class/net/$FOUND/statistics/tx_bytes"
  say nic at=$asked name=$FOUND status=$STATUS target=$target carrier=$carrier sent=$sent received=$received rx=$rx tx=$tx error=$E
  ip addr flush dev "$FOUND"
  ip link set "$FOUND" down
}

# put VALUE FILE: writes to sysfs; what the kernel answered goes into E, empty when it took it.
put() {
  { echo "$1" >"$2"; } 2>/run/err
  first_error
}

do_unbind() {
  put "$at" "/sys/bus/${bus:-pci}/devices/$at/driver/unbind"
  # With a flush queue the last UNMAPs are sent up to 10 ms later.
  usleep 50000
  say unbind at=$asked error=$E
}

do_bind() {
  if [ -n "$driver" ]; then
    put "$driver" "/sys/bus/${bus:-pci}/devices/$at/driver_override"
    put "$at" "/sys/bus/${bus:-pci}/drivers/$driver/bind"
  else
    put "$at" "/sys/bus/${bus:-pci}/drivers_probe"
  fi
  failed=$E
  link "/sys/bus/${bus:-pci}/devices/$at/driver"
  say bind at=$asked driver=$L error=$failed
}

do_type() {
  link "/sys/bus/${bus:-pci}/devices/$at/iommu_group"
  put "$to" "/sys/kernel/iommu_groups/$L/type"
  failed=$E type=''
  read -r type <"/sys/kernel/iommu_groups/$L/type"
  say type at=$asked group=$L type=$type error=$failed
}

do_wait_driver() {
  tries=$((timeout * 10))
  while link "/sys/bus/${bus:-pci}/devices/$at/driver"; [ -z "$L" ] && [ $tries -gt 0 ]; do
    tries=$((tries - 1))
    usleep 100000
  done
}

do_wait() {
  do_wait_driver
  say wait at=$asked driver=$L
}

# A page of memory whose address and content can be seen from here, and that nobody else touches:
# the top of the stack of a sleeping process, full of an environment variable. Its frame number
# is in pagemap, its content in mem. Sets PAGE (where the process has it) and GPA.
watch_page() {
  [ -z "$WATCHER" ] || return
  fill=viommu-topo-----
  while [ ${#fill} -lt 16384 ]; do fill=$fill$fill; done
  FILL=$fill sleep 1000000 &
  WATCHER=$!
  tries=50 comm=''
  while read -r comm <"/proc/$WATCHER/comm"; [ "$comm" != sleep ] && [ $tries -gt 0 ]; do
    tries=$((tries - 1))
    usleep 20000
  done
  while read -r range mode offset dev inode name; do
    [ "$name" = '[stack]' ] && PAGE=$((0x${range#*-} / 4096 - 2))
  done <"/proc/$WATCHER/maps"
  dd if=/proc/$WATCHER/pagemap bs=8 skip=$PAGE count=1 2>/dev/null | hexdump -v -e '2/4 "%u " "\n"' >/run/frame
  read -r low high </run/frame
  GPA=$(((((high & 0x7fffff) << 32) | low) * 4096))
}

watch_hash() {
  dd if=/proc/$WATCHER/mem bs=4096 skip=$PAGE count=1 2>/dev/null | sha256sum >/run/hash
  read -r HASH rest </run/hash
}

# The registers of QEMU's educational device, docs/specs/edu: source, destination, count, command.
do_edu() {
  path=/sys/bus/pci/devices/$at
  if [ ! -e "$path" ]; then
    say edu at=$asked status=absent
    return
  fi
  # Only the bind of a driver makes Linux read iommu-map for a device; pci-stub does nothing else.
  if [ ! -e "$path/driver" ] && [ "$stub" != no ]; then
    echo pci-stub >"$path/driver_override"
    echo "$at" >/sys/bus/pci/drivers/pci-stub/bind
  fi
  echo 1 >"$path/enable"
  # Command register: memory space and bus master.
  printf '\006\000' | dd of="$path/config" bs=2 seek=2 count=1 conv=notrunc 2>/dev/null
  read -r bar rest <"$path/resource"
  link "$path/iommu_group"
  group=$L
  watch_page
  watch_hash
  before=$HASH
  case $iova in '' | watch) iova=$GPA ;; esac
  # One word is one fault; the kernel prints ten in five seconds and drops the rest.
  bytes=${bytes:-4}
  say edustart at=$asked dir=$dir iova="$(printf '0x%x' $((iova)))" bytes=$bytes gpa="$(printf '0x%x' $GPA)"
  if [ "$dir" = write ]; then
    devmem $((bar + 0x80)) 64 0x40000
    devmem $((bar + 0x88)) 64 $iova
    command=3
  else
    devmem $((bar + 0x80)) 64 $iova
    devmem $((bar + 0x88)) 64 0x40000
    command=1
  fi
  devmem $((bar + 0x90)) 64 $bytes
  devmem $((bar + 0x98)) 32 $command
  status=timeout tries=50
  while [ $tries -gt 0 ]; do
    usleep 20000
    state=$(devmem $((bar + 0x98)) 32)
    if [ $((state & 1)) = 0 ]; then
      status=0
      break
    fi
    tries=$((tries - 1))
  done
  # The fault comes through the event queue, a little later.
  usleep 100000
  watch_hash
  changed=0
  [ "$before" = "$HASH" ] || changed=1
  say edu at=$asked status=$status dir=$dir group=$group before=$before after=$HASH changed=$changed id="$(devmem $bar 32)"
}

# ask KIND key=value...: a record that the machine answers with a line on the console, into ANSWER.
# Without echo, or the answer would stand in the middle of some other line.
ask() {
  stty -echo </dev/console
  say "$@"
  ANSWER=
  read -r -t $timeout ANSWER </dev/console
}

# The registers of our DMA engine: docs/reference/dma-engine.md.
DMA_WORD=0x5a5aa5a5
do_dma() {
  path=/sys/bus/pci/devices/$at
  if [ ! -e "$path" ]; then
    say dma at=$asked aim=$aim dir=$dir status=absent
    return
  fi
  # Only the bind of a driver makes Linux read iommu-map for a device; pci-stub does nothing else.
  if [ ! -e "$path/driver" ]; then
    echo pci-stub >"$path/driver_override"
    echo "$at" >/sys/bus/pci/drivers/pci-stub/bind
    echo 1 >"$path/enable"
    # Command register: memory space and bus master.
    printf '\006\000' | dd of="$path/config" bs=2 seek=2 count=1 conv=notrunc 2>/dev/null
  fi
  read -r bar rest <"$path/resource"
  link "$path/iommu_group"
  watch_page
  # Which address is of the kind that is asked for, only the machine knows.
  ask aim at=$asked aim=$aim dir=$dir gpa="$(printf '0x%x' $GPA)"
  case $ANSWER in
    0x*) iova=$ANSWER ;;
    *)
      say dma at=$asked aim=$aim dir=$dir status=none
      return
      ;;
  esac
  watch_hash
  before=$HASH
  devmem $((bar + 0x10000)) 32 $DMA_WORD
  devmem $((bar + 0x1c)) 32 0xffffffff
  devmem $((bar + 0x08)) 32 $((iova & 0xffffffff))
  devmem $((bar + 0x0c)) 32 $(((iova >> 32) & 0xffffffff))
  devmem $((bar + 0x10)) 32 4
  devmem $((bar + 0x14)) 32 0
  command=1
  [ "$dir" = write ] && command=3
  devmem $((bar + 0x18)) 32 $command
  status=timeout tries=50
  while [ $tries -gt 0 ]; do
    state=$(devmem $((bar + 0x1c)) 32)
    if [ $((state & 1)) = 1 ]; then
      status=0
      break
    fi
    usleep 20000
    tries=$((tries - 1))
  done
  # The fault comes through the event queue, a little later.
  usleep 20000
  watch_hash
  changed=0
  [ "$before" = "$HASH" ] || changed=1
  # What a refused read must not have filled.
  word=$(devmem $((bar + 0x10000)) 32)
  [ $((word)) = $((DMA_WORD)) ] || changed=1
  say dma at=$asked aim=$aim dir=$dir status=$status group=$L iova=$iova state=$state changed=$changed
}

# plug: the machine plugs the device in at this line; the port tells the kernel.
do_plug() {
  say plugin at=$asked
  do_wait_driver
  link "/sys/bus/pci/devices/$at/iommu_group"
  group=$L
  link "/sys/bus/pci/devices/$at/driver"
  say plug at=$asked driver=$L group=$group
}

# await: tells the host that the guest stands still, and goes on at a line from the console.
do_await() {
  say await tag=$tag
  answer=''
  read -r -t $timeout answer </dev/console
  enc "$answer"
  say awaited tag=$tag answer=$E
}

# Messages from before the console was told everything (`quiet`).
do_klog() {
  dmesg >/run/dmesg
  while read -r line; do
    case $line in
      *'VT1 '*) ;;
      *ommu* | *OMMU* | *irtio* | *DMA* | *fault* | *Oops* | *BUG* | *WARN* | *defer* | *VIOT* | *OF:* | *GIC* | *msi* | *MSI*)
        enc "$line"
        say klog text=$E
        ;;
    esac
  done </run/dmesg
}

load_modules() {
  [ -r /viommu/modules ] || return
  while read -r name parameters; do
    limited insmod "/viommu/ko/$name.ko" $parameters
    first_error $STATUS
    say module name=$name status=$STATUS error=$E
    # A driver that crashed holds locks that the next ones wait for; they get no 20 seconds each.
    [ "$STATUS" = timeout ] && timeout=1
  done </viommu/modules
}

# run_line VERB key=value...: one line of the plan; unknown verbs are reported, not ignored.
run_line() {
  verb=$1
  shift
  # A check with a file of its own reads its arguments by itself.
  if [ -r "/viommu/checks/$verb.sh" ]; then
    # shellcheck source=/dev/null
    . "/viommu/checks/$verb.sh"
    check_$verb "$@"
    return
  fi
  at='' bus='' bytes='' offset='' seed='' count='' target='' address='' driver='' to='' iova='' dir=write stub='' aim='' tag='' seconds=1
  timeout=20
  for pair; do
    case $pair in
      at=* | bus=* | bytes=* | offset=* | seed=* | count=* | target=* | address=* | driver=* | to=* | iova=* | dir=* | stub=* | aim=* | tag=* | seconds=* | timeout=*)
        eval "${pair%%=*}=\${pair#*=}"
        ;;
      *) say badplan verb=$verb argument=$pair ;;
    esac
  done
  # Results carry the name that the plan gave.
  asked=$at
  case $at in mmio:*) at_base "${at#mmio:}" ;; esac
  [ -z "$bus" ] && [ -e "/sys/bus/platform/devices/$at" ] && bus=platform
  case $verb in
    firmware) report_firmware ;;
    inventory) say inventory; report_iommus; report_groups; report_pci; report_devices ;;
    disk | write | nic | bind | unbind | type | wait | edu | dma | plug | await | klog) do_$verb ;;
    rescan) put 1 /sys/bus/pci/rescan; say rescan error=$E ;;
    remove) put 1 "/sys/bus/pci/devices/$at/remove"; say remove at=$asked error=$E ;;
    reboot) LAST=reboot ;;
    mark) say mark tag=$tag ;;
    sleep) sleep "$seconds" ;;
    modules) load_modules ;;
    *) say badplan verb=$verb ;;
  esac
}

read -r release </proc/sys/kernel/osrelease
read -r version </proc/sys/kernel/version
read -r uptime rest </proc/uptime
enc "$version"
say begin protocol=1 release=$release version=$E uptime=$uptime console=$was
read -r cmdline </proc/cmdline
while [ -n "$cmdline" ]; do
  enc "$cmdline"
  say cmdline text=$E
  cmdline=${cmdline:300}
done
while read -r line <&5; do
  case $line in '' | '#'*) ;; *) run_line $line ;; esac
done 5</viommu/plan
read -r uptime rest </proc/uptime
say end lines=$((N + 1)) uptime=$uptime
# Without a sync, which would wait for a disk that hangs. A driver that hangs while it is shut down
# is left behind by an immediate reset, at which QEMU (-no-reboot) stops as well.
$LAST -n -f &
sleep 5
echo b >/proc/sysrq-trigger
sleep 1000
