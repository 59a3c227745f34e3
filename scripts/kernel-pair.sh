#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# kernel-pair.sh FLAVOUR: downloads Debian's newest kernel that is whole: image and headers of one version, with what the headers need.
# A mirror in the middle of an update may lack one of them; then it is the version before. The packages are left in the current
# directory; prints the version. Runs in the build root while that is made, with apt's index there.
set -u

flavour=$1

# candidates: versions of which the index has both, the newest first
candidates() {
    apt-cache pkgnames linux-image- | sed -n "s/^linux-image-\([0-9][0-9.]*+deb[0-9]*-$flavour\)\$/\1/p" | sort -rV
}

# version_of PACKAGE: the one that apt would take
version_of() { apt-cache policy "$1" | sed -n 's/^ *Candidate: \([0-9].*\)/\1/p'; }

# pair VERSION: packages of the pair; nothing if they are not of one source
pair() {
    image=$(version_of "linux-image-$1") headers=$(version_of "linux-headers-$1")
    [ -n "$image" ] && [ "$image" = "$headers" ] || return 1
    echo "linux-image-$1" "linux-headers-$1"
    apt-cache depends --important "linux-headers-$1" | sed -n 's/^ *Depends: \(linux-\(headers\|kbuild\)-[^ ]*\)$/\1/p'
}

for version in $(candidates); do
    packages=$(pair "$version") || { echo "kernel $version: the index has no image and headers of one version" >&2; continue; }
    # shellcheck disable=SC2086
    if apt-get -q -o APT::Sandbox::User=root -o Acquire::Retries=2 download $packages >&2; then
        echo "$version"
        exit 0
    fi
    echo "kernel $version: the mirror does not have all of it" >&2
    rm -f ./linux-*.deb
done
echo "lend: the mirror has no kernel of which image and headers are there" >&2
exit 1
