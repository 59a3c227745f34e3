#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Makes the guest's kernel (Debian's, as it is) and initrd (busybox and the tools of tests/guest), and the guest that is ring 0
# only. Runs in the build root.
set -eu
. "$TOP/scripts/lib/common.sh"
. "$TOP/scripts/lib/initrd.sh"

dest=$1
initrd_tree "$dest/initrd" "$TOP/images/guest/init"
for source in "$TOP"/tests/guest/*.c; do
    [ -e "$source" ] || continue
    name=${source##*/}
    gcc -std=gnu11 -O2 -Wall -Wextra -Werror -static -pthread -o "$dest/initrd/bin/${name%.c}" "$source"
    strip "$dest/initrd/bin/${name%.c}"
done
initrd_pack "$dest/initrd" "$dest/initrd.gz"
# for guests with pmem: the same and some modules
initrd_modules "$dest/pmem" 200 virtio_pci virtio_blk virtio_pmem nd_pmem ext4 xfs
initrd_pack "$dest/pmem" "$dest/pmem.gz"
cat "$dest/initrd.gz" "$dest/pmem.gz" >"$dest/initrd-pmem.gz"
rm -rf "$dest/pmem" "$dest/pmem.gz"
cp "/opt/linux/boot/vmlinuz-$KVER" "$dest/vmlinuz"
rm -rf "$dest/initrd"

gcc -std=gnu11 -O2 -Wall -Wextra -Wno-missing-field-initializers -Werror -ffreestanding -fno-pic -no-pie -static -nostdlib \
    -mno-red-zone -mgeneral-regs-only -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables \
    -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-T,"$TOP/tests/guest/ring0/ring0.lds" \
    -o "$dest/ring0" "$TOP"/tests/guest/ring0/*.[Sc]
