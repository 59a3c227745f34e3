# SPDX-License-Identifier: GPL-2.0-or-later
# Debian's source of the kernel that is in the build root. Sourced, in the build root; needs die.

# shellcheck shell=sh
# linux_version: PACKAGE VERSION
linux_version() {
    linux_kver=$(cat /opt/linux/version)
    linux_package=linux-source-$(echo "$linux_kver" | cut -d. -f1,2)
    linux_found=$(apt-cache madison "$linux_package" | awk '{ print $3 }' | grep "^${linux_kver%%[+-]*}-" | head -n 1)
    [ -n "$linux_found" ] || die "the mirror has no $linux_package for $linux_kver; './lend clean root' fetches a newer kernel"
    echo "$linux_package $linux_found"
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
