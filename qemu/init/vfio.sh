# shellcheck shell=dash disable=SC2034,SC2086,SC2154
# (sourced by init.sh, whose variables and functions these are; words are split on purpose.)
# vfio at=DEVICE key=value...: the program of qemu/vfio-dma takes the device from its driver and works
# it from user space. Each line it prints becomes a record.
check_vfio() {
  at='' words='' timeout=60
  for pair; do
    case $pair in
      at=*) at=${pair#at=} ;;
      timeout=*) timeout=${pair#timeout=} ;;
      *) words="$words $pair" ;;
    esac
  done
  say vfiobegin at=$at
  limited /bin/vfio-dma device=$at $words
  while read -r line; do
    say vfio at=$at $line
  done </run/out
  first_error $STATUS
  say vfioend at=$at status=$STATUS error=$E
}
