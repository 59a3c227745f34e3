# SPDX-License-Identifier: GPL-2.0-or-later
# Makes small initrds: busybox, an init, some modules of the kernel in the build root, further files.
# Sourced by build-dom0.sh and build-guest.sh, in the build root.

# shellcheck shell=sh
KVER=$(cat /opt/linux/version)

# initrd_tree DIR INIT MODULE...: /modules holds the modules, numbered in the order in which they load
initrd_tree() {
    ird=$1 ird_init=$2; shift 2
    mkdir -p "$ird/bin" "$ird/dev" "$ird/proc" "$ird/sys" "$ird/run" "$ird/tmp"
    cp /bin/busybox "$ird/bin/"
    /bin/busybox --list | while read -r applet; do [ -e "$ird/bin/$applet" ] || ln -s busybox "$ird/bin/$applet"; done
    install -m 755 "$ird_init" "$ird/init"
    initrd_modules "$ird" 100 "$@"
}

# initrd_modules DIR NUMBER MODULE...: the first one gets NUMBER; what it needs comes before it
initrd_modules() {
    ird=$1 number=$2; shift 2
    mkdir -p "$ird/modules"
    for module; do modprobe -d /opt/linux -S "$KVER" --show-depends "$module"; done |
        awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r path; do
            name=${path##*/}
            case $name in
                *.xz) xz -dc "$path" >"$ird/modules/$number-${name%.xz}" ;;
                *) cp "$path" "$ird/modules/$number-$name" ;;
            esac
            number=$((number + 1))
        done
}

# initrd_pack DIR FILE
initrd_pack() { ( cd "$1" && find . | LC_ALL=C sort | cpio --quiet -R 0:0 -o -H newc ) | gzip -1n >"$2"; }
