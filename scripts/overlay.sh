# SPDX-License-Identifier: GPL-2.0-or-later
# Puts our patches and files into a Xen, QEMU or Linux tree: what './lend apply' does, and the builds before they compile.
# Sourced; needs TOP, die and apply_patches.

# shellcheck shell=sh
QEMU_OVERLAY="hw include accel qapi docs/devel tests/qtest"

# headers that QEMU has moved since 10.0, OLD:NEW
QEMU_MOVED="exec/memory.h:system/memory.h exec/ramblock.h:system/ramblock.h exec/ram_addr.h:system/ram_addr.h
            hw/boards.h:hw/core/boards.h hw/qdev-properties.h:hw/core/qdev-properties.h"

overlay_xen() { apply_patches "$1" "$TOP"/xen-patches/*.patch; }

# as_in_tree TREE: a sed script that makes of text for QEMU 10.0 what TREE needs
as_in_tree() {
    for moved in $QEMU_MOVED; do
        [ -e "$1/include/${moved%:*}" ] || [ ! -e "$1/include/${moved#*:}" ] ||
            printf '/include/s,%s,%s,g\n' "${moved%:*}" "${moved#*:}"
    done
    if grep -q 'class_init)(ObjectClass \*klass, const void' "$1/include/qom/object.h"; then
        echo 's/_class_init(ObjectClass \*klass, void \*data)/_class_init(ObjectClass *klass, const void *data)/'
    fi
    # headings of QAPI documentation
    grep -q '^# = ' "$1/qapi/misc.json" || { bar=$(printf '%029d' 0 | tr 0 '*'); printf 's/^# = \(.*\)/# %s\\n# \\1\\n# %s/\n' "$bar" "$bar"; }
}

# overlay_qemu TREE [WHOLE]: TREE may be a part of the tree WHOLE
overlay_qemu() {
    overlay_tmp=$(mktemp -d) || die "no temporary directory"
    trap 'rm -rf "$overlay_tmp"' EXIT
    as_in_tree "${2:-$1}" >"$overlay_tmp/sed"
    for dir in $QEMU_OVERLAY; do
        [ -d "$TOP/$dir" ] || continue
        ( cd "$TOP" && find "$dir" -name __pycache__ -prune -o -type f ! -name run -print ) | while read -r file; do
            mkdir -p "$1/${file%/*}"
            sed -f "$overlay_tmp/sed" "$TOP/$file" >"$1/$file"
        done
    done
    # the driver's interface, where QEMU keeps the headers it takes from Linux
    mkdir -p "$1/include/standard-headers/xen"
    cp "$TOP/linux/include/uapi/xen/lend.h" "$1/include/standard-headers/xen/"
    for one in "$TOP"/qemu-patches/*.patch; do sed -f "$overlay_tmp/sed" "$one" >"$overlay_tmp/${one##*/}"; done
    apply_patches "$1" "$overlay_tmp"/*.patch
}

overlay_linux() {
    cp -r "$TOP/linux/." "$1/"
    apply_patches "$1" "$TOP"/linux-patches/*.patch
}
