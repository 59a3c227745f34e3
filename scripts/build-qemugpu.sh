#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds a second qemu-system-x86_64, with OpenGL and virglrenderer, a device model for the GPU demo and tests. Runs in the build
# root; $1 is where the result goes.
# packages: libepoxy-dev libgbm-dev libpng-dev libvirglrenderer-dev
set -eu
BUILD_OPTIONS="$TOP/configs/qemu.options $TOP/configs/qemugpu.options" \
    BUILD_WORK=${BUILD_WORK:-$LEND_CACHE/trees/qemugpu} exec sh "$TOP/scripts/build-qemu.sh" "$1"
