# SPDX-License-Identifier: GPL-2.0-or-later
# Makes a Debian root file system in a directory. Sourced by build-dom0.sh and build-guestroot.sh, in the build root.

# shellcheck shell=sh
# debian_tree PACKAGES DIR: the essential packages of $SUITE and those named in the file PACKAGES; no manuals, nothing of apt's
debian_tree() {
    TMPDIR=/tmp mmdebstrap --mode=root --variant=essential --architectures=amd64 \
        --include="$(sed 's/#.*//' "$1" | xargs | tr ' ' ,)" \
        --aptopt='Apt::Install-Recommends "false"' --aptopt='Acquire::Retries "3"' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        "$SUITE" "$2" "deb $LEND_MIRROR $SUITE main"
    rm -rf "$2/var/cache/apt" "$2/var/lib/apt/lists"
}
