# shellcheck shell=dash disable=SC2034,SC3045
# The verb `plan`: asks the machine for the plan, and goes on with what it answers. Until then nothing
# was loaded, so that the machine can be kept at this point, and started from here with other plans.
#
# Piece by piece, since a terminal keeps no more than 4096 bytes that nobody has read.
check_plan() {
  stty -echo </dev/console
  exec 6</dev/console
  : >/run/plan
  while :; do
    answer=''
    say plan
    while read -r -t 20 text <&6; do
      case $text in
        more | end)
          answer=$text
          break
          ;;
      esac
      echo "$text" >>/run/plan
    done
    [ "$answer" = more ] || break
  done
  exec 6<&-
  [ "$answer" = end ] || say badplan verb=plan
  exec 5</run/plan
}
