#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# kernel-pair.sh FLAVOUR [headers]: downloads Debian's newest kernel that is whole: image, modules and headers of one version, with
# what the headers need; or its headers alone. (From 7.3 on the image is in several packages.) A mirror in the middle of an update
# may lack one of them; then it is the version before. The packages are left in the current directory; prints the version. Runs in
# the build root, with the apt of APT_CONFIG.
set -u

flavour=$1 only=${2:-}

# candidates: versions of which the index has an image, the newest first
candidates() {
    apt-cache pkgnames linux-image- | sed -n "s/^linux-image-\([0-9][0-9.]*+deb[0-9]*-$flavour\)\$/\1/p" | sort -rV
}

# version_of PACKAGE: the one that apt would take
version_of() { apt-cache policy "$1" | sed -n 's/^ *Candidate: \([0-9].*\)/\1/p'; }

# needs PACKAGE KIND: its dependencies of that kind
needs() { apt-cache depends --important "$1" | sed -n "s/^ *Depends: \(linux-\($2\)-[0-9][^ ]*\)\$/\1/p"; }

# pair VERSION: its packages; nothing if they are not of one source
pair() {
    image=$(version_of "linux-image-$1") headers=$(version_of "linux-headers-$1")
    [ -n "$image" ] && [ "$image" = "$headers" ] || return 1
    echo "linux-headers-$1"
    needs "linux-headers-$1" 'headers\|kbuild'
    [ -n "$only" ] || { echo "linux-image-$1"; needs "linux-image-$1" 'modules\|binary\|base'; }
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
