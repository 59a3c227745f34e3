#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds the hypervisor as it is for use: as build-xen.sh does, without CONFIG_DEBUG, in a tree of its own, for the lane bench:
# the kernel that it is compared with is no debug kernel, either. Runs in the build root; $1 is where the result goes.
set -eu
. "$TOP/scripts/lib/common.sh"
. "$TOP/scripts/lib/source.sh"
. "$TOP/scripts/lib/overlay.sh"
. "$TOP/scripts/lib/hypervisor.sh"

dest=$1
work=$LEND_CACHE/trees/plainxen
mkdir -p "$work"
{ grep -v CONFIG_DEBUG= "$TOP/configs/xen.config"
  printf '# CONFIG_DEBUG is not set\n'; } >"$work/config"
pristine=$(pristine_source xen)
build_hypervisor "$pristine" "$work" "$work/config" "$dest"
