# SPDX-License-Identifier: GPL-2.0-or-later
# What other suites of Debian have, without a change to the build root: an apt of its own per suite, and kernels from it.
# Sourced, in the build root.

# shellcheck shell=sh
# root_mirror: the mirror that the build root was made from
root_mirror() { sed -n 's|^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*|\2|p' /etc/apt/sources.list | head -n 1; }

# suite_apt SUITE: apt knows that suite alone from here on (APT_CONFIG); its state is kept in LEND_CACHE/src/suites
suite_apt() {
    suite_dir=$LEND_CACHE/src/suites/$1
    suite_mirror=$(root_mirror)
    mkdir -p "$suite_dir/lists/partial" "$suite_dir/cache/archives/partial" "$suite_dir/empty"
    printf '%s %s %s main\n' deb "$suite_mirror" "$1" deb-src "$suite_mirror" "$1" >"$suite_dir/sources"
    : >"$suite_dir/status"
    cat >"$suite_dir/conf" <<CONF
Dir::Etc::sourcelist "$suite_dir/sources"; Dir::Etc::sourceparts "$suite_dir/empty"; Dir::State::lists "$suite_dir/lists";
Dir::State::status "$suite_dir/status"; Dir::Cache "$suite_dir/cache"; APT::Sandbox::User "root";
# a mirror may follow a suite slowly; what it has is signed all the same
Acquire::Check-Valid-Until "false";
CONF
    export APT_CONFIG="$suite_dir/conf"
    apt-get -q update >&2
}

# suite_kernel SUITE [headers]: its newest whole kernel, unpacked; prints the directory. There, linux is for /opt/linux (image and
# modules), the rest is as packages have it
suite_kernel() (
    suite_apt "$1" || exit 1
    suite_kind=$suite_dir/${2:-whole} suite_got=$suite_dir/got-${2:-whole}
    rm -rf "$suite_got"; mkdir -p "$suite_got"; cd "$suite_got" || exit 1
    suite_version=$(sh "$TOP/scripts/kernel-pair.sh" amd64 "${2:-}") || exit 1
    suite_kernel=$suite_kind/$suite_version
    if [ ! -e "$suite_kernel/complete" ]; then
        rm -rf "$suite_kind"; mkdir -p "$suite_kernel/linux"
        for deb in linux-*.deb; do
            case $deb in
                linux-image-*|linux-modules-*|linux-binary-*|linux-base-*) dpkg-deb -x "$deb" "$suite_kernel/linux" ;;
                *) dpkg-deb -x "$deb" "$suite_kernel" ;;
            esac || exit 1
        done
        cd "$suite_kernel/linux" || exit 1
        echo "$suite_version" >version
        [ -e lib ] || [ ! -e usr/lib/modules ] || { mkdir lib; mv usr/lib/modules lib/; }
        [ -e boot ] || [ ! -e "lib/modules/$suite_version/vmlinuz" ] || {
            mkdir boot; ln "lib/modules/$suite_version/vmlinuz" "boot/vmlinuz-$suite_version"; }
        [ ! -e lib ] || depmod -b . "$suite_version" || exit 1
        touch ../complete
    fi
    rm -rf "$suite_got"
    echo "$suite_kernel"
)

# with_kernel DIRECTORY CMD...: CMD finds that kernel in the places where the build root has its own
with_kernel() {
    # shellcheck disable=SC2016
    unshare -m --propagation private sh -ec '
        dir=$1; shift
        [ ! -e "$dir/linux/lib" ] || mount --bind "$dir/linux" /opt/linux
        for kbuild in "$dir"/usr/lib/linux-kbuild-*; do
            mkdir -p "/usr/lib/${kbuild##*/}"
            mount --bind "$kbuild" "/usr/lib/${kbuild##*/}"
        done
        mount --bind "$dir/usr/src" /usr/src
        exec "$@"' with_kernel "$@"
}
