# SPDX-License-Identifier: GPL-2.0-or-later
# './lend package [DIR]': the .deb files in a directory, what they are, and how to install them.
# Sourced by ./lend.

# shellcheck shell=sh
cmd_package() {
    [ $# -le 2 ] || die "usage: ./lend package [DIR]"
    case ${2:-} in -*) die "no option '$2' for package; usage: ./lend package [DIR]" ;; esac
    ready "$@"
    package_dir=${2:-$TOP/build/packages}
    mkdir -p "$package_dir" || die "cannot make $package_dir"
    build_part package
    package_dir=$(cd "$package_dir" && pwd)
    # those of an earlier build; nothing else
    for deb in "$(part_dir package)"/*.deb; do
        name=${deb##*/}
        rm -f "$package_dir/${name%%_*}"_*.deb
        cp "$deb" "$package_dir/"
    done
    [ -z "${SUDO_UID:-}" ] || chown "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$package_dir" "$package_dir"/*.deb
    # shellcheck disable=SC2016
    in_root sh -c 'for deb in "$1"/*.deb; do
            dpkg-deb -W --showformat="\${Package}|\${Version}|" "$deb"; echo "$(($(stat -c %s "$deb") / 1024)) KiB"
        done' package "$(part_dir package)" | awk -F'|' '{ printf "%-32s %-46s %10s\n", $1, $2, $3 }'
    echo
    echo "On a Debian $SUITE with Xen (docs/install.md):"
    echo "    apt install linux-headers-amd64 $package_dir/*.deb"
}
