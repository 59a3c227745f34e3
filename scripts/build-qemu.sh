#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds qemu-system-x86_64 (outer emulator and device model). Runs in the build root; $1 is where the result goes.
# BUILD_PRISTINE is a tree to be built in place of the pinned one, BUILD_WORK where that is done, BUILD_OPTIONS files of options.
set -eu
. "$TOP/scripts/lib/common.sh"
. "$TOP/scripts/lib/source.sh"
. "$TOP/scripts/lib/overlay.sh"

dest=$1
work=${BUILD_WORK:-$LEND_CACHE/trees/qemu}
mkdir -p "$work"
pristine=${BUILD_PRISTINE:-$(pristine_source qemu)}

# patch a copy, then carry over only the files that differ, so that ninja rebuilds no more than it must
rm -rf "$work/patched"
cp -a "$pristine" "$work/patched"
overlay_qemu "$work/patched"
rsync -a --checksum --delete --exclude=/build "$work/patched/" "$work/src/"

mkdir -p "$work/src/build"
cd "$work/src/build"
# shellcheck disable=SC2086
options=$(sed 's/#.*//' ${BUILD_OPTIONS:-"$TOP/configs/qemu.options"} | xargs)
if [ ! -e build.ninja ] || [ "$options" != "$(cat options 2>/dev/null)" ]; then
    # ccache has a "gcc" and no "cc", which configure would take
    # shellcheck disable=SC2086
    CC=gcc ../configure $options
    printf '%s\n' "$options" >options
fi
nice ninja -j"$LEND_JOBS" qemu-system-x86_64
mkdir -p "$dest/share"
strip -g -o "$dest/qemu-system-x86_64" qemu-system-x86_64
# the firmware that our machines load, from Debian's packages (its QEMU source has no blobs)
for blob in /usr/share/qemu/linuxboot_dma.bin /usr/share/qemu/multiboot_dma.bin /usr/share/qemu/kvmvapic.bin \
            /usr/share/seabios/bios-256k.bin /usr/share/seabios/vgabios-stdvga.bin /usr/share/seabios/vgabios-cirrus.bin \
            /usr/share/seabios/vgabios-bochs-display.bin; do
    cp -L "$blob" "$dest/share/"
done
cp -r ../pc-bios/keymaps "$dest/share/"
