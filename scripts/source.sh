# SPDX-License-Identifier: GPL-2.0-or-later
# Debian's source tarballs of Xen and QEMU: found in the signed Sources index of the build root, fetched by SHA-256.
# Sourced by the build-*.sh scripts, inside the build root.

# shellcheck shell=sh
# source_files NAME: lines "SHA256 DIRECTORY/FILE" of the newest version's tarballs (a .dsc is not needed, some mirrors lack one)
source_files() {
    newest=$(apt-cache showsrc --only-source "$1" | sed -n 's/^Version: //p' | sort -uV | tail -n 1)
    [ -n "$newest" ] || die "the mirror has no source package $1"
    apt-cache showsrc --only-source "$1" | awk -v want="$newest" '
        /^Version: / { on = ($2 == want) }
        on && /^Directory: / { dir = $2 }
        /^[^ ]/ { sums = (/^Checksums-Sha256:/) }
        sums && on && $3 ~ /\.tar\./ { sum[$3] = $1 }
        END { for (f in sum) print sum[f], dir "/" f }' | sort -k2
}

# fetch_source NAME: print the paths of the tarballs, after fetching what is not there yet
fetch_source() {
    mkdir -p "$LEND_CACHE/src"
    source_files "$1" | while read -r sum file; do
        dest=$LEND_CACHE/src/${file##*/}
        if ! printf '%s  %s\n' "$sum" "$dest" | sha256sum -c --status 2>/dev/null; then
            rm -f "$dest"
            /usr/lib/apt/apt-helper download-file "$LEND_MIRROR/$file" "$dest.part" "SHA256:$sum" >&2 ||
                die "the mirror does not give $file (404 or wrong checksum)"
            mv "$dest.part" "$dest"
        fi
        printf '%s\n' "$dest"
    done
}

# unpack_source NAME DIR: the upstream tree with the debian directory in it
unpack_source() {
    rm -rf "$2.part"; mkdir -p "$2.part"
    list=$(fetch_source "$1")
    for tarball in $list; do
        case $tarball in
            *.orig.tar.*) tar -xf "$tarball" -C "$2.part" --strip-components=1 --no-same-owner ;;
        esac
    done
    for tarball in $list; do
        case $tarball in
            *.debian.tar.*) tar -xf "$tarball" -C "$2.part" --no-same-owner ;;
        esac
    done
    rm -rf "$2"; mv "$2.part" "$2"
}

# apply_patches TREE PATCH...: each must apply without rejects
apply_patches() {
    patch_tree=$1; shift
    for one; do
        [ -e "$one" ] || continue
        echo "applying ${one##*/}"
        patch -d "$patch_tree" -p1 --forward --fuzz=2 --no-backup-if-mismatch <"$one" || die "${one##*/} does not apply"
    done
}
