#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds the hypervisor with XSM and Flask, for the lane flask, in a tree of its own; and its policies, for dom0 to load:
# allow (the example policy, which is built in as well), deny (the same without hvm { mem_lend }).
# Runs in the build root; $1 is where the result goes.
# packages: checkpolicy m4
set -eu
. "$TOP/scripts/common.sh"
. "$TOP/scripts/source.sh"
. "$TOP/scripts/overlay.sh"

dest=$1
work=$LEND_CACHE/trees/flask
mkdir -p "$work/build"
pristine=$(pristine_source xen)
rm -rf "$work/patched"
cp -a "$pristine" "$work/patched"
overlay_xen "$work/patched"
rsync -a --checksum --delete "$work/patched/" "$work/src/"
rm -rf "$work/patched"

cd "$work/src"
export XEN_BUILD_DATE=none XEN_BUILD_TIME= XEN_BUILD_HOST=xen-lend XEN_WHOAMI=xen-lend XEN_DOMAIN=
rm -f "$work/build/.config"
make -C xen O="$work/build" defconfig
grep -v CONFIG_XSM "$TOP/configs/xen.config" >>"$work/build/.config"
printf 'CONFIG_XSM=y\nCONFIG_XSM_FLASK=y\nCONFIG_XSM_FLASK_POLICY=y\n' >>"$work/build/.config"
make -C xen O="$work/build" olddefconfig
for line in CONFIG_XSM=y CONFIG_XSM_FLASK=y CONFIG_XSM_FLASK_POLICY=y CONFIG_XSM_FLASK_DEFAULT=y CONFIG_MEM_LEND=y; do
    grep -qxF "$line" "$work/build/.config" || die "Xen's configuration does not take $line"
done
nice make -C xen O="$work/build" -j"$LEND_JOBS"
cp "$work/build/xen" "$work/build/xen-syms" "$work/build/.config" "$dest/"

# policy NAME: of the sources as they are now
policy() {
    mkdir -p "$work/policy-$1"
    make -B -C tools/flask/policy -f Makefile.common FLASK_BUILD_DIR="$work/policy-$1" POLICY_FILENAME="$dest/policy-$1"
}
policy allow
cmp "$dest/policy-allow" "$work/build/xsm/flask/policy.bin" || die "the policy built into Xen is another one"
grep -q mem_lend tools/flask/policy/modules/xen.if || die "the example policy does not have mem_lend"
sed -i 's/ mem_lend\>//' tools/flask/policy/modules/xen.if
policy deny
! cmp -s "$dest/policy-allow" "$dest/policy-deny" || die "the policies are the same"
