# SPDX-License-Identifier: GPL-2.0-or-later
# './lend doctor': what is missing on this machine, before it costs time. Changes nothing, but makes LEND_CACHE.
# Sourced by ./lend.

# shellcheck shell=sh
# doctor_asks NAME CHECK...: a check ends with 0 and may say something, or says in one line what is wrong
doctor_asks() {
    doctor_name=$1; shift
    if doctor_says=$( ( "$@" ) 2>&1 ); then
        printf 'ok    %-10s %s\n' "$doctor_name" "$doctor_says"
    else
        printf 'WRONG %-10s %s\n' "$doctor_name" "$(printf '%s\n' "$doctor_says" | tail -n 1 | sed 's/^lend: //')"
        doctor_rc=1
    fi
}

doctor_system() { check_system; ( . /etc/os-release; echo "$PRETTY_NAME, $(uname -m)" ); }

doctor_root() {
    if [ "$(id -u)" = 0 ]; then echo "root"; return; fi
    command -v sudo >/dev/null || die "needs root (to make and enter a Debian root), and there is no sudo here"
    echo "by sudo"
}

doctor_namespace() {
    [ "$(id -u)" = 0 ] || { echo "to be seen as root"; return; }
    check_namespace; echo "mount namespaces"
}

doctor_machine() {
    doctor_mib=$(awk '/^MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)
    [ "$doctor_mib" -ge 5500 ] || die "needs 5500 MiB of memory for the emulated machine, $doctor_mib are available"
    echo "$(nproc) processors, $doctor_mib MiB of memory available"
}

doctor_disk() {
    check_cache
    doctor_free=$(free_space)
    doctor_need=$(space_to_come)
    [ "$doctor_free" -ge "$doctor_need" ] ||
        die "needs $doctor_need MiB free below $LEND_CACHE, there are $doctor_free;" \
            "free some, or put the cache elsewhere with LEND_CACHE"
    echo "$doctor_free MiB free below $LEND_CACHE, $doctor_need wanted for what is to come"
}

doctor_folders() { check_sources; echo "${LEND_SOURCES:-none named (LEND_SOURCES)}"; }

doctor_tools() {
    ! have_host_packages || { echo "mmdebstrap, mount, Debian's keys"; return 0; }
    echo "mmdebstrap or the like will be installed"
}

doctor_source() {
    if [ -e "$(source_instead "$1")" ]; then source_note "$1"; return; fi
    pinned_record "$1" | tail -n +2 | while read -r sha size place; do
        ! good_file "$sha" "$size" "$LEND_CACHE/src/${place##*/}" || continue
        echo "$((size / 1024)) KiB"
    done | awk -v version="$(pinned_record "$1" | head -n 1)" '
        { kib += $1 } END { print version (kib ? ", " kib " KiB to fetch" : ", fetched") }'
}

doctor_built() {
    doctor_missing=
    if [ ! -e "$(root_dir)" ]; then doctor_missing=" all"; else
        for part in $PARTS; do have_part "$part" || doctor_missing="$doctor_missing $part"; done
    fi
    if [ -n "$doctor_missing" ]; then echo "to be built:$doctor_missing"; else echo "all parts are there"; fi
}

doctor() {
    doctor_rc=0
    doctor_asks system doctor_system
    doctor_asks root doctor_root
    doctor_asks namespace doctor_namespace
    doctor_asks machine doctor_machine
    doctor_asks disk doctor_disk
    doctor_asks tools doctor_tools
    doctor_asks mirror check_mirror
    doctor_asks folders doctor_folders
    doctor_asks xen doctor_source xen
    doctor_asks qemu doctor_source qemu
    doctor_asks parts doctor_built
    [ $doctor_rc != 0 ] || echo "ready: ./lend demo"
    return $doctor_rc
}
