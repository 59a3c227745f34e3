#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds the emulator's plugin that counts, for the lane bench. Runs in the build root.
set -eu
. "$TOP/scripts/lib/common.sh"
. "$TOP/scripts/lib/source.sh"

# shellcheck disable=SC2046
gcc -std=gnu11 -O2 -Wall -Wextra -Wno-unused-parameter -Werror -shared -fPIC -I"$(pristine_source qemu)/include/qemu" \
    $(pkg-config --cflags glib-2.0) -o "$1/count.so" "$TOP/tests/bench/count.c" $(pkg-config --libs glib-2.0)
