# SPDX-License-Identifier: GPL-2.0-or-later
# What every step shares: places, messages, content keys, locks, timed steps.
# Sourced by ./lend and by the scripts it starts; TOP is set by the caller.

# shellcheck shell=sh disable=SC2034
: "${TOP:?}"
LEND_CACHE=${LEND_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/xen-lend}
case $LEND_CACHE in /*) ;; *) LEND_CACHE=$PWD/$LEND_CACHE ;; esac
LEND_JOBS=${LEND_JOBS:-$(nproc)}
LEND_SOURCES=$(printf '%s\n' "${LEND_SOURCES:-}" | tr : '\n' | sed "/^\$/d; s,^\([^/]\),$PWD/\1," | paste -sd:)
SUITE=trixie
XEN_SERIES=4.20
QEMU_SERIES=10.0
LOGS=$LEND_CACHE/logs

say() { printf '%s\n' "$*" >&2; }
die() { say "lend: $*"; exit 1; }

# ---- content keys -----------------------------------------------------------

# key_of WORD|PATH...: a short hash of the words given and of all files below the paths (relative to TOP)
key_of() {
    ( cd "$TOP"
      for it; do
          if [ -e "$it" ]; then
              find "$it" -name __pycache__ -prune -o -name '.*.sw?' -prune -o \( -type f -o -type l \) -print0 |
                  LC_ALL=C sort -z | xargs -0r sha256sum
              find "$it" -type f -perm /111 | LC_ALL=C sort
          else
              printf '%s\n' "$it"
          fi
      done ) | sha256sum | cut -c1-16
}

# ---- locks and publishing ---------------------------------------------------

# with_lock NAME CMD...: one process at a time does CMD under that name
with_lock() {
    lock_name=$1; shift
    mkdir -p "$LEND_CACHE/locks"
    (
        flock -n 9 || { say "waiting for another ./lend that is busy with $lock_name"; flock 9; }
        "$@"
    ) 9>"$LEND_CACHE/locks/$lock_name"
}

# new_dir NAME: an empty directory to build in, in the file system of the cache
new_dir() { rm -rf "$LEND_CACHE/tmp/$1"; mkdir -p "$LEND_CACHE/tmp/$1"; printf '%s\n' "$LEND_CACHE/tmp/$1"; }

# publish DIR NAME-KEY: make a finished artefact visible, atomically; keep the six newest of that name, and what with_parts holds
publish() {
    mkdir -p "$LEND_CACHE/out"
    rm -rf "${LEND_CACHE:?}/out/$2"
    touch "$1"        # by its time the newest are known
    mv -T "$1" "$LEND_CACHE/out/$2"
    # shellcheck disable=SC2012
    ls -1dt "$LEND_CACHE/out/${2%-*}"-* | tail -n +7 | while read -r old; do flock -n "$old" rm -rf "$old" || :; done
}

out() { printf '%s\n' "$LEND_CACHE/out/$1"; }

# ---- timed steps ------------------------------------------------------------

# step NAME TEXT CMD...: run CMD with its output in logs/NAME.log; say what, how long it took last time, how far it is
step() {
    step_name=$1 step_text=$2; shift 2
    mkdir -p "$LOGS" "$LEND_CACHE/times"
    step_log=$LOGS/$step_name.log
    step_last=$(cat "$LEND_CACHE/times/$step_name" 2>/dev/null || :)
    say "-- $step_text (${step_last:+last time $step_last s; }log: $step_log)"
    step_t0=$(date +%s)
    : >"$step_log"
    step_ticker "$step_log" "$step_last" &
    step_tick=$!
    step_rc=0
    "$@" >"$step_log" 2>&1 </dev/null || step_rc=$?
    kill "$step_tick" 2>/dev/null || :; wait "$step_tick" 2>/dev/null || :
    [ ! -t 2 ] || printf '\r\033[K' >&2
    step_t1=$(($(date +%s) - step_t0))
    if [ $step_rc -ne 0 ]; then
        # a script that knows what is wrong has said so in its last line
        case $(tail -n 1 "$step_log") in 'lend: '*) tail -n 1 "$step_log" >&2; exit 1 ;; esac
        say "   failed after $step_t1 s; the end of $step_log:"
        tail -n 25 "$step_log" | sed 's/^/   | /' >&2
        step_hint "$step_log"
        exit 1
    fi
    printf '%s\n' "$step_t1" >"$LEND_CACHE/times/$step_name"
    say "   done in $step_t1 s"
}

# step_ticker LOG LAST: while a step runs, the seconds gone and what ninja says of its progress: each second in a terminal,
# else a line every 30 s
step_ticker() {
    exec 9>&-
    tick=30 tick_start=$(date +%s)
    [ ! -t 2 ] || tick=1
    while sleep $tick >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
        tick_done=$(tail -c 400 "$1" | sed -n 's/^\(\[[0-9]*\/[0-9]*\]\).*/, \1 files/p' | tail -n 1)
        tick_text="   $(($(date +%s) - tick_start)) s${2:+ of about $2}$tick_done"
        if [ -t 2 ]; then printf '\r%s \033[K' "$tick_text" >&2; else say "$tick_text"; fi
    done
}

# step_hint LOG: one line of advice for the failures people meet
step_hint() {
    if grep -q 'No space left on device' "$1"; then
        say "lend: the disk is full below $LEND_CACHE; free some space, or put the cache elsewhere with LEND_CACHE"
    elif grep -qE -e 'Temporary failure resolving|Could not connect|Connection timed out' \
            -e 'Network is unreachable|Could not resolve|Unable to connect' "$1"; then
        say "lend: the Debian mirror cannot be reached; check the network, or name another mirror with LEND_MIRROR"
    elif grep -qE '(404|403) ' "$1"; then
        say "lend: the mirror lacks a file; './lend clean root' fetches a newer index, or name another mirror with LEND_MIRROR"
    elif grep -qE 'NO_PUBKEY|signature|not signed' "$1"; then
        say "lend: the mirror's $SUITE signature cannot be checked; upgrade debian-archive-keyring"
    else
        say "lend: the whole log is $1"
    fi
}
