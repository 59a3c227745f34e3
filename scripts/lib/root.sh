# SPDX-License-Identifier: GPL-2.0-or-later
# The build root: a Debian trixie tree with compilers, the newest whole pair of kernel headers and image, the signed index.
# Sourced by ./lend. All artefacts are built in it, and the outer emulator and the host side of the tests run in it.

# shellcheck shell=sh
root_key() { key_of "$SUITE" configs/root.packages scripts/lib/root.sh scripts/kernel-pair.sh; }
root_dir() { out "root-$(root_key)"; }

build_root() {
    [ -e "$(root_dir)" ] || with_lock root make_root
}

make_root() {
    [ -e "$(root_dir)" ] && return
    need_space "$(part_space root)"
    check_mirror >/dev/null
    root_mirror=$(mirror) || exit 1
    root_tmp=$(new_dir root)
    step root "making the build root (Debian $SUITE)" debootstrap_root
    publish "$root_tmp" "root-$(root_key)"
}

debootstrap_root() {
    # the kernel and its headers are unpacked only: the headers would bring the kernel, and that an initrd for no machine
    # shellcheck disable=SC2016
    TOP=$TOP TMPDIR=$LEND_CACHE/tmp unshare -m mmdebstrap --mode=root --variant=apt --architectures=amd64 \
        --include="$(sed 's/#.*//' "$TOP/configs/root.packages" | xargs | tr ' ' ,)" \
        --aptopt='Apt::Install-Recommends "false"' --aptopt='Acquire::Retries "3"' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --skip=cleanup/apt/lists \
        --customize-hook='cp "$TOP/scripts/kernel-pair.sh" "$1/opt/"; chroot "$1" sh -ec "
            mkdir -p /opt/pair /opt/linux
            cd /opt/pair
            sh ../kernel-pair.sh amd64 >/opt/linux/version
            dpkg-deb -x linux-image-*.deb /opt/linux
            rm linux-image-*.deb
            for deb in linux-*.deb; do dpkg-deb -x \$deb /; done
            cd /opt/linux
            rm -r /opt/pair ../kernel-pair.sh
            [ -d lib ] || { mkdir lib; mv usr/lib/modules lib/; }
            depmod -b /opt/linux \$(cat version)
            { dpkg -l; cat version; } | sha256sum | cut -c1-16 >/opt/root-id"' \
        "$SUITE" "$root_tmp" \
        "deb $root_mirror $SUITE main" "deb-src $root_mirror $SUITE main"
}
