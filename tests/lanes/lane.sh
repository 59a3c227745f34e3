# SPDX-License-Identifier: GPL-2.0-or-later
# What the lanes that are shell scripts have in common. Sourced; a lane then
#   lane_begin NAME "$@"    its arguments: [--list] [-k] [PATTERN]
#   names() { ... }         its tests, one per line
#   lane_list               with --list, prints those that are wanted, and ends
#   lane_dir                makes the directory for logs; counts start at 0
#   wanted, matches NAME    those that the pattern wants
#   result PASS|FAIL|SKIP NAME TEXT
#   lane_end                its exit status

# shellcheck shell=sh
lane_begin() {
    lane=$1 list='' pattern=''; shift
    while [ $# -gt 0 ]; do
        case $1 in
            --list) list=1 ;;
            -k) [ $# -gt 1 ] || { echo "-k needs a pattern" >&2; exit 2; }; pattern=$2; shift ;;
            -*) echo "usage: $0 [--list] [-k] [PATTERN]" >&2; exit 2 ;;
            *) pattern=$1 ;;
        esac
        shift
    done
}

# a part of the name, or a shell pattern; several with commas
matches() {
    [ -n "$pattern" ] || return 0
    rest=$pattern,
    while [ -n "$rest" ]; do
        # shellcheck disable=SC2254
        case $1 in *${rest%%,*}*) [ -z "${rest%%,*}" ] || return 0 ;; esac
        rest=${rest#*,}
    done
    return 1
}

wanted() { names | while read -r name; do ! matches "$name" || echo "$name"; done; }

lane_list() { if [ -n "$list" ]; then wanted; exit 0; fi; }

lane_dir() {
    if [ -n "${LANE_DIR:-}" ]; then
        dir=$LANE_DIR
    else
        dir=$(mktemp -d "${TMPDIR:-/tmp}/lend-$lane-XXXXXX") || exit 2
        trap 'rm -rf "$dir"' EXIT
    fi
    trap 'exit 130' INT TERM
    passed=0 failed=0 skipped=0
    echo "0 0 0" >"$dir/counts"
}

result() {
    case $1 in PASS) passed=$((passed + 1)) ;; FAIL) failed=$((failed + 1)) ;; SKIP) skipped=$((skipped + 1)) ;; esac
    echo "$passed $failed $skipped" >"$dir/counts"
    echo "$1  $lane  $2  $3"
}

# show FILE [N]: its last lines, below a result
show() { tail -n "${2:-20}" "$1" | cut -c1-240 | sed 's/^/      | /'; }

# since TIME: what went by since "now" printed that, in seconds
now() { read -r up _ </proc/uptime; echo "${up%.*}${up#*.}"; }
since() { t=$(($(now) - $1)); echo "$((t / 100)).$((t % 100 / 10)) s"; }

lane_end() { [ $failed -eq 0 ]; }
