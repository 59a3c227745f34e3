#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds dom0's kernels for the lane torture: Debian's source of the version that is in the build root, our series (the driver built
# in), configs/debugkernel.config; and an initrd without modules. vmlinuz has KASAN and is for a PVH dom0, vmlinuz-pv has all the
# other checks. Runs in the build root; $1 is where the result goes.
set -eu
. "$TOP/scripts/lib/common.sh"
. "$TOP/scripts/lib/initrd.sh"
. "$TOP/scripts/lib/source.sh"
. "$TOP/scripts/lib/overlay.sh"
. "$TOP/scripts/lib/linux-source.sh"

dest=$1
work=$LEND_CACHE/trees/debugkernel
config=$TOP/configs/debugkernel.config
package=$(linux_version) || exit 1

# a tree anew when Debian's, the patches or this script are; else only files that differ, so that make rebuilds no more than it must
key=$package-$(cd "$TOP" && cat linux-patches/*.patch scripts/build-debugkernel.sh | sha256sum | cut -c1-16)
if [ "$(cat "$work/src/.key" 2>/dev/null)" != "$key" ]; then
    rm -rf "$work/src"
    unpack_linux "$package" "$work/src"
    overlay_linux "$work/src"
    # gntdev has a lock that it takes in mmap(), and holds while it copies to user memory (xenstored does both): lockdep is right to
    # object, and then looks at nothing any more
    sed -i 's/^\tmutex_init(&priv->lock);$/&\n\tlockdep_set_novalidate_class(\&priv->lock);/' "$work/src/drivers/xen/gntdev.c"
    grep -q lockdep_set_novalidate_class "$work/src/drivers/xen/gntdev.c" || die "gntdev.c is not what it was"
    echo "$key" >"$work/src/.key"
fi
# not their times: what is older than an object of another run would not be compiled
rsync -rlp --checksum "$TOP/linux/" "$work/src/"

# xen_prepare_pvh() is C that runs before KASAN is set up; Linux forgets that of what it calls (as of 6.12)
early="$(printf "KASAN_SANITIZE_%s.o=n " enlighten enlighten_pvh vga common static_call string)"
# shellcheck disable=SC2086
make_() { make_in=$1; shift
    nice make -C "$work/src" O="$work/$make_in" ARCH=x86_64 KBUILD_BUILD_USER=xen-lend KBUILD_BUILD_HOST=xen-lend $early "$@"; }

# kernel DIR CONFIG SUFFIX: one of them, built in DIR
kernel() {
    make_ "$1" KCONFIG_ALLCONFIG="$2" allnoconfig
    grep CONFIG_ "$2" | while read -r line; do
        grep -qxF "$line" "$work/$1/.config" || die "Linux' configuration does not take $line"
    done
    make_ "$1" -j"$LEND_JOBS" bzImage
    cp "$work/$1/arch/x86/boot/bzImage" "$dest/vmlinuz$3"
    cp "$work/$1/.config" "$dest/config$3"
    cp "$work/$1/System.map" "$dest/System.map$3"
}

grep -v '^CONFIG_KASAN' "$config" >"$work/pv.config"
kernel build-pv "$work/pv.config" -pv
! grep -q '^CONFIG_KASAN=' "$dest/config-pv" || die "the kernel for PV has KASAN"
kernel build "$config" ""
initrd_tree "$dest/initrd" "$TOP/images/dom0/initrd-init"
initrd_pack "$dest/initrd" "$dest/initrd.gz"
rm -rf "$dest/initrd"
