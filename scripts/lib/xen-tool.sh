# SPDX-License-Identifier: GPL-2.0-or-later
# The test program of our patches for Xen, built without the rest of Xen's tools.
# Sourced by build-xen.sh and the lane series, in the build root.

# shellcheck shell=sh
# build_mem_lend TREE PROGRAM: the headers are the tree's, the libraries Debian's
build_mem_lend() {
    tool_headers=$(mktemp -d) tool_rc=0
    cp -r "$1/xen/include/public" "$tool_headers/xen"
    cp -r "$1/tools/include/xen-sys/Linux" "$tool_headers/xen/sys"
    gcc -std=gnu99 -O2 -Wall -Werror -D__XEN_TOOLS__ -I"$tool_headers" -I"$1/tools/include" -o "$2" "$1"/tools/tests/mem-lend/*.c \
        -lxenctrl -lxenguest -lxendevicemodel -lxencall || tool_rc=1
    rm -rf "$tool_headers"
    return $tool_rc
}
