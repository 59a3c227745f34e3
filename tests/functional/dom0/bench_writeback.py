# SPDX-License-Identifier: GPL-2.0-or-later
"""A file in persistent memory of the guest's, mounted with -o dax: write, fdatasync, write again."""

import os

import figures
from lendlab import DATA, kvm, limit, pmem, run, wait_for

MIB = 1 << 20
ROUNDS = {1: 64, 64: 8}             # by pages
EXT4 = "mkfs.ext4", "-q", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-J", "size=4"


def writeback():
    path = DATA + "/bench"
    with open(path, "wb") as out:
        out.truncate(64 * MIB)
    run(*EXT4, path)
    run("fallocate", "-l", "64M", path)
    os.sync()
    with figures.guest_with(*pmem(path, 64 * MIB), initrd="initrd-pmem.gz", memory=256) as guest:
        wait_for("the guest's /dev/pmem0", lambda: guest.run("test -b /dev/pmem0")[0] == 0, 30)
        guest.must("mkdir -p /mnt; mount -t ext4 -o dax,noatime,lazytime /dev/pmem0 /mnt")
        for number in range(1 if figures.quick() else 3):
            for pages, rounds in ROUNDS.items():
                with figures.window("writeback", f"{pages} page{'s' * (pages > 1)} at a time", pages * rounds, "page", guest, "pm0",
                                    number=number):
                    guest.must(f"writeback /mnt/f{pages} {pages} {rounds}", 120)
        guest.must("umount /mnt")
    os.unlink(path)


@limit(800)
def test_xen():
    writeback()


@limit(800)
@kvm
def test_kvm():
    writeback()
