# SPDX-License-Identifier: GPL-2.0-or-later
# What the words on ./lend's command line do.
# Sourced by ./lend.

# shellcheck shell=sh

cmd_help() {
    cat <<END
usage: ./lend COMMAND

  demo [gpu]                       build what is missing, boot the emulated machine, show lending step by step; with gpu,
                                   a guest draws by Vulkan, in memory that dom0 lends
  test [LANE] [-k PATTERN] [--list]
                                   run tests; lanes here: $(lanes | xargs)
                                   (no lane: $(default_lanes | xargs)); -k takes part of a test's name
  bench [--quick] [--only NAME[,NAME]] [--list] [--json FILE] [--docs] [--before FILE]
                                   lending on Xen against KVM, in counts and ratios; ./lend bench --help
  build [PART]                     build all, or one of: $PARTS $LANE_PARTS
  package [DIR]                    Debian packages of it all, copied to DIR (build/packages)
  shell [--guest] [-c COMMAND]     a console of dom0 (or of a guest) in this terminal, or one command in dom0
  doctor                           what is missing on this machine, before it costs time
  apply qemu|xen|linux TREE        put our patches and files into a source tree of yours
  series qemu|xen|linux DIR [TREE] the whole series as patches for git am, in DIR; for the version of a tree of yours
  clean [PART]                     remove the cache, or what was built of one part

  LEND_CACHE    where everything built is kept   $LEND_CACHE
  LEND_JOBS     parallel compilations            $LEND_JOBS
  LEND_MIRROR   URI of a Debian mirror           ${LEND_MIRROR:-(the one that apt on the host has)}
  LEND_SNAPSHOT URI of an archive of old Debians ${LEND_SNAPSHOT:-(the one that apt knows)}
  LEND_SOURCES  folders and git directories that may have the sources of configs/sources; with colons between them
END
}

# the lanes are in tests/lanes/map
lanes() { sed -n 's/^lane: *//p' "$TOP/tests/lanes/map"; }
default_lanes() { for lane in $(lanes); do [ "$(of_lane "$lane" default)" != yes ] || echo "$lane"; done; }

# of_lane LANE KEY: what the map says of it
of_lane() {
    awk -v lane="$1" -v key="$2:" '
        $1 == "lane:" { here = $2 == lane }
        here && $1 == key { sub(/^[^ ]* */, ""); print }' "$TOP/tests/lanes/map"
}

# lane_command LANE: what runs it
lane_command() { echo "$TOP/tests/$(of_lane "$1" run)"; }

# lane_parts LANE PATTERN: what it needs built for those tests
lane_parts() {
    of_lane "$1" parts
    # shellcheck disable=SC2046
    [ "$(of_lane "$1" asked)" != yes ] || in_root $(lane_command "$1") --parts "$2"
}

ready() { need_root "$@"; check_host; host_packages; export LEND_CACHE LEND_JOBS; }

cmd_build() {
    ready "$@"
    if [ $# -gt 1 ]; then shift; for part; do build_part "$part"; done; else build_all; fi
}

# run_dir NAME: a new directory for a run's logs; the five newest are kept, and those of runs that may still go on
run_dir() {
    mkdir -p "$LEND_CACHE/runs"
    # shellcheck disable=SC2012
    ls -1dt "$LEND_CACHE"/runs/*-"$1"-* 2>/dev/null | tail -n +5 | while read -r old; do
        [ -n "$(find "$old" -maxdepth 1 -mmin -30 -print -quit)" ] || rm -rf "$old"
    done
    mktemp -d "$LEND_CACHE/runs/$(date +%Y%m%d-%H%M%S)-$1-XXXX"
}

# with_parts "PART..." CMD...: CMD in the build root, told where the parts are (XEN_DIR, QEMU_DIR, ...). They stay as long as it
# runs, however many others are built meanwhile: publish
with_parts() {
    parts_wanted=$1; shift
    for part in $parts_wanted; do build_part "$part"; done
    for part in $parts_wanted; do
        set -- "$(echo "$part" | tr '[:lower:]' '[:upper:]')_DIR=$(part_dir "$part")" "$@"
    done
    set -- env "$@"
    for part in $parts_wanted; do set -- flock -F -s "$(part_dir "$part")" "$@"; done
    in_root "$@"
}

# slowest N FILE...: of results "PASS  LANE  NAME  SECONDS s", the N that took longest
slowest() {
    slowest_n=$1; shift
    echo "the slowest:"
    sed -n 's/^\(PASS\|FAIL\)  \([^ ]*\)  \(.*\)  \([0-9][0-9.]*\) s\( .*\)\{0,1\}$/\4 s  \2  \3/p' "$@" |
        sort -rn | head -n "$slowest_n" | sed 's/^/   /'
}

# build_lane LANE PATTERN: what it needs
build_lane() {
    lane_packages=$(of_lane "$1" packages)
    # shellcheck disable=SC2086
    [ -z "$lane_packages" ] || root_add $lane_packages
    for lane_part in $(of_lane "$1" trees); do build_part "$lane_part" tree; done
    for lane_part in $(lane_parts "$1" "$2"); do build_part "$lane_part"; done
}

# run_lane LANE PATTERN DIR: its output is in DIR as well, and its exit status
run_lane() {
    # shellcheck disable=SC2046
    { with_parts "$(lane_parts "$1" "$2" | xargs)" LANE_DIR="$3" LEND_QUICK="${bench_quick:-}" $(lane_command "$1") "$2" &&
          lane_rc=0 || lane_rc=$?
      echo "$lane_rc" >"$3/rc"; } | tee "$3/output"
}

# count_lane LANE DIR: add its results to passed, failed, skipped and outputs
count_lane() {
    read -r lane_rc <"$2/rc" || lane_rc=died
    outputs="$outputs $2/output"
    if read -r p f s <"$2/counts"; then
        passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
        [ "$lane_rc" = 0 ] || [ "$f" != 0 ] || lane_rc=died
    else
        lane_rc=died
    fi 2>/dev/null
    if [ "$lane_rc" = died ]; then say "FAIL  $1  the lane itself ended early; see $2"; failed=$((failed + 1)); fi
}

cmd_test() {
    wanted='' pattern='' list=
    all=$*
    shift
    while [ $# -gt 0 ]; do
        case $1 in
            -k) [ $# -gt 1 ] || die "-k needs a pattern"; pattern=${pattern:+$pattern,}$2; shift ;;
            --list) list=1 ;;
            -*) die "no option '$1' for test; try ./lend --help" ;;
            *) lanes | grep -qx -e "$1" || die "no lane '$1'; lanes here: $(lanes | xargs)"; wanted="$wanted $1" ;;
        esac
        shift
    done
    # shellcheck disable=SC2086
    ready $all
    build_root
    passed=0 failed=0 skipped=0 outputs= beside= beside_pid=
    wanted=$(echo ${wanted:-$(default_lanes)} | xargs)
    for lane in $wanted; do
        # shellcheck disable=SC2046
        names=$(in_root $(lane_command "$lane") --list "$pattern")
        [ -n "$names" ] || continue
        if [ -n "$list" ]; then echo "$names" | sed "s/^/$lane  /"; continue; fi
        build_lane "$lane" "$pattern"
        lane_dir=$(run_dir "$lane")
        companion=$(of_lane "$lane" beside)
        case " $wanted " in *" ${companion:-none} "*)
            beside="$beside $lane:$lane_dir"
            continue ;;
        esac
        # by now all is built
        for other in $beside; do
            [ "$(of_lane "${other%%:*}" beside)" = "$lane" ] || continue
            say "-- the lane ${other%%:*} runs beside this one; its results come after"
            ( run_lane "${other%%:*}" "$pattern" "${other#*:}" ) </dev/null >/dev/null 2>&1 &
            beside_pid=$!
            # shellcheck disable=SC2064
            trap "{ pkill -P $beside_pid; kill $beside_pid; } 2>/dev/null || :" EXIT
        done
        run_lane "$lane" "$pattern" "$lane_dir"
        count_lane "$lane" "$lane_dir"
    done
    [ -z "$list" ] || return 0
    for other in $beside; do
        if [ -n "$beside_pid" ]; then
            while [ ! -e "${other#*:}/rc" ] && [ -e "/proc/$beside_pid" ]; do sleep 1; done
            cat "${other#*:}/output"
        else
            # the one that it was to run beside has no test for the pattern
            run_lane "${other%%:*}" "$pattern" "${other#*:}"
        fi
        count_lane "${other%%:*}" "${other#*:}"
    done
    [ $((passed + failed + skipped)) -gt 0 ] || die "no test matches '$pattern'"
    # shellcheck disable=SC2086
    [ $((passed + failed + skipped)) -le 10 ] || slowest 10 $outputs
    printf '%s passed, %s failed, %s skipped\n' $passed $failed $skipped
    [ $failed -eq 0 ]
}

bench_help() {
    cat <<END
usage: ./lend bench [OPTION]...

Runs the cases of the lane bench: the same guest, device and work on Xen with lending and under KVM, both in the same emulated
machine, some also with the BAR emulated. Prints a table: ratios of time and instructions, counts, and which goals are met.
Six of the ten cases took 10 minutes on two processors; with --quick some are smaller, and each runs once.

  --quick           smaller sizes, one run of each
  --only NAME,NAME  these cases only; --list has the names
  --list            the cases
  --json FILE       the figures as JSON, in FILE
  --docs            the table and the plot in docs/bench.md and docs/bench.svg; what tests/bench/remarks.md says is added
  --before FILE     compare with the JSON of an earlier run
END
}

# about_bench WORDS: what is measured, a line KEY=VALUE each
about_bench() {
    about_commit=$(git -C "$TOP" describe --always --dirty --abbrev=12 2>/dev/null) || about_commit=
    printf '%s\n' "command=./lend $1" "commit=$about_commit" "Xen=$(source_record xen | head -n 1)" \
        "QEMU=$(source_record qemu | head -n 1)" "Linux=$(cat "$(root_dir)/opt/linux/version")" "host=$(nproc) processors"
}

cmd_bench() {
    bench_words=$* bench_only='' bench_list='' bench_json='' bench_docs='' bench_before='' bench_quick=''
    all=$*
    shift
    while [ $# -gt 0 ]; do
        case $1 in
            --quick) bench_quick=1 ;;
            --list) bench_list=1 ;;
            --docs) bench_docs=1 ;;
            --only|--json|--before)
                [ $# -gt 1 ] || die "$1 needs a word after it"
                case $1 in --only) bench_only=$2 ;; --json) bench_json=$2 ;; *) bench_before=$2 ;; esac
                shift ;;
            *) die "no option '$1' for bench; try ./lend bench --help" ;;
        esac
        shift
    done
    [ -z "$bench_before" ] || [ -r "$bench_before" ] || die "no file '$bench_before'"
    [ -z "$bench_json" ] || [ -d "$(dirname "$bench_json")" ] || die "no directory for '$bench_json'"
    # shellcheck disable=SC2086
    ready $all
    build_root
    # shellcheck disable=SC2046
    bench_names=$(in_root $(lane_command bench) --list "" | sed 's/\..*//' | sort -u)
    if [ -n "$bench_list" ]; then
        in_root python3 "$TOP/tests/bench/report.py" --list | while read -r name text; do
            ! echo "$bench_names" | grep -qx -e "$name" || printf '%-12s%s\n' "$name" "$text"
        done
        return
    fi
    bench_pattern=
    for name in $(echo "$bench_only" | tr , ' '); do
        echo "$bench_names" | grep -qx -e "$name" || die "no case '$name'; the cases are: $(echo "$bench_names" | xargs)"
        bench_pattern=$bench_pattern${bench_pattern:+,}bench_$name.
    done
    build_lane bench "$bench_pattern"
    bench_dir=$(run_dir bench)
    bench_start=$(date +%s) bench_kind=bench${bench_quick:+-quick}
    bench_last=$(cat "$LEND_CACHE/times/$bench_kind" 2>/dev/null || :)
    [ -n "$bench_only" ] || say "-- ${bench_last:+last time }about" \
        "$((${bench_last:-$([ -n "$bench_quick" ] && echo 300 || echo 1200)} / 60)) min; logs in $bench_dir"
    passed=0 failed=0 skipped=0 outputs=
    run_lane bench "$bench_pattern" "$bench_dir"
    count_lane bench "$bench_dir"
    [ -z "$bench_before" ] || cp "$bench_before" "$bench_dir/before.json"
    about_bench "$bench_words" >"$bench_dir/about"
    echo
    in_root python3 "$TOP/tests/bench/report.py" "$bench_dir/figures.json" "$bench_dir" --about "$bench_dir/about" \
        --remarks "$TOP/tests/bench/remarks.md" ${bench_before:+--before "$bench_dir/before.json"} ||
        die "the lane has left no table; logs in $bench_dir"
    [ -z "$bench_json" ] || cp "$bench_dir/bench.json" "$bench_json"
    if [ -n "$bench_docs" ]; then cp "$bench_dir/bench.md" "$bench_dir/bench.svg" "$TOP/docs/"; fi
    bench_took=$(($(date +%s) - bench_start))
    [ -n "$bench_only" ] || [ $failed -gt 0 ] || echo $bench_took >"$LEND_CACHE/times/$bench_kind"
    say "-- $((bench_took / 60)) min $((bench_took % 60)) s; $passed passed, $failed failed, $skipped skipped;" \
        "bench.md, bench.svg, bench.json and logs in $bench_dir"
    [ $failed -eq 0 ]
}

cmd_demo() {
    demo_parts="xen qemu dom0 payload" demo_story=demo
    case ${2:-} in
        '') ;;
        gpu) demo_parts="$demo_parts gpuroot gpupayload" demo_story=demo_gpu ;;
        *) die "no demo '$2'; there are: demo, demo gpu" ;;
    esac
    [ $# -le 2 ] || die "demo takes at most one word"
    ready "$@"
    demo_start=$(date +%s)
    build_all
    demo_dir=$(run_dir demo)
    say "-- booting Xen and dom0 in an emulated machine (QEMU TCG, AMD SVM)"
    with_parts "$demo_parts" python3 "$TOP/tests/functional/run.py" --dir "$demo_dir" --demo "$demo_story"
    # the picture that it drew
    [ ! -e "$demo_dir/gpu.png" ] || { mkdir -p "$TOP/build" && cp "$demo_dir/gpu.png" "$TOP/build/" && say "-- build/gpu.png"; }
    say "-- $(($(date +%s) - demo_start)) s in all"
}

cmd_shell() {
    ready "$@"
    mode=shell; once=
    shift
    while [ $# -gt 0 ]; do
        case $1 in
            --guest) mode=guest ;;
            -c) [ $# -gt 1 ] || die "-c needs a command"; once=$2; shift ;;
            *) die "no option '$1' for shell; try ./lend --help" ;;
        esac
        shift
    done
    build_all
    shell_dir=$(run_dir shell)
    if [ -n "$once" ]; then
        with_parts "xen qemu dom0 payload" python3 "$TOP/tests/functional/run.py" --dir "$shell_dir" --shell "$once"
    else
        say "Ctrl-A X ends the machine; 'exit' powers it off. Logs: $shell_dir"
        with_parts "xen qemu dom0 payload" python3 "$TOP/tests/functional/shell.py" "$shell_dir" "$mode"
    fi
}

cmd_doctor() {
    [ $# -eq 1 ] || die "doctor takes no arguments"
    doctor
}

cmd_apply() {
    [ $# -eq 3 ] || die "usage: ./lend apply qemu|xen|linux TREE"
    [ -d "$3" ] || die "no directory '$3'"
    . "$TOP/scripts/lib/apply.sh"
    case $2 in
        qemu|xen|linux) apply_to "$2" "$3" ;;
        *) die "'$2' is not qemu, xen or linux" ;;
    esac
}

cmd_series() {
    [ $# -eq 3 ] || [ $# -eq 4 ] || die "usage: ./lend series qemu|xen|linux DIR [TREE]"
    [ $# -eq 3 ] || [ -d "$4" ] || die "no directory '$4'"
    . "$TOP/scripts/lib/overlay.sh"
    . "$TOP/scripts/lib/series.sh"
    case $2 in
        qemu|xen|linux) make_series "$2" "$3" "${4:-}" ;;
        *) die "'$2' is not qemu, xen or linux" ;;
    esac
    say "$3: $series_n patches and a cover letter"
}

cmd_clean() {
    need_root "$@"
    if [ $# -gt 1 ]; then
        shift
        for part; do
            case " $PARTS $LANE_PARTS " in *" $part "*) ;; *) die "no part '$part'; the parts are: $PARTS $LANE_PARTS" ;; esac
            rm -rf "${LEND_CACHE:?}/out/$part"-* "${LEND_CACHE:?}/trees/$part"
        done
    else
        rm -rf "${LEND_CACHE:?}"
    fi
}
