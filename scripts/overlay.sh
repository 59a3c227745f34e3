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

# apply_to KIND TREE: all of it or nothing: tried on copies of the files that the patches touch, which then replace these
apply_to() {
    case $1 in
        qemu) tree_has="hw/xen/xen-hvm-common.c accel/xen" ;;
        xen) tree_has="xen/common/ioreq.c xen/arch/x86/mm" ;;
        linux) tree_has="drivers/xen/privcmd.c include/uapi/xen" ;;
    esac
    for tree_file in $tree_has; do
        [ -e "$2/$tree_file" ] || die "'$2' is not a $1 source tree: it has no $tree_file"
    done
    command -v patch >/dev/null || die "needs the program 'patch'; install the package patch"
    tree_copy=$(mktemp -d)
    trap 'rm -rf "$tree_copy"' EXIT
    { [ "$1" != qemu ] || as_in_tree "$2"; } >"$tree_copy.sed"
    sed -n 's,^[-+][-+][-+] [ab]/,,p' "$TOP/$1-patches"/*.patch | cut -f1 | sort -u | sed -f "$tree_copy.sed" | while read -r tree_file; do
        [ -e "$2/$tree_file" ] || continue
        mkdir -p "$tree_copy/$(dirname "$tree_file")"
        cp -p "$2/$tree_file" "$tree_copy/$tree_file"
    done
    rm -f "$tree_copy.sed"
    ( "overlay_$1" "$tree_copy" "$2" ) >"$tree_copy.log" 2>&1 || {
        tail -n 12 "$tree_copy.log" | sed 's/^/   | /' >&2
        rm -f "$tree_copy.log"
        if grep -q MEM_LEND "$2/xen/common/Kconfig" "$2/xen/arch/x86/Kconfig" "$2/drivers/xen/Kconfig" 2>/dev/null || [ -e "$2/hw/xen/lend" ]; then
            die "'$2' has lending already; nothing was changed"
        fi
        die "the patches do not apply to this version; nothing was changed (made for Xen $XEN_SERIES, QEMU 10.0, Linux 6.12)"
    }
    grep applying "$tree_copy.log"
    rm -f "$tree_copy.log"
    cp -r "$tree_copy/." "$2/"
    say "done: $2"
}
