# SPDX-License-Identifier: GPL-2.0-or-later
# Debian's sources of Linux: of the kernel that is in the build root, and newer ones. Sourced, in the build root; needs die.

# shellcheck shell=sh
# linux_version: PACKAGE VERSION
linux_version() {
    linux_kver=$(cat /opt/linux/version)
    linux_package=linux-source-$(echo "$linux_kver" | cut -d. -f1,2)
    linux_found=$(apt-cache madison "$linux_package" | awk '{ print $3 }' | grep "^${linux_kver%%[+-]*}-" | head -n 1)
    [ -n "$linux_found" ] || die "the mirror has no $linux_package for $linux_kver; './lend clean root' fetches a newer kernel"
    echo "$linux_package $linux_found"
}

# newest_linux: "PACKAGE VERSION" of the newest that apt knows
newest_linux() {
    apt-cache search --names-only '^linux-source-[0-9.]*$' | cut -d' ' -f1 | sort -V | tail -n 1 | while read -r linux_package; do
        echo "$linux_package $(apt-cache madison "$linux_package" | awk 'NR == 1 { print $3 }')"
    done
}

# linux_xen TREE DIR [with]: in DIR, of a kernel with the options of the lane torture's, what has to do with Xen; with the driver
linux_xen() {
    grep -v XEN_LEND "$TOP/configs/debugkernel.config" >"$2/../linux.config"
    linux_make="nice make -C $1 O=$2 ARCH=x86_64"
    $linux_make KCONFIG_ALLCONFIG="$2/../linux.config" allnoconfig || return 1
    [ -z "${3:-}" ] || {
        echo CONFIG_XEN_LEND=y >>"$2/.config"
        $linux_make olddefconfig && grep -qx CONFIG_XEN_LEND=y "$2/.config" || return 1
    }
    $linux_make -j"$LEND_JOBS" W=1 drivers/xen/
}

# unpack_linux "PACKAGE VERSION" DIR: into the new directory DIR
unpack_linux() {
    linux_deb=$(mktemp -d "$LEND_CACHE/tmp/linux-XXXXXX") || return 1
    mkdir -p "$2"
    ( cd "$linux_deb" && apt-get -q -o APT::Sandbox::User=root download "${1% *}=${1#* }" >&2 ) &&
        dpkg-deb --fsys-tarfile "$linux_deb"/*.deb | tar -xO --wildcards './usr/src/linux-source-*.tar.xz' | xz -dc |
        tar -x --strip-components=1 --no-same-owner -C "$2"
    linux_rc=$?
    rm -rf "$linux_deb"
    return $linux_rc
}
