# SPDX-License-Identifier: GPL-2.0-or-later
# Puts our patches and files into a Xen, QEMU or Linux tree: what './lend apply' does, and the builds before they compile.
# Sourced; needs TOP, die and apply_patches.

# shellcheck shell=sh
QEMU_OVERLAY="hw include accel qapi tests/qtest"

overlay_xen() { apply_patches "$1" "$TOP"/xen-patches/*.patch; }

overlay_qemu() {
    for dir in $QEMU_OVERLAY; do
        [ -d "$TOP/$dir" ] || continue
        ( cd "$TOP" && find "$dir" -name __pycache__ -prune -o -type f -print ) | while read -r file; do
            mkdir -p "$1/${file%/*}"
            cp "$TOP/$file" "$1/$file"
        done
    done
    # the driver's interface, where QEMU keeps the headers it takes from Linux
    mkdir -p "$1/include/standard-headers/xen"
    cp "$TOP/linux/include/uapi/xen/lend.h" "$1/include/standard-headers/xen/"
    apply_patches "$1" "$TOP"/qemu-patches/*.patch
}

overlay_linux() {
    cp -r "$TOP/linux/." "$1/"
    apply_patches "$1" "$TOP"/linux-patches/*.patch
}
