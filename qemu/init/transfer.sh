# shellcheck shell=dash disable=SC2016,SC2034,SC2086,SC2154
# (sourced by init.sh, whose variables and functions these are; words are split on purpose; scripts
# are written here whose variables are not ours.)
# transfer at=DEVICE bytes=COUNT: an address by DHCP, ping, and COUNT bytes each way over TCP, with
# checksums, between the guest's own driver and the peer at the other end of the cable
# (src/endpoints/net/tcp-connection.ts). Each step is a record.

# A program of `nc -e` has the connection as its input and output.
write_talks() {
  echo '#!/bin/busybox sh
[ "$1" = bound ] || exit 0
ip addr add "$ip/${mask:-24}" dev "$interface"
echo "$ip $serverid" >/run/lease' >/run/dhcp
  # From a file to a socket `cat` has the kernel send the pages: large packets, nothing copied.
  echo '#!/bin/busybox sh
echo "send $1"
shift
busybox cat "$@"
read -r answer
echo "$answer" >/run/answer' >/run/send
  echo '#!/bin/busybox sh
echo "take $1"
busybox crc32 >/run/answer' >/run/take
  busybox chmod 755 /run/dhcp /run/send /run/take
}

ask_lease() {
  busybox udhcpc -i "$FOUND" -n -q -f -t 5 -T 1 -s /run/dhcp
}

# send_bytes COUNT: a block of 64 KiB over and over.
send_bytes() {
  count=$1
  # In pieces of 1 MiB: the shell takes its time with a thousand arguments.
  set --
  for i in 1 2 3 4; do set -- "$@" /run/block /run/block /run/block /run/block; done
  busybox cat "$@" >/run/blocks
  pieces=$((count / 1048576))
  set --
  while [ $pieces -gt 0 ]; do
    set -- "$@" /run/blocks
    pieces=$((pieces - 1))
  done
  head -c $((count % 1048576)) /run/blocks >/run/rest
  busybox nc "$server" 1919 -e /run/send $count "$@" /run/rest
  rm -f /run/blocks /run/rest
}

take_bytes() {
  busybox nc "$server" 1919 -e /run/take $1
}

# moved STEP: the record of a transfer; the answer is `BYTES CRC` or `CRC`.
moved() {
  answer=''
  [ -r /run/answer ] && read -r answer </run/answer
  rm -f /run/answer
  read -r now rest </proc/uptime
  first_error $STATUS
  say transfer at=$asked step=$1 status=$STATUS bytes=$bytes crc=${answer##* } from=$began to=$now error=$E
  began=$now
}

check_transfer() {
  at='' bytes=1048576 seed=viommu-topo timeout=60
  for pair; do
    case $pair in
      at=* | bytes=* | seed=* | timeout=*) eval "${pair%%=*}=\${pair#*=}" ;;
      *) say badplan verb=transfer argument=$pair ;;
    esac
  done
  asked=$at
  if ! find_child net; then
    say transfer at=$asked step=dhcp status=absent
    return
  fi
  write_talks
  ip link set "$FOUND" up
  address='' server=''
  rm -f /run/lease
  limited ask_lease
  [ -r /run/lease ] && read -r address server </run/lease
  first_error $STATUS
  say transfer at=$asked step=dhcp status=$STATUS address=$address server=$server error=$E
  server=${server:-10.0.2.2}
  limited ping -c 3 -i 0.1 -W 3 -s 1400 -I "$FOUND" "$server"
  first_error $STATUS
  say transfer at=$asked step=ping status=$STATUS error=$E
  yes "$seed" | head -c 65536 >/run/block
  read -r began rest </proc/uptime
  limited send_bytes $bytes
  moved send
  limited take_bytes $bytes
  moved take
  read -r rx <"/sys/class/net/$FOUND/statistics/rx_packets"
  read -r tx <"/sys/class/net/$FOUND/statistics/tx_packets"
  ip addr flush dev "$FOUND"
  ip link set "$FOUND" down
  say transfer at=$asked step=down status=0 rx=$rx tx=$tx
}
