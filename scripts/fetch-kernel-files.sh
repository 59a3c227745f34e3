#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# fetch-kernel-files.sh DIR: of Debian's kernel source, checkpatch.pl with what it reads, and the files linux-patches/ change.
# In the build root.
set -eu

mkdir -p "$1"
cd "$1"
[ ! -e complete ] || exit 0
rm -rf ./*
package=$(apt-cache depends linux-source | sed -n 's/^ *Depends: //p' | head -n 1)
apt-get -q -o APT::Sandbox::User=root download "$package" >&2
# shellcheck disable=SC2046
dpkg-deb --fsys-tarfile "$package"_*.deb | tar -xO --wildcards './usr/src/linux-source-*.tar.xz' | xz -dc |
    tar -x --strip-components=1 --wildcards '*/scripts/spelling.txt' '*/scripts/const_structs.checkpatch' '*/scripts/checkpatch.pl' \
        $(sed -n 's|^--- a/|linux-source-*/|p' "$TOP"/linux-patches/*.patch)
rm -f ./*.deb
touch complete
