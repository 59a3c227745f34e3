# SPDX-License-Identifier: GPL-2.0-or-later
# Puts our patches and files into a Xen, QEMU or Linux tree: what './lend apply' does, and the builds before they compile.
# Sourced; needs TOP, die and apply_patches.

# shellcheck shell=sh
QEMU_OVERLAY="hw include accel qapi docs/devel tests/qtest"

# headers that QEMU has moved since 10.0, OLD:NEW
QEMU_MOVED="exec/memory.h:system/memory.h exec/ramblock.h:system/ramblock.h exec/ram_addr.h:system/ram_addr.h
            exec/ramlist.h:system/ramlist.h exec/address-spaces.h:system/address-spaces.h hw/boards.h:hw/core/boards.h
            hw/qdev-core.h:hw/core/qdev.h hw/qdev-properties.h:hw/core/qdev-properties.h"

# tree_version KIND TREE
tree_version() {
    case $1 in
        xen) sed -n 's/^export XEN_\(SUB\)\{0,1\}VERSION *= *//p' "$2/xen/Makefile" | paste -sd. ;;
        qemu) cat "$2/VERSION" ;;
        linux) sed -n 's/^\(VERSION\|PATCHLEVEL\) *= *//p' "$2/Makefile" | paste -sd. ;;
    esac
}

# bases KIND TREE: directories of KIND-patches with what differs for newer versions, up to the tree's; the newest first
bases() {
    bases_version=$(tree_version "$1" "$2")
    for base in "$TOP/$1-patches"/*/; do
        base=${base%/}
        [ -d "$base" ] || continue
        [ "$(printf '%s\n' "${base##*/}" "$bases_version" | sort -V | head -n 1)" != "${base##*/}" ] || echo "$base"
    done | sort -rV
}

# series_list KIND [TREE]: its patches in order, for that version of the tree. One of a newer base stands for the one with its
# number, here or in an older base; the numbers in a base's file "without" are wanted no more
series_list() {
    series_bases=
    [ -z "${2:-}" ] || series_bases=$(bases "$1" "$2")
    for series_one in "$TOP/$1-patches"/[0-9]*.patch; do
        series_number=$(basename "$series_one" | cut -d- -f1)
        for base in $series_bases; do
            ! grep -qx "$series_number" "$base/without" 2>/dev/null || continue 2
        done
        for base in $series_bases; do
            for variant in "$base/$series_number"-*.patch; do
                [ ! -e "$variant" ] || { series_one=$variant; break 2; }
            done
        done
        printf '%s\n' "$series_one"
    done
}

# as_in_tree TREE: a sed script that makes of text for QEMU 10.0 what TREE needs
as_in_tree() {
    for moved in $QEMU_MOVED; do
        [ -e "$1/include/${moved%:*}" ] || [ ! -e "$1/include/${moved#*:}" ] ||
            printf '/include/s,%s,%s,g\n' "${moved%:*}" "${moved#*:}"
    done
    if grep -q 'class_init)(ObjectClass \*klass, const void' "$1/include/qom/object.h"; then
        echo 's/_class_init(ObjectClass \*klass, void \*data)/_class_init(ObjectClass *klass, const void *data)/'
    fi
    # the accelerator is built once for all targets
    ! grep -q '^system_ss.*xen-all' "$1/accel/xen/meson.build" ||
        printf '/xen-all\\.c/s/^\\([-+]\\)specific_ss\\./\\1system_ss./\n'
    # headings of QAPI documentation
    grep -q '^# = ' "$1/qapi/misc.json" || {
        bar=$(printf '%029d' 0 | tr 0 '*')
        printf 's/^# = \(.*\)/# %s\\n# \\1\\n# %s/\n' "$bar" "$bar"
    }
}

# put_files KIND DIR SED: our files, with the names that they have in a tree; SED is what as_in_tree says, or an empty file
put_files() {
    case $1 in
        qemu)
            for dir in $QEMU_OVERLAY; do
                [ -d "$TOP/$dir" ] || continue
                ( cd "$TOP" && find "$dir" -name __pycache__ -prune -o -type f -print ) | while read -r file; do
                    mkdir -p "$2/${file%/*}"
                    sed -f "$3" "$TOP/$file" >"$2/$file"
                done
            done
            # the driver's interface, where QEMU keeps the headers it takes from Linux
            mkdir -p "$2/include/standard-headers/xen"
            cp "$TOP/linux/include/uapi/xen/lend.h" "$2/include/standard-headers/xen/" ;;
        *)
            mkdir -p "$2"
            [ ! -d "$TOP/$1" ] || cp -r "$TOP/$1/." "$2/" ;;
    esac
}

# overlay KIND TREE [WHOLE]: our files and patches; TREE may be a part of the tree WHOLE
overlay() {
    overlay_tmp=$(mktemp -d) || die "no temporary directory"
    trap 'rm -rf "$overlay_tmp"' EXIT
    { [ "$1" != qemu ] || as_in_tree "${3:-$2}"; } >"$overlay_tmp/sed"
    put_files "$1" "$2" "$overlay_tmp/sed"
    for one in $(series_list "$1" "${3:-$2}"); do
        sed -f "$overlay_tmp/sed" "$one" >"$overlay_tmp/${one##*/}"
        apply_patches "$2" "$overlay_tmp/${one##*/}"
    done
}
overlay_xen() { overlay xen "$@"; }
overlay_qemu() { overlay qemu "$@"; }
overlay_linux() { overlay linux "$@"; }
