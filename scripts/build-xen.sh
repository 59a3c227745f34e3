#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds the hypervisor (Debian's Xen tree, our patches, configs/xen.config) and the test program of the patches. Runs in the build
# root; $1 is where the result goes. BUILD_PRISTINE is a tree to be built in place of the pinned one, BUILD_WORK where that is done.
set -eu
. "$TOP/scripts/common.sh"
. "$TOP/scripts/source.sh"
. "$TOP/scripts/overlay.sh"
. "$TOP/scripts/xen-tool.sh"

dest=$1
work=${BUILD_WORK:-$LEND_CACHE/trees/xen}
mkdir -p "$work"
pristine=${BUILD_PRISTINE:-$(pristine_source xen)}

# patch a copy, then carry over only the files that differ, so that make rebuilds no more than it must
rm -rf "$work/patched"
cp -a "$pristine" "$work/patched"
overlay_xen "$work/patched"
rsync -a --checksum --delete "$work/patched/" "$work/src/"

mkdir -p "$work/build"
cd "$work/src"
export XEN_BUILD_DATE=none XEN_BUILD_TIME= XEN_BUILD_HOST=xen-lend XEN_WHOAMI=xen-lend XEN_DOMAIN=
[ -e "$work/build/.config" ] && cmp -s "$TOP/configs/xen.config" "$work/build/fragment" || {
    rm -f "$work/build/.config"
    make -C xen O="$work/build" defconfig
    cat "$TOP/configs/xen.config" >>"$work/build/.config"
    cp "$TOP/configs/xen.config" "$work/build/fragment"
}
make -C xen O="$work/build" olddefconfig
grep CONFIG_ "$TOP/configs/xen.config" | while read -r line; do
    grep -qxF "$line" "$work/build/.config" || die "Xen's configuration does not take $line"
done
nice make -C xen O="$work/build" -j"$LEND_JOBS"
cp "$work/build/xen" "$work/build/xen-syms" "$work/build/.config" "$dest/"
build_mem_lend "$work/src" "$dest/test-mem-lend"
