# SPDX-License-Identifier: GPL-2.0-or-later
# Enters the build root: a private mount namespace and chroot, which also works in a container that has CAP_SYS_ADMIN.
# Sourced by ./lend.

# shellcheck shell=sh
# root_id: what is in the root, to the version; part of the key of all that is built in it
root_id() { cat "$(root_dir)/opt/root-id"; }

# in_root CMD...: run CMD in the build root; the clone (read-only) and the cache have the same paths in it
in_root() {
    [ -e "$(root_dir)" ] || die "no build root"
    # shellcheck disable=SC2016
    unshare -m --propagation private sh -ec '
        root=$1 top=$2 cache=$3 jobs=$4 seed=$5 seconds=$6 folders=$7; shift 7
        mkdir -p "$root$top" "$root$cache"
        mount --bind "$root" "$root"
        mount --rbind /proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount --bind "$top" "$root$top"
        mount -o remount,bind,ro "$root$top"
        mount --bind "$cache" "$root$cache"
        (IFS=:; for folder in $folders; do
            mkdir -p "$root$folder"; mount --bind "$folder" "$root$folder"; mount -o remount,bind,ro "$root$folder"
        done)
        cp /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || :
        exec chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}" \
            PATH=/usr/lib/ccache:/usr/sbin:/usr/bin:/sbin:/bin TOP="$top" LEND_CACHE="$cache" \
            CCACHE_DIR="$cache/ccache" CCACHE_MAXSIZE=2G LEND_JOBS="$jobs" LEND_SOURCES="$folders" LEND_SEED="$seed" \
            LEND_TORTURE_SECONDS="$seconds" "$@"
    ' in_root "$(root_dir)" "$TOP" "$LEND_CACHE" "$LEND_JOBS" "${LEND_SEED:-}" "${LEND_TORTURE_SECONDS:-}" \
        "${LEND_SOURCES:-}" "$@"
}

# root_add PACKAGE...: what only some lanes want, installed into the build root when they run;
# it changes nothing that is built there
root_add() {
    # shellcheck disable=SC2016
    if ! in_root sh -c 'dpkg -s "$@" 2>/dev/null | grep -c "^Status: install ok installed" | grep -qx $#' root_add "$@"; then
        # the root's index may be older than the mirror's last update
        with_lock root step root-add "adding $* to the build root" in_root env DEBIAN_FRONTEND=noninteractive sh -c '
            add() { apt-get -q -y --no-install-recommends -o APT::Sandbox::User=root install "$@"; }
            add "$@" || { apt-get -q -o APT::Sandbox::User=root update && add "$@"; }' root_add "$@"
    fi
}
