#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds the .deb files: the hypervisor and QEMU with Debian's packaging of the pinned sources, of which packages/NAME replaces what
# has to differ; the driver for DKMS and the tool. Runs in the build root; $1 is where the result goes.
# packages: debhelper dh-dkms lsb-release libusb-1.0-0-dev libjpeg-dev libspice-server-dev libcap-ng-dev libattr1-dev
set -eu
. "$TOP/scripts/lib/common.sh"
. "$TOP/scripts/lib/source.sh"
. "$TOP/scripts/lib/overlay.sh"

dest=$1
work=$LEND_CACHE/trees/package
revision=$(cat "$TOP/packages/revision")
maintainer="Memory lending for Xen <xen-lend@localhost>"
# ccache has no "cc"
export DEB_BUILD_OPTIONS="parallel=$LEND_JOBS nocheck noautodbgsym" CC=gcc

# tree NAME: the pinned source with Debian's patches and ours
tree() {
    rm -rf "${work:?}/$1"; mkdir -p "$work"
    cp -a "$(pristine_source "$1")" "$work/$1"
    [ "$1" = qemu ] || sed 's/#.*//' "$work/$1/debian/patches/series" | while read -r patch; do
        [ -z "$patch" ] || apply_patches "$work/$1" "$work/$1/debian/patches/$patch"
    done
    ( "overlay_$1" "$work/$1" )
}

# debianize TREE SOURCE VERSION DATE: our packaging over Debian's, if there is one; a new entry in the changelog
debianize() {
    mkdir -p "$1/debian/source"
    [ ! -e "$1/debian/rules" ] || mv "$1/debian/rules" "$1/debian/rules.debian"
    cp "$TOP/packages/${1##*/}/"* "$1/debian/"
    sed -i "s/@maintainer@/$maintainer/" "$1/debian/control"
    touch "$1/debian/changelog"
    { printf '%s (%s) UNRELEASED; urgency=medium\n\n  * Memory lending, built by ./lend package.\n\n -- %s  %s\n\n' \
          "$2" "$3" "$maintainer" "$4"
      cat "$1/debian/changelog"; } >"$1/debian/changelog.new"
    mv "$1/debian/changelog.new" "$1/debian/changelog"
}

# packages TREE: build its .deb files into $dest
packages() {
    ( cd "$1" && nice dpkg-buildpackage -b -uc -us -nc )
    mv "$work"/*.deb "$dest/"
    rm -f "$work"/*.buildinfo "$work"/*.changes
}

of_debian() { dpkg-parsechangelog -l "$work/$1/debian/changelog" -S "$2"; }

# have NAME KEY: take its packages from the last build, if they are made of the same
have() { [ "$(cat "$work/$1.debs/key" 2>/dev/null)" = "$2" ] && cp "$work/$1.debs"/*.deb "$dest/"; }

# for_debian NAME SOURCE KEY: the packages of a pinned source
for_debian() {
    ! have "$1" "$3" || return 0
    tree "$1"
    debianize "$work/$1" "$2" "$(of_debian "$1" Version)+lend$revision" "$(of_debian "$1" Date)"
    packages "$work/$1"
    rm -rf "$work/$1.debs"; mkdir "$work/$1.debs"
    cp "$dest/"*lend*_"$(of_debian "$1" Version | sed 's/^[0-9]*://')"_*.deb "$work/$1.debs/"
    echo "$3" >"$work/$1.debs/key"
}

common="$revision $(cat /opt/root-id) $maintainer"
for_debian xen xen-hypervisor-lend "$(key_of "$common" "$(source_id xen)" scripts/build-package.sh scripts/lib/overlay.sh \
    packages/xen xen-patches xen)"
for_debian qemu qemu-lend "$(key_of "$common" "$(source_id qemu)" scripts/build-package.sh scripts/lib/overlay.sh packages/qemu \
    hw include accel qapi linux/include qemu-patches)"

rm -rf "$work/xen-lend"; mkdir -p "$work/xen-lend/docs"
cp -r "$TOP/linux" "$TOP/tools" "$TOP/examples" "$work/xen-lend/"
# all of them, as they point at each other; what is beside docs/ in a clone is elsewhere in a package
for doc in "$TOP"/docs/*.md; do
    sed -e 's,](\.\./examples/,](examples/,g' -e 's,\[\([^]]*\)\](\.\./[^)]*),\1,g' "$doc" >"$work/xen-lend/docs/${doc##*/}"
done
module=$(sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' "$TOP/tools/dkms.conf")
debianize "$work/xen-lend" xen-lend "$module+lend$revision" "$(of_debian xen Date)"
packages "$work/xen-lend"
