# SPDX-License-Identifier: GPL-2.0-or-later
# What the host must be and have: Debian 12 or 13 on x86-64, root, space, mmdebstrap, a mirror.
# Sourced by ./lend; nothing else is installed on the host, all building happens in a Debian root.

# shellcheck shell=sh
need_root() {
    [ "$(id -u)" = 0 ] && return
    command -v sudo >/dev/null || die "needs root (to make and enter a Debian root), and there is no sudo here"
    exec sudo env LEND_CACHE="$LEND_CACHE" LEND_JOBS="$LEND_JOBS" LEND_MIRROR="${LEND_MIRROR:-}" \
        LEND_SNAPSHOT="${LEND_SNAPSHOT:-}" LEND_SOURCES="${LEND_SOURCES:-}" TERM="${TERM:-dumb}" "$TOP/lend" "$@"
}

check_host() { check_system; check_sources; check_cache; check_namespace; }

check_system() {
    [ "$(uname -m)" = x86_64 ] || die "needs an x86-64 machine, this is $(uname -m)"
    host_id=$(. /etc/os-release 2>/dev/null && printf '%s %s' "${ID:-unknown}" "${VERSION_ID:-}") || host_id=unknown
    case $host_id in
        'debian 12'|'debian 13') ;;
        *) die "needs Debian 12 or 13, this is '$host_id'" ;;
    esac
}
check_sources() {
    folders | while read -r host_folder; do
        [ -d "$host_folder" ] || die "LEND_SOURCES: there is no folder $host_folder"
    done || exit 1
}
check_cache() {
    mkdir -p "$LEND_CACHE" 2>/dev/null && [ -w "$LEND_CACHE" ] ||
        die "cannot write the cache $LEND_CACHE; name another place with LEND_CACHE"
}
check_namespace() {
    unshare -m true 2>/dev/null || die "cannot make a mount namespace here; in a container, it needs CAP_SYS_ADMIN"
}

free_space() { df -Pm "$LEND_CACHE" | awk 'NR == 2 { print $4 }'; }

# need_space MIB: called before a build from scratch
need_space() {
    have=$(free_space)
    [ "$have" -ge "$1" ] ||
        die "needs $1 MiB free below $LEND_CACHE, there are $have; free some, or put the cache elsewhere with LEND_CACHE"
}

have_host_packages() {
    command -v mmdebstrap >/dev/null && command -v mount >/dev/null && [ -e /usr/share/keyrings/debian-archive-keyring.gpg ]
}

host_packages() {
    ! have_host_packages || return 0
    step host "installing mmdebstrap and what it needs on the host" sh -ec '
        apt-get update
        DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
            mmdebstrap mount debian-archive-keyring ca-certificates'
}

# mirror: the Debian mirror, from LEND_MIRROR or else from the configuration of the host's apt
mirror() {
    if [ -n "${LEND_MIRROR:-}" ]; then printf '%s\n' "$LEND_MIRROR"; return; fi
    host_mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' \
        'Component: main' 2>/dev/null | head -n 1)
    [ -n "$host_mirror" ] || die "the host's apt knows no Debian mirror; run 'apt-get update', or set LEND_MIRROR to a mirror's URI"
    printf '%s\n' "$host_mirror"
}

# check_mirror: does it answer, and have the suite? Says which state of it
check_mirror() {
    check_uri=$(mirror) || exit 1
    check_tmp=$(mktemp -d)
    "$APT_HELPER" -q -o APT::Sandbox::User=root -o Acquire::Retries=1 -o Acquire::http::Timeout=10 -o Acquire::https::Timeout=10 \
        download-file "${check_uri%/}/dists/$SUITE/InRelease" "$check_tmp/release" >"$check_tmp/log" 2>&1 &&
        check_rc=0 || check_rc=1
    check_why=$(sed -n 's/^E: Failed to fetch [^ ]* *//p' "$check_tmp/log" | head -n 1)
    check_date=$(sed -n 's/^Date: //p' "$check_tmp/release" 2>/dev/null | head -n 1)
    rm -rf "$check_tmp"
    [ $check_rc = 0 ] ||
        die "the Debian mirror ${check_uri%/} has no dists/$SUITE/InRelease: ${check_why:-no answer};" \
            "check the network, or name another mirror with LEND_MIRROR"
    echo "${check_uri%/}, $SUITE of $check_date"
}
