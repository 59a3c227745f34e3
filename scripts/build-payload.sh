#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Packs what is ours into a read-only disk that dom0 mounts at /usr/lib/xen-lend: init, QEMU, module, guest, examples, tests.
set -eu
. "$TOP/scripts/lib/common.sh"

dest=$1
tree=$dest/tree
mkdir -p "$tree/qemu" "$tree/guest" "$tree/examples" "$tree/tests/bin" "$tree/bin"
install -m 755 "$TOP/tools/xen-lend" "$tree/bin/xen-lend"
install -m 755 "$TOP/images/dom0/init" "$tree/dom0-init"
install -m 755 "$TOP/images/dom0/shell-guest" "$tree/shell-guest"
cp -r "$QEMU_DIR/." "$tree/qemu/"
# where this QEMU looks for firmware by itself, so that examples need not say it
mkdir -p "$tree/share"
ln -s ../qemu/share "$tree/share/qemu"
cp "$GUEST_DIR/vmlinuz" "$GUEST_DIR/initrd.gz" "$GUEST_DIR/initrd-pmem.gz" "$GUEST_DIR/ring0" "$tree/guest/"
for ko in "$MODULE_DIR"/*.ko; do [ ! -e "$ko" ] || cp "$ko" "$tree/"; done
cp -r "$TOP/examples/." "$tree/examples/"
cp "$TOP"/tests/functional/dom0/*.py "$TOP"/tests/functional/dom0/lib/*.py "$TOP/docs/instructions.md" "$tree/tests/"
for source in "$TOP"/tests/functional/dom0/c/*.c; do
    [ -e "$source" ] || continue
    name=${source##*/}
    gcc -std=gnu11 -O2 -Wall -Wextra -Wno-missing-field-initializers -I"$TOP/linux/include/uapi" -I"$TOP/tests/guest/ring0" \
        -idirafter /usr/include -o "$tree/tests/bin/${name%.c}" "$source" \
        -Wl,--as-needed -lxenguest -lxenctrl -lxendevicemodel -lxenforeignmemory -lxenevtchn -pthread
done
cp "$XEN_DIR/test-mem-lend" "$tree/tests/bin/"
size=$(($(du -sm "$tree" | cut -f1) * 5 / 4 + 16))
mke2fs -q -t ext4 -L lend -O ^has_journal -d "$tree" "$dest/payload.img" "${size}M"
rm -rf "$tree"
