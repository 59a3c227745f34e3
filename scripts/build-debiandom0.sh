#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Makes a disk with Debian as anybody would have it as dom0, for the lane package: systemd, GRUB, Debian's kernel, Xen and QEMU,
# DKMS; nothing of ours but the unit that starts the test agent. GRUB is installed when the disk first boots.
# Runs in the build root.
# packages: fdisk
set -eu
. "$TOP/scripts/lib/common.sh"

dest=$1
tree=$dest/tree
own=$TOP/images/debiandom0
TMPDIR=/tmp mmdebstrap --mode=root --variant=essential --architectures=amd64 \
    --include="$(sed 's/#.*//' "$own/packages" | xargs | tr ' ' ,)" \
    --aptopt='Apt::Install-Recommends "false"' --aptopt='Acquire::Retries "3"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    "$SUITE" "$tree" "deb $LEND_MIRROR $SUITE main"
rm -rf "$tree/var/lib/apt/lists"/* "$tree/var/cache/apt"/*.bin
: >"$tree/etc/apt/sources.list"
echo debiandom0 >"$tree/etc/hostname"
echo 'LABEL=debian / ext4 errors=remount-ro 0 0' >"$tree/etc/fstab"
install -m 644 "$own/grub.cfg" "$tree/etc/default/grub.d/trial.cfg"
install -m 644 "$own/lend-agent.service" "$tree/etc/systemd/system/"
# what would only take time
chroot "$tree" systemctl enable lend-agent.service
chroot "$tree" systemctl mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer dpkg-db-backup.timer

# for the first boot, which is without GRUB
cp "$tree"/boot/vmlinuz-* "$dest/vmlinuz"
cp "$tree"/boot/initrd.img-* "$dest/initrd"

# a partition at 1 MiB
size=$(($(du -sm "$tree" | cut -f1) + 1500))
truncate -s $((size + 2))M "$dest/debian.img"
echo "2048,$((size * 2048)),L,*" | sfdisk -q "$dest/debian.img"
mke2fs -q -t ext4 -L debian -E lazy_itable_init=1,root_owner=0:0,offset=1048576 -d "$tree" "$dest/debian.img" "${size}M"
rm -rf "$tree"
