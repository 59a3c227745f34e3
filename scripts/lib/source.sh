# SPDX-License-Identifier: GPL-2.0-or-later
# The sources that configs/sources pins: where they are looked for, what is taken in place of one that no place has.
# Sourced by ./lend and by the build-*.sh scripts; what fetches runs in the build root.
#
# A record is a version and its files, as in configs/sources:
#   VERSION
#   SHA256 SIZE PLACE
# The files of the version that is taken lie in LEND_CACHE/src under their own names.

# shellcheck shell=sh
SOURCES_FILE=${SOURCES_FILE:-$TOP/configs/sources}
APT_HELPER=${APT_HELPER:-/usr/lib/apt/apt-helper}
# a place that gives less than LEND_SLOW_BYTES in LEND_SLOW_SECONDS is given up
LEND_SLOW_SECONDS=${LEND_SLOW_SECONDS:-30}
LEND_SLOW_BYTES=${LEND_SLOW_BYTES:-200000}

# ---- what is wanted, what is taken ------------------------------------------

# pinned_record NAME [N]: the Nth version of it in configs/sources
pinned_record() {
    awk -v name="$1" -v nth="${2:-1}" '
        $1 == "source" { on = ($2 == name && ++count[name] == nth); if (on) print $3 }
        on && NF == 3 && $1 != "source" && $1 !~ /^#/' "$SOURCES_FILE"
}

# source_wanted NAME: a hash of the wanted version
source_wanted() { pinned_record "$1" | sha256sum | cut -c1-16; }

# source_instead NAME: the file that says what is taken in place of the wanted version; of use as long as that one is wanted
source_instead() { printf '%s\n' "$LEND_CACHE/src/$1.instead-of-$(source_wanted "$1")"; }

# source_record NAME: the record that is taken
source_record() {
    if [ -e "$(source_instead "$1")" ]; then cat "$(source_instead "$1")"; else pinned_record "$1"; fi
}

# source_id NAME: a hash of what is taken, for the keys of all that is made of it
source_id() { source_record "$1" | sha256sum | cut -c1-16; }

# source_note NAME: one line if that is not what configs/sources wants
source_note() {
    [ ! -e "$(source_instead "$1")" ] ||
        say "note: $1 $(pinned_record "$1" | head -n 1) is in no place;" \
            "$(head -n 1 "$(source_instead "$1")") is built, which our patches apply to"
}

# ---- getting files ----------------------------------------------------------

# good_file SHA256 SIZE FILE
good_file() {
    [ -f "$3" ] && [ "$(stat -c %s "$3")" = "$2" ] && printf '%s  %s\n' "$1" "$3" | sha256sum -c --status 2>/dev/null
}

# snapshot_uri TIME: Debian's archive at that time, as apt knows it; nothing if it does not
snapshot_uri() {
    snapshot=${LEND_SNAPSHOT:-$(apt-config dump --format '%v%n' Acquire::Snapshots::URI::Origin::Debian 2>/dev/null | head -n 1)}
    printf '%s\n' "$snapshot" | sed "s/@SNAPSHOTID@/$1/; s,/*\$,,"
}

# download URI FILE SHA256 SIZE: with an eye on how fast it comes
download() {
    rm -f "$2"
    "$APT_HELPER" -q -o APT::Sandbox::User=root -o Acquire::Retries=2 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 \
        download-file "$1" "$2" "SHA256:$3" >"$2.log" 2>&1 &
    download_pid=$! download_had=0 download_rc=0 download_tick=0
    while kill -0 $download_pid 2>/dev/null; do
        sleep 0.2
        download_tick=$((download_tick + 1))
        [ $((download_tick % (LEND_SLOW_SECONDS * 5))) = 0 ] || continue
        download_has=$(stat -c %s "$2" 2>/dev/null || echo 0)
        echo "   ${2##*/}: $((download_has / 1024)) of $(($4 / 1024)) KiB"
        [ $((download_has - download_had)) -ge "$LEND_SLOW_BYTES" ] || { kill $download_pid 2>/dev/null; download_rc=slow; }
        download_had=$download_has
    done
    wait $download_pid || download_rc=${download_rc#0}failed
    case $download_rc in
        0) good_file "$3" "$4" "$2" || download_rc="wrong checksum" ;;
        slow*) download_rc="slower than $((LEND_SLOW_BYTES / LEND_SLOW_SECONDS)) bytes a second" ;;
        *) download_rc=$(sed -n 's/^E: Failed to fetch [^ ]* *//p' "$2.log" | head -n 1)
           [ -n "$download_rc" ] || download_rc=$(tail -n 1 "$2.log") ;;
    esac
    rm -f "$2.log" "$2.FAILED"
    [ "$download_rc" = 0 ] || { rm -f "$2"; echo "   $1: $download_rc"; return 1; }
}

# folders: what LEND_SOURCES names, one a line
folders() { printf '%s\n' "${LEND_SOURCES:-}" | tr : '\n' | grep . || :; }

# from_folder NAME FILE SHA256 SIZE
from_folder() {
    [ -n "${LEND_SOURCES:-}" ] || { echo "   LEND_SOURCES is not set"; return 1; }
    folders | while read -r folder; do
        [ -f "$folder/$1" ] || { echo "   $folder: has no $1"; continue; }
        good_file "$3" "$4" "$folder/$1" || { echo "   $folder/$1: wrong checksum"; continue; }
        cp "$folder/$1" "$2"
    done
    [ -f "$2" ]
}

# get_file SHA256 SIZE PLACE: into LEND_CACHE/src, from the first place that has it
get_file() {
    get_name=${3##*/}
    get_dest=$LEND_CACHE/src/$get_name
    ! good_file "$1" "$2" "$get_dest" || return 0
    rm -f "$get_dest"
    echo "$get_name: $(($2 / 1024)) KiB"
    for place in $(sed -n 's/^places //p' "$SOURCES_FILE"); do
        case $place in
            mirror) download "${LEND_MIRROR%/}/$3" "$get_dest.part" "$1" "$2" ;;
            snapshot=*) get_uri=$(snapshot_uri "${place#*=}")
                        if [ -n "$get_uri" ]; then download "$get_uri/$3" "$get_dest.part" "$1" "$2"; else false; fi ;;
            folder) from_folder "$get_name" "$get_dest.part" "$1" "$2" ;;
            *) die "$SOURCES_FILE: no such place: '$place'" ;;
        esac || continue
        mv "$get_dest.part" "$get_dest"
        echo "   have it ($place)"
        return 0
    done
    return 1
}

# get_record: all files of the record on the input; else 1, and get_missing is the first that is in no place
get_record() {
    get_missing=
    read -r get_version || return 1
    while read -r get_sha get_size get_place; do
        get_file "$get_sha" "$get_size" "$get_place" </dev/null || { get_missing="${get_place##*/} $get_sha"; return 1; }
    done
}

# ---- what is taken instead --------------------------------------------------

# index_record NAME VERSION: of the signed index
index_record() {
    # records are apart by empty lines, their fields come in any order
    apt-cache showsrc --only-source "$1" | awk -v want="$2" '
        function put(  i) {
            if (version == want && !done++) { print want; for (i = 1; i <= n; i++) print sum[i], size[i], dir "/" file[i] }
            n = 0
        }
        /^$/ { put() }
        /^Version: / { version = $2 }
        /^Directory: / { dir = $2 }
        /^[^ ]/ { sums = (/^Checksums-Sha256:/) }
        sums && $3 ~ /\.tar\.[a-z0-9]*$/ { n++; sum[n] = $1; size[n] = $2; file[n] = $3 }
        END { put() }'
}
index_versions() { apt-cache showsrc --only-source "$1" 2>/dev/null | sed -n 's/^Version: //p' | sort -uVr; }

# git_record NAME: the tip of the stable branch in a git directory that LEND_SOURCES names, as a tarball
git_record() {
    case $1 in
        xen) git_refs="stable-$XEN_SERIES staging-$XEN_SERIES" git_file=xen/common/domctl.c ;;
        qemu) git_refs="stable-$QEMU_SERIES v$QEMU_SERIES.0" git_file=accel/xen/xen-all.c ;;
        *) return 1 ;;
    esac
    folders | while read -r folder; do
        for ref in $git_refs; do
            git_find "$folder" "$ref" "$git_file" || continue
            git_tar=$1_git-$git_commit.orig.tar.gz
            git --git-dir="$git_found" archive --format=tar --prefix="$1/" "$git_commit" | gzip -1n >"$LEND_CACHE/src/$git_tar"
            echo "$ref-$(echo "$git_commit" | cut -c1-12)"
            echo "$(sha256sum <"$LEND_CACHE/src/$git_tar" | cut -d' ' -f1) $(stat -c %s "$LEND_CACHE/src/$git_tar") $git_tar"
            return
        done
    done
}

# git_find FOLDER REF FILE: sets git_found and git_commit, if the folder is a git directory with that ref, and the file in it
git_find() {
    git_found=$1
    [ ! -e "$1/.git" ] || git_found=$1/.git
    git_commit=$(git --git-dir="$git_found" rev-parse -q --verify "$2^{commit}" 2>/dev/null ||
                 git --git-dir="$git_found" rev-parse -q --verify "origin/$2^{commit}" 2>/dev/null) &&
        git --git-dir="$git_found" cat-file -e "$git_commit:$3" 2>/dev/null
}

# other_records NAME: calls "try NAME FILE" with one record after another, until one is taken
other_records() {
    other=$LEND_CACHE/tmp/$1.record
    n=2
    while pinned_record "$1" $n >"$other" && [ -s "$other" ]; do
        ! try_record "$1" "$other" || return 0
        n=$((n + 1))
    done
    for version in $(index_versions "$1"); do
        ! grep -qxF "source $1 $version" "$SOURCES_FILE" || continue
        index_record "$1" "$version" >"$other"
        ! try_record "$1" "$other" || return 0
    done
    git_record "$1" >"$other"
    [ -s "$other" ] && try_record "$1" "$other"
}

# try_record NAME FILE: take it, if it can be had and our patches apply to it
try_record() {
    echo "$1 $(head -n 1 "$2"):"
    get_record <"$2" || return 1
    try_tree=$LEND_CACHE/tmp/$1.try
    if ( unpack_record "$1" "$try_tree" <"$2" && "overlay_$1" "$try_tree" ) >"$try_tree.log" 2>&1; then
        rm -rf "$try_tree" "$try_tree.log"
        mv "$2" "$(source_instead "$1")"
    else
        tail -n 3 "$try_tree.log" | sed 's/^/   /'
        rm -rf "$try_tree" "$try_tree.log"
        return 1
    fi
}

# choose_source NAME: fetch the wanted version, or find one to be taken in its place.
# For overlay_NAME, scripts/lib/overlay.sh is wanted.
choose_source() {
    mkdir -p "$LEND_CACHE/src" "$LEND_CACHE/tmp"
    rm -f "$LEND_CACHE/src/$1".instead-of-*
    [ -n "$(pinned_record "$1")" ] || die "configs/sources has no source $1"
    pinned_record "$1" >"$LEND_CACHE/tmp/$1.wanted"
    echo "$1 $(head -n 1 "$LEND_CACHE/tmp/$1.wanted"):"
    get_record <"$LEND_CACHE/tmp/$1.wanted" && return
    wanted_missing=$get_missing
    other_records "$1" ||
        die "no place has ${wanted_missing% *} (SHA-256 ${wanted_missing#* }), nor a version in its stead;" \
            "put it into a folder and name that: LEND_SOURCES=/the/folder"
    source_note "$1"
}

# ---- trees ------------------------------------------------------------------

# unpack_record NAME DIR: the files of the record on the input; Debian's own patches for QEMU are applied, whose tree lacks some
# blobs and tests and builds with them only
unpack_record() {
    rm -rf "$2"; mkdir -p "$2"
    read -r unpack_version
    unpack_debian=
    while read -r _ _ unpack_place; do
        unpack_file=$LEND_CACHE/src/${unpack_place##*/}
        case $unpack_file in
            *.orig.tar.*) tar -xf "$unpack_file" -C "$2" --strip-components=1 --no-same-owner || return 1 ;;
            *.debian.tar.*) unpack_debian=$unpack_file ;;
        esac
    done
    [ -n "$unpack_debian" ] || return 0
    tar -xf "$unpack_debian" -C "$2" --no-same-owner || return 1
    [ "$1" = qemu ] || return 0
    sed 's/#.*//' "$2/debian/patches/series" | while read -r unpack_patch _; do
        [ -z "$unpack_patch" ] || apply_patches "$2" "$2/debian/patches/$unpack_patch"
    done
}

# unpack_source NAME DIR: the version that is taken, which choose_source has fetched
unpack_source() {
    source_record "$1" >"$LEND_CACHE/tmp/$1.unpack"
    unpack_record "$1" "$2.part" <"$LEND_CACHE/tmp/$1.unpack" || die "cannot unpack $1"
    rm -rf "$2"; mv "$2.part" "$2"
}

# pristine_source NAME: the directory with the unpacked version that is taken; made if it is not there
pristine_source() {
    pristine=$LEND_CACHE/trees/$1/pristine-$(source_id "$1")
    [ -e "$pristine" ] || with_lock "pristine-$1" make_pristine "$1" "$pristine" >&2
    printf '%s\n' "$pristine"
}
make_pristine() {
    [ ! -e "$2" ] || return 0
    mkdir -p "$LEND_CACHE/trees/$1" "$LEND_CACHE/tmp"
    rm -rf "$LEND_CACHE/trees/$1"/pristine-*
    unpack_source "$1" "$2"
}

# apply_patches TREE PATCH...: each must apply without rejects
apply_patches() {
    patch_tree=$1; shift
    for one; do
        [ -e "$one" ] || continue
        # those that only add files of ours
        grep -q '^diff --git' "$one" || continue
        echo "applying ${one##*/}"
        patch -d "$patch_tree" -p1 --forward --fuzz=2 --no-backup-if-mismatch <"$one" || die "${one##*/} does not apply"
    done
}
