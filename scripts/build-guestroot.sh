#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Makes a guest's root file system, for the lane differential: Debian trixie with fio, ndctl, libvirt and, if there is a tree
# of them in the cache (src/xfstests), xfstests. Read-only for the guest. Runs in the build root; $1 is where it goes.
# packages: autoconf automake libtool libtool-bin gettext pkgconf uuid-dev libattr1-dev libacl1-dev libaio-dev libgdbm-dev
# packages: libblkid-dev xfslibs-dev
set -eu
. "$TOP/scripts/lib/common.sh"
. "$TOP/scripts/lib/debian-tree.sh"

dest=$1
tree=$dest/tree
debian_tree "$TOP/images/guestroot/packages" "$tree"
mkdir -p "$tree/mnt/test" "$tree/mnt/scratch"
ln -sf ../proc/self/mounts "$tree/etc/mtab"
# the users that xfstests wants
for user in fsgqa fsgqa2 123456-fsgqa; do
    chroot "$tree" useradd --badname -m "$user" 2>/dev/null || chroot "$tree" useradd --badnames -m "$user"
done

xfstests=$LEND_CACHE/src/xfstests
if [ -d "$xfstests" ]; then
    work=$LEND_CACHE/trees/guestroot
    mkdir -p "$work"
    rsync -a --delete --exclude=/.git "$xfstests/" "$work/xfstests/"
    cd "$work/xfstests"
    make -j"$LEND_JOBS"
    mkdir -p "$tree/opt/xfstests"
    rsync -a --exclude='*.[cho]' --exclude='*.lo' --exclude='/doc' --exclude=/autom4te.cache ./ "$tree/opt/xfstests/"
fi

size=$(($(du -sm "$tree" | cut -f1) + 100))
mke2fs -q -t ext4 -b 4096 -L guestroot -O ^has_journal -E lazy_itable_init=0,root_owner=0:0 \
    -d "$tree" "$dest/guestroot.img" "$((size / 2 * 2))M"
rm -rf "$tree"
