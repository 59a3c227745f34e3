#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds the hypervisor with XSM and Flask, for the lane flask, in a tree of its own; and its policies, for dom0 to load:
# allow (the example policy, which is built in as well), deny (the same without hvm { mem_lend }).
# Runs in the build root; $1 is where the result goes.
# packages: checkpolicy m4
set -eu
. "$TOP/scripts/lib/common.sh"
. "$TOP/scripts/lib/source.sh"
. "$TOP/scripts/lib/overlay.sh"
. "$TOP/scripts/lib/hypervisor.sh"

dest=$1
work=$LEND_CACHE/trees/flask
mkdir -p "$work"
{ grep -v CONFIG_XSM "$TOP/configs/xen.config"
  printf 'CONFIG_XSM%s=y\n' '' _FLASK _FLASK_POLICY _FLASK_DEFAULT; } >"$work/config"
pristine=$(pristine_source xen)
build_hypervisor "$pristine" "$work" "$work/config" "$dest"

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
