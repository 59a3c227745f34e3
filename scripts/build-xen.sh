#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds the hypervisor (Debian's Xen tree, our patches, configs/xen.config) and the test program of the patches. Runs in the build
# root; $1 is where the result goes. BUILD_PRISTINE is a tree to be built in place of the pinned one, BUILD_WORK where that is done.
set -eu
. "$TOP/scripts/lib/common.sh"
. "$TOP/scripts/lib/source.sh"
. "$TOP/scripts/lib/overlay.sh"
. "$TOP/scripts/lib/hypervisor.sh"
. "$TOP/scripts/lib/xen-tool.sh"

dest=$1
work=${BUILD_WORK:-$LEND_CACHE/trees/xen}
pristine=${BUILD_PRISTINE:-$(pristine_source xen)}
build_hypervisor "$pristine" "$work" "$TOP/configs/xen.config" "$dest"
build_mem_lend "$work/src" "$dest/test-mem-lend"
