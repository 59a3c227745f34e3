#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# fetch-kernel-files.sh DIR: of Debian's kernel source, checkpatch.pl with what it reads, kernel-doc, what a kselftest is built
# with, and the files linux-patches/ change. In the build root.
set -eu

files="scripts/spelling.txt scripts/const_structs.checkpatch scripts/checkpatch.pl scripts/kernel-doc
    tools/testing/selftests/lib.mk tools/testing/selftests/kselftest.h tools/testing/selftests/kselftest_harness.h
    $(sed -n 's|^--- a/||p' "$TOP"/linux-patches/*.patch | sort -u)"

# what was fetched for a list that was shorter is no use
have_all() {
    [ -e "$1/complete" ] || return 1
    for file in $files; do [ -e "$1/$file" ] || return 1; done
}

mkdir -p "${1%/*}"
exec 9>"$1.lock"
flock 9
! have_all "$1" || exit 0
rm -rf "$1.new"
mkdir "$1.new"
cd "$1.new"
package=$(apt-cache depends linux-source | sed -n 's/^ *Depends: //p' | head -n 1)
apt-get -q -o APT::Sandbox::User=root download "$package" >&2
# shellcheck disable=SC2046,SC2086
dpkg-deb --fsys-tarfile "$package"_*.deb | tar -xO --wildcards './usr/src/linux-source-*.tar.xz' | xz -dc |
    tar -x --strip-components=1 --wildcards $(printf 'linux-source-*/%s ' $files)
rm -f ./*.deb
touch complete
have_all .
cd ..
rm -rf "$1"
mv "$1.new" "$1"
