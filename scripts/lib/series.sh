# SPDX-License-Identifier: GPL-2.0-or-later
# './lend series': the whole series for a tree, for git am and for sending: what KIND-patches has of changes to files that are there
# already, together with our files, each in the patch that KIND-patches/files names for it.
# Sourced by ./lend and by the lane series; needs overlay.sh.

# shellcheck shell=sh
# listed_files KIND [NUMBER]: those in KIND-patches/files (lines NUMBER FILE), of one patch or of all
listed_files() {
    sed 's/#.*//' "$TOP/$1-patches/files" |
        awk -v number="${2:-}" 'NF == 2 && (number == "" || $1 == number) { print $2 }'
}

# check_listed KIND: every file of ours, in $series_tmp/new, is in one patch of the series
check_listed() {
    listed_files "$1" | LC_ALL=C sort >"$series_tmp/listed"
    ( cd "$series_tmp/new" && find . -type f ) | sed 's,^\./,,' | LC_ALL=C sort >"$series_tmp/ours"
    diff "$series_tmp/listed" "$series_tmp/ours" >"$series_tmp/differ" ||
        die "$1-patches/files does not name each of our files once: $(grep '^[<>]' "$series_tmp/differ" | xargs)"
    listed_numbers=$(sed 's/#.*//' "$TOP/$1-patches/files" | awk 'NF == 2 { print $1 }' | sort -u)
    for listed in $listed_numbers; do
        ls "$TOP/$1-patches/$listed"-*.patch >/dev/null 2>&1 || die "$1-patches/files names the patch $listed, and there is none"
    done
}

# whole_patch KIND PATCH N M: the patch with the files that it adds, as the Nth of M
whole_patch() {
    sed -f "$series_tmp/sed" "$2" >"$series_tmp/patch"
    sed -n '/^diff --git/,$p' "$series_tmp/patch" >"$series_tmp/diff"
    for whole_file in $(listed_files "$1" "$(basename "$2" | cut -d- -f1)"); do
        # it ends with 1, as they differ
        ( cd "$series_tmp/new" &&
              git diff --no-index --no-color --no-ext-diff --src-prefix=a/ --dst-prefix=b/ /dev/null "$whole_file" ) || :
    done >>"$series_tmp/diff"
    [ -s "$series_tmp/diff" ] || die "${2##*/} changes nothing, and $1-patches/files has nothing for it"
    sed -e '/^---$/,$d' -e "s,^Subject: \[PATCH[^]]*\],Subject: [PATCH $3/$4]," "$series_tmp/patch"
    echo '---'
    git apply --stat --summary "$series_tmp/diff"
    echo
    cat "$series_tmp/diff"
}

# subject FILE: of a patch, in one line
subject() { sed -n '/^Subject:/,/^$/p' "$1" | tr -d '\n' | sed 's/^Subject: \[PATCH[^]]*\] *//'; echo; }

# cover_letter KIND N PATCH...: from KIND-patches/cover-letter (subject, empty line, text)
cover_letter() {
    cover=$TOP/$1-patches/cover-letter cover_n=$2; shift 2
    sed -n '1,/^Date:/p' "$1"
    printf 'Subject: [PATCH 0/%s] ' "$cover_n"
    cat "$cover"
    echo
    for cover_patch; do printf '  %s\n' "$(subject "$cover_patch")"; done
    echo
    cat "$@" | git apply --stat | tail -n 1
}

# make_series KIND DIR [TREE]: the series as files in DIR, with a cover letter
make_series() {
    command -v git >/dev/null || die "needs the program 'git'; install the package git"
    mkdir -p "$2"
    [ -z "$(ls -A "$2")" ] || die "'$2' is not empty"
    series_tmp=$(mktemp -d) || die "no temporary directory"
    trap 'rm -rf "$series_tmp"' EXIT
    { [ "$1" != qemu ] || [ -z "${3:-}" ] || as_in_tree "$3"; } >"$series_tmp/sed"
    put_files "$1" "$series_tmp/new" "$series_tmp/sed"
    check_listed "$1"
    series_n=0 series_m=$(series_list "$1" "${3:-}" | wc -l)
    for series_patch in $(series_list "$1" "${3:-}"); do
        series_n=$((series_n + 1))
        series_name=$(printf '%04d' $series_n)-$(basename "$series_patch" | cut -d- -f2-)
        whole_patch "$1" "$series_patch" $series_n "$series_m" >"$2/$series_name"
    done
    cover_letter "$1" "$series_m" "$2"/[0-9]*.patch >"$2/cover"
    mv "$2/cover" "$2/0000-cover-letter.patch"
}
