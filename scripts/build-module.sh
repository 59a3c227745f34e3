#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds linux/ out of tree, for Debian's kernel. Runs in the build root; $1 is where the module goes.
set -eu
. "$TOP/scripts/lib/common.sh"

dest=$1
kver=$(cat /opt/linux/version)
mkdir -p "$dest/src"
cp -r "$TOP/linux/." "$dest/src/"
if [ -e "$dest/src/drivers/xen/lend/Makefile" ] || [ -e "$dest/src/drivers/xen/lend/Kbuild" ]; then
    make -C "/usr/src/linux-headers-$kver" M="$dest/src/drivers/xen/lend" -j"$LEND_JOBS" modules
    find "$dest/src" -name '*.ko' -exec cp {} "$dest/" \;
    ls "$dest"/*.ko
fi
rm -rf "$dest/src"
