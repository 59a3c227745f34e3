#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Makes a disk for the GPU demo and tests: Debian trixie with Mesa, Vulkan's tools and virglrenderer's render server. In dom0 QEMU
# runs in it, as in a chroot, and it is the root file system of the guests. Read-only. Runs in the build root; $1 is where it goes.
set -eu
. "$TOP/scripts/lib/common.sh"
. "$TOP/scripts/lib/debian-tree.sh"

dest=$1
tree=$dest/tree
debian_tree "$TOP/images/gpuroot/packages" "$tree"
mkdir -p "$tree/usr/lib/xen-lend" "$tree/usr/lib/xen-lend-gpu" "$tree/lend" "$tree/var/lib/xen" "$tree/var/log/xen"

size=$(($(du -sm "$tree" | cut -f1) + 60))
# whole superpages: it is lent to the guest as persistent memory
mke2fs -q -t ext4 -b 4096 -L gpuroot -O ^has_journal -E lazy_itable_init=0,root_owner=0:0 \
    -d "$tree" "$dest/gpuroot.img" "$((size / 2 * 2))M"
rm -rf "$tree"
