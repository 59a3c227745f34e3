#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# fetch-headers.sh DIR: headers of the newest kernel in Debian's backports, unpacked below DIR; prints their version. In the build root.
set -eu
. "$TOP/scripts/common.sh"

dir=$1
mirror=$(sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' /etc/apt/sources.list | head -n 1)
mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
echo "deb $mirror $SUITE-backports main" >"$dir/sources"
apt_() {
    tool=$1; shift
    "apt-$tool" -q -o APT::Sandbox::User=root -o Dir::Etc::sourcelist="$dir/sources" -o Dir::Etc::sourceparts=- \
        -o Dir::State::lists="$dir/lists" -o Dir::Cache="$dir/cache" "$@"
}
depends() { apt_ cache depends "$1" | sed -n 's/^ *Depends: *\(linux-\(headers\|kbuild\)-[0-9].*\)/\1/p'; }

apt_ get update >&2
headers=$(depends linux-headers-amd64 | head -n 1)
[ -n "$headers" ] || die "no kernel headers in $SUITE-backports"
version=${headers#linux-headers-}
if [ ! -e "$dir/$version/complete" ]; then
    rm -rf "${dir:?}/$version"
    mkdir -p "$dir/$version"
    ( cd "$dir/$version"
      # shellcheck disable=SC2046
      apt_ get download "$headers" $(depends "$headers") >&2
      for deb in *.deb; do dpkg-deb -x "$deb" .; rm "$deb"; done
      touch complete )
fi
echo "$version"
