#!/bin/sh
# alone.sh OUTSIDE SCRIPT: runs a script that changes interfaces, but only in a network namespace
# other than OUTSIDE (as `readlink /proc/self/ns/net` has it) that has nothing but lo.
set -eu
outside=$1
script=$2
inside=$(readlink /proc/self/ns/net)
interfaces=$(ip -oneline link | cut -d : -f 2 | tr -d ' \n')
if [ "$inside" = "$outside" ] || [ "$interfaces" != lo ]; then
  echo "not alone: $interfaces in $inside" >&2
  exit 99
fi
exec sh -euc "$script"
