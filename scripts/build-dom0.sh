#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Makes dom0's kernel, initrd and disk image: Debian trixie with Xen's tools, nothing of ours. Runs in the build root;
# $1 is where they go.
set -eu
. "$TOP/scripts/lib/common.sh"
. "$TOP/scripts/lib/debian-tree.sh"
. "$TOP/scripts/lib/initrd.sh"

dest=$1
tree=$dest/tree
debian_tree "$TOP/images/dom0/packages" "$tree"
mkdir -p "$tree/usr/lib/xen-lend" "$tree/lend" "$tree/var/lib/xen" "$tree/var/log/xen/console"
mkdir -p "$tree/usr/lib/modules"
cp -a "/opt/linux/lib/modules/$KVER" "$tree/usr/lib/modules/"
echo dom0 >"$tree/etc/hostname"

# room for the states of guests, see lendlab.save_ready()
size=$(($(du -sm "$tree" | cut -f1) + 1200))
mke2fs -q -t ext4 -L dom0 -O ^has_journal -E lazy_itable_init=1,root_owner=0:0 -d "$tree" "$dest/dom0.img" "${size}M"

initrd_tree "$dest/initrd" "$TOP/images/dom0/initrd-init" virtio_pci virtio_blk ata_piix sd_mod e1000 ext4
initrd_pack "$dest/initrd" "$dest/initrd.gz"
cp "/opt/linux/boot/vmlinuz-$KVER" "$dest/vmlinuz"
rm -rf "$tree" "$dest/initrd"
