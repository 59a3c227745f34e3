#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# fetch-checkpatch.sh DIR: checkpatch.pl, and what it reads, of Debian's kernel source. In the build root.
set -eu

mkdir -p "$1"
cd "$1"
[ ! -e checkpatch.pl ] || exit 0
package=$(apt-cache depends linux-source | sed -n 's/^ *Depends: //p' | head -n 1)
apt-get -q -o APT::Sandbox::User=root download "$package" >&2
dpkg-deb --fsys-tarfile "$package"_*.deb | tar -xO --wildcards './usr/src/linux-source-*.tar.xz' | xz -dc |
    tar -x --strip-components=2 --wildcards '*/scripts/spelling.txt' '*/scripts/const_structs.checkpatch' '*/scripts/checkpatch.pl'
rm -f ./*.deb
