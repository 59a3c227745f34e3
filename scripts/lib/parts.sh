# SPDX-License-Identifier: GPL-2.0-or-later
# The parts that get built, what each depends on (its key), and in what order.
# Sourced by ./lend, after source.sh. A part is a directory out/PART-KEY in the cache; build-PART.sh fills it, in the build root.

# shellcheck shell=sh
PARTS="root xen qemu module guest dom0 payload"
# built only for a lane that names it, or when named
LANE_PARTS="debugkernel guestroot package debiandom0 flask plainxen counter qemugpu gpuroot gpupayload"

part_text() {
    case $1 in
        xen)     echo "building Xen" ;;
        qemu)    echo "building QEMU" ;;
        module)  echo "building the lend module for Debian's kernel" ;;
        guest)   echo "making the guest's initrd" ;;
        dom0)    echo "making the dom0 image" ;;
        payload) echo "packing our files for dom0" ;;
        guestroot) echo "making a guest's root file system, for the lane differential" ;;
        package) echo "building the Debian packages" ;;
        debiandom0) echo "making a disk with a stock Debian dom0, for the lane package" ;;
        flask) echo "building Xen with Flask, for the lane flask" ;;
        plainxen) echo "building a Xen that is no debug build, for the lane bench" ;;
        counter) echo "building the emulator's plugin that counts, for the lane bench" ;;
        qemugpu) echo "building QEMU with virglrenderer, for the GPU demo and tests" ;;
        gpupayload) echo "packing what the GPU demo and tests need besides" ;;
        gpuroot) echo "making a disk with Mesa, for the GPU demo and tests" ;;
        debugkernel) echo "building kernels that check themselves, for the lane torture" ;;
    esac
}

# part_space PART: MiB; the root's are with all that ./lend demo builds in it
part_space() {
    case $1 in
        root) echo 8000 ;;
        debugkernel) echo 8000 ;;
        package|debiandom0) echo 5000 ;;
        qemu|dom0|qemugpu|gpuroot) echo 3000 ;;
        guestroot) echo 2000 ;;
        xen|flask|plainxen) echo 1000 ;;
        *) echo 200 ;;
    esac
}

# space_to_come: MiB for the parts that ./lend demo has not built yet
space_to_come() {
    [ -e "$(root_dir)" ] || { part_space root; return; }
    space=500
    for part in $PARTS; do have_part "$part" || space=$((space + $(part_space "$part"))); done
    echo "$space"
}

# part_source PART: what of configs/sources it is built of
part_source() {
    case $1 in xen|qemu) echo "$1" ;; flask|plainxen) echo xen ;; counter|qemugpu) echo qemu ;; package) echo xen qemu ;; esac
}

# part_key PART: the words and paths that decide what comes out
part_key() {
    common="scripts/build-$1.sh" lib=scripts/lib
    case $1 in
        root)    root_key ;;
        xen)     key_of "$(root_id)" "$(source_id xen)" $common $lib/overlay.sh $lib/hypervisor.sh \
                     $lib/xen-tool.sh configs/xen.config xen-patches xen ;;
        flask|plainxen) key_of "$(root_id)" "$(source_id xen)" $common $lib/overlay.sh $lib/hypervisor.sh \
                     configs/xen.config xen-patches xen ;;
        qemu)    key_of "$(root_id)" "$(source_id qemu)" $common $lib/overlay.sh configs/qemu.options \
                     hw include accel qapi linux/include/uapi qemu-patches ;;
        qemugpu) key_of "$(root_id)" "$(source_id qemu)" $common scripts/build-qemu.sh $lib/overlay.sh configs/qemu.options \
                     configs/qemugpu.options hw include accel qapi linux/include/uapi qemu-patches ;;
        gpuroot) key_of "$(root_id)" $common $lib/debian-tree.sh images/gpuroot ;;
        gpupayload) key_of "$(part_key qemugpu)" "$(part_key guest)" $common $lib/initrd.sh tests/gpu ;;
        module)  key_of "$(root_id)" $common linux ;;
        guest)   key_of "$(root_id)" $common $lib/initrd.sh images/guest tests/guest ;;
        dom0)    key_of "$(root_id)" $common $lib/debian-tree.sh $lib/initrd.sh \
                     images/dom0/packages images/dom0/initrd-init ;;
        debugkernel) key_of "$(root_id)" $common $lib/overlay.sh $lib/linux-source.sh $lib/initrd.sh \
                     configs/debugkernel.config images/dom0/initrd-init linux linux-patches ;;
        guestroot) key_of "$(root_id)" $common $lib/debian-tree.sh images/guestroot "$(xfstests_id)" ;;
        package) key_of "$(root_id)" "$(source_id xen)" "$(source_id qemu)" $common $lib/overlay.sh packages xen-patches xen \
                     hw include accel qapi linux qemu-patches tools examples docs ;;
        debiandom0) key_of "$(root_id)" $common images/debiandom0 ;;
        counter) key_of "$(root_id)" "$(source_id qemu)" $common tests/bench/count.c ;;
        payload) key_of "$(part_key xen)" "$(part_key qemu)" "$(part_key module)" "$(part_key guest)" $common \
                     images/dom0/init images/dom0/shell-guest tools tests/functional/dom0 \
                     docs/instructions.md linux/include examples ;;
        *) die "no part '$1'; the parts are: $PARTS $LANE_PARTS" ;;
    esac
}

# a tree that people may have put there
xfstests_id() {
    [ ! -d "$LEND_CACHE/src/xfstests" ] ||
        (cd "$LEND_CACHE/src/xfstests" && find . -name .git -prune -o -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)
}

part_dir() { if [ "$1" = root ]; then root_dir; else out "$1-$(part_key "$1")"; fi; }

# have_part PART [tree]: is it there; with "tree", is also the tree there that it was built in
have_part() {
    [ -e "$(part_dir "$1")" ] || return 1
    [ -z "${2:-}" ] || [ "$(cat "$LEND_CACHE/trees/$1/key" 2>/dev/null)" = "$(part_key "$1")" ]
}

# build_part PART [tree]: nothing if it is there already
build_part() {
    case " $PARTS $LANE_PARTS " in *" $1 "*) ;; *) die "no part '$1'; the parts are: $PARTS $LANE_PARTS" ;; esac
    build_root
    [ "$1" != root ] || return 0
    for need in $(part_needs "$1"); do ( build_part "$need" ) || exit 1; done
    have_part "$@" || with_lock "$1" make_part "$@"
    for part_from in $(part_source "$1"); do source_note "$part_from"; done
}

make_part() {
    part_mirror=$(mirror) || exit 1
    for part_from in $(part_source "$1"); do
        have_part "$@" || with_lock "$part_from-source" step "$part_from-source" "fetching the source of $part_from" in_root env \
            LEND_MIRROR="${part_mirror%/}" LEND_SNAPSHOT="${LEND_SNAPSHOT:-}" sh "$TOP/scripts/get-source.sh" "$part_from"
    done
    while :; do
        part_key=$(part_key "$1")
        have_part "$@" && return
        rm -f "$LEND_CACHE/trees/$1/key"
        need_space "$(part_space "$1")"
        part_packages=$(sed -n 's/^# packages: *//p' "$TOP/scripts/build-$1.sh")
        # shellcheck disable=SC2086
        [ -z "$part_packages" ] || root_add $part_packages
        part_tmp=$(new_dir "$1")
        step "$1" "$(part_text "$1")" in_root env LEND_MIRROR="${part_mirror%/}" \
            XEN_DIR="$(part_dir_of "$1" xen)" QEMU_DIR="$(part_dir_of "$1" qemu)" \
            MODULE_DIR="$(part_dir_of "$1" module)" GUEST_DIR="$(part_dir_of "$1" guest)" \
            QEMUGPU_DIR="$(part_dir_of "$1" qemugpu)" \
            sh "$TOP/scripts/build-$1.sh" "$part_tmp"
        # files edited meanwhile: what came out has no certain key, so once more
        [ "$(part_key "$1")" = "$part_key" ] && break
        say "   files changed meanwhile; again"
    done
    publish "$part_tmp" "$1-$part_key"
    [ ! -d "$LEND_CACHE/trees/$1" ] || printf '%s\n' "$part_key" >"$LEND_CACHE/trees/$1/key"
}

# part_needs PART: the parts that it is made of
part_needs() { case $1 in payload) echo xen qemu module guest ;; gpupayload) echo qemugpu guest ;; esac; }

# part_dir_of PART NEED: where that is, if it is one of them
part_dir_of() { case " $(part_needs "$1") " in *" $2 "*) part_dir "$2" ;; esac; }

build_all() { for part in $PARTS; do build_part "$part"; done; }
