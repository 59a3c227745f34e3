# SPDX-License-Identifier: GPL-2.0-or-later
# How the hypervisor is built, for build-xen.sh and build-flask.sh, in the build root.
# Sourced, after common.sh and overlay.sh.

# shellcheck shell=sh
# build_hypervisor PRISTINE WORK CONFIG DEST: a copy of the tree PRISTINE with our patches, in WORK/src; built in WORK/build, with
# the lines of the file CONFIG on top of defconfig. WORK is kept for the next time. Changes to WORK/src.
build_hypervisor() {
    mkdir -p "$2/build"

    # patch a copy, then carry over only the files that differ, so that make rebuilds no more than it must
    rm -rf "$2/patched"
    cp -a "$1" "$2/patched"
    overlay_xen "$2/patched"
    rsync -a --checksum --delete "$2/patched/" "$2/src/"
    rm -rf "$2/patched"

    cd "$2/src" || exit
    export XEN_BUILD_DATE=none XEN_BUILD_TIME='' XEN_BUILD_HOST=xen-lend XEN_WHOAMI=xen-lend XEN_DOMAIN=''
    if [ ! -e "$2/build/.config" ] || ! cmp -s "$3" "$2/build/fragment"; then
        rm -f "$2/build/.config"
        make -C xen O="$2/build" defconfig
        cat "$3" >>"$2/build/.config"
        cp "$3" "$2/build/fragment"
    fi
    make -C xen O="$2/build" olddefconfig
    grep CONFIG_ "$3" | while read -r line; do
        grep -qxF "$line" "$2/build/.config" || die "Xen's configuration does not take $line"
    done
    nice make -C xen O="$2/build" -j"$LEND_JOBS"
    cp "$2/build/xen" "$2/build/xen-syms" "$2/build/.config" "$4/"
}
