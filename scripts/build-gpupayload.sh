#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Packs a read-only disk for the GPU demo and tests, which dom0 mounts at /usr/lib/xen-lend-gpu: QEMU with virglrenderer, the
# guest's initrd, our programs for Vulkan and OpenGL. Runs in the build root; $1 is where it goes.
# packages: glslang-tools libepoxy-dev libvulkan-dev
set -eu
. "$TOP/scripts/lib/common.sh"
. "$TOP/scripts/lib/initrd.sh"

dest=$1
tree=$dest/tree
mkdir -p "$tree/guest" "$dest/shaders"
cp "$QEMUGPU_DIR/qemu-system-x86_64" "$tree/"
# where this QEMU looks for firmware
cp -r "$QEMUGPU_DIR/share" "$tree/"

for shader in "$TOP"/tests/gpu/*.comp "$TOP"/tests/gpu/*.frag "$TOP"/tests/gpu/*.vert; do
    name=$(basename "$shader" | tr . _)
    glslangValidator -V --vn "$name" -o "$dest/shaders/$name.h" "$shader"
    sed -i 's/^[^/]*const uint32_t/static const uint32_t/' "$dest/shaders/$name.h"
done
gcc -std=gnu11 -O2 -Wall -Wextra -Wno-missing-field-initializers -Werror -I"$dest/shaders" \
    -o "$tree/vk" "$TOP/tests/gpu/vk.c" "$TOP/tests/gpu/cases.c" -lvulkan
gcc -std=gnu11 -O2 -Wall -Wextra -Werror -o "$tree/gl" "$TOP/tests/gpu/gl.c" -lepoxy

gcc -std=gnu11 -O2 -Wall -Wextra -Wno-missing-field-initializers -Werror -static -o "$dest/raw" "$TOP/tests/gpu/raw.c"

# the guest's initrd has our programs, and the GPU's modules, which tests load
initrd_modules "$dest/gpu/gpu" 300 virtio_gpu
cp "$tree/vk" "$tree/gl" "$dest/raw" "$dest/gpu/gpu/"
initrd_pack "$dest/gpu" "$dest/gpu.gz"
cat "$GUEST_DIR/initrd-pmem.gz" "$dest/gpu.gz" >"$tree/guest/initrd-gpu.gz"

size=$(($(du -sm "$tree" | cut -f1) * 5 / 4 + 16))
mke2fs -q -t ext4 -L gpupayload -O ^has_journal -d "$tree" "$dest/gpupayload.img" "${size}M"
rm -rf "$tree" "$dest/shaders" "$dest/gpu" "$dest/gpu.gz" "$dest/raw"
