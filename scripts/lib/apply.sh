# SPDX-License-Identifier: GPL-2.0-or-later
# './lend apply': our patches and files in a tree of the user's.
# Sourced by ./lend.

# shellcheck shell=sh
. "$TOP/scripts/lib/overlay.sh"

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
    series_list "$1" "$2" | tr '\n' '\0' |
        xargs -0 sed -n 's,^[-+][-+][-+] [ab]/,,p' | cut -f1 | sort -u | sed -f "$tree_copy.sed" | while read -r tree_file; do
        [ -e "$2/$tree_file" ] || continue
        mkdir -p "$tree_copy/$(dirname "$tree_file")"
        cp -p "$2/$tree_file" "$tree_copy/$tree_file"
    done
    rm -f "$tree_copy.sed"
    ( "overlay_$1" "$tree_copy" "$2" ) >"$tree_copy.log" 2>&1 || {
        tail -n 12 "$tree_copy.log" | sed 's/^/   | /' >&2
        rm -f "$tree_copy.log"
        if grep -q MEM_LEND "$2/xen/common/Kconfig" "$2/xen/arch/x86/Kconfig" "$2/xen/arch/x86/hvm/Kconfig" \
                "$2/drivers/xen/Kconfig" 2>/dev/null || [ -e "$2/hw/xen/lend" ]; then
            die "'$2' has lending already; nothing was changed"
        fi
        die "the patches do not apply to this version; nothing was changed" \
            "(made for Xen $XEN_SERIES to 4.22, QEMU $QEMU_SERIES, Linux 6.12)"
    }
    grep applying "$tree_copy.log"
    rm -f "$tree_copy.log"
    cp -r "$tree_copy/." "$2/"
    say "done: $2"
}
