#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Makes dom0's kernel, initrd and disk image: Debian trixie with Xen's tools, nothing of ours. Runs in the build root; $1 is where they go.
set -eu
. "$TOP/scripts/common.sh"
. "$TOP/scripts/initrd.sh"

dest=$1
tree=$dest/tree
packages=$(sed 's/#.*//' "$TOP/images/dom0/packages" | xargs | tr ' ' ,)
TMPDIR=/tmp mmdebstrap --mode=root --variant=essential --architectures=amd64 --include="$packages" \
    --aptopt='Apt::Install-Recommends "false"' --aptopt='Acquire::Retries "3"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    "$SUITE" "$tree" "deb $LEND_MIRROR $SUITE main"
rm -rf "$tree/var/cache/apt" "$tree/var/lib/apt/lists"
mkdir -p "$tree/usr/lib/xen-lend" "$tree/lend" "$tree/var/lib/xen" "$tree/var/log/xen/console"
mkdir -p "$tree/usr/lib/modules"
cp -a "/opt/linux/lib/modules/$KVER" "$tree/usr/lib/modules/"
echo dom0 >"$tree/etc/hostname"

size=$(($(du -sm "$tree" | cut -f1) + 400))
mke2fs -q -t ext4 -L dom0 -O ^has_journal -E lazy_itable_init=1,root_owner=0:0 -d "$tree" "$dest/dom0.img" "${size}M"

initrd_tree "$dest/initrd" "$TOP/images/dom0/initrd-init" virtio_pci virtio_blk ata_piix sd_mod e1000 ext4
initrd_pack "$dest/initrd" "$dest/initrd.gz"
cp "/opt/linux/boot/vmlinuz-$KVER" "$dest/vmlinuz"
rm -rf "$tree" "$dest/initrd"
