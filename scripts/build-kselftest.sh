#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# build-kselftest.sh DIR: the test of /dev/xen/lend that goes into Linux' tree, with the Makefile of such a tree, in the new
# directory DIR; the program is DIR/xen_lend_test. kselftest_harness.h is in no package but that of the kernel's source.
# In the build root.
set -eu
sh "$TOP/scripts/fetch-kernel-files.sh" "$LEND_CACHE/src/kernel"
mkdir -p "$1/tree"
cp -r "$LEND_CACHE/src/kernel/tools" "$TOP/linux/tools" "$1/tree/"
CFLAGS=-Werror make -C "$1/tree/tools/testing/selftests/drivers/xen-lend" KHDR_INCLUDES="-I$TOP/linux/include/uapi"
cp "$1/tree/tools/testing/selftests/drivers/xen-lend/xen_lend_test" "$1/"
rm -rf "$1/tree"
