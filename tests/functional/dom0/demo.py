# SPDX-License-Identifier: GPL-2.0-or-later
"""What ./lend demo tells: the scenario from its first to its last point, each step checked by scenario.py."""

import os
import time

import scenario
from lendlab import Guest, backing, ivshmem, note, zram_swap

TOTAL = {"leases": 0, "faults": 0, "installs": 0, "revokes": 0, "revoked": 0}


class Step:
    """One line of the story with the time it took."""

    def __init__(self, text):
        self.text = text

    def __enter__(self):
        note(self.text)
        self.start = time.monotonic()
        return self

    def __exit__(self, kind, *rest):
        if kind is None:
            self.say(f"ok, {time.monotonic() - self.start:.1f} s")

    def say(self, text):
        note("     " + text)


def count(guest):
    for lease in guest.leases():
        TOTAL["leases"] += 1
        for figure in ("faults", "installs", "revokes", "revoked"):
            TOTAL[figure] += lease[figure]


def story():
    path, length, size = scenario.lent_copy()
    note(f"dom0 has a copy of {scenario.DEBIAN_FILE}, {length} bytes, on an ext4 disk. QEMU maps it (memory-backend-file,")
    note(f"share=on) behind an unmodified ivshmem-plain device: BAR 2, {size >> 20} MiB. Nothing of it is pinned.")
    note("A second such device has 2 MiB of a file on tmpfs, that is of dom0's shared memory, which can go to swap on zram.")
    zram_swap()
    shared = backing("shared", 2 << 20, "/dev/shm")
    note("")
    with Step("0. xl create: Debian's kernel as an HVM guest"):
        guest = Guest("borrower", args=ivshmem(path, f"{size >> 20}M") + ivshmem(shared, "2M", "shm")).start()
    with Step("1. the guest reads the file through the BAR and makes its SHA-256") as step:
        seen = scenario.reads(guest, path, length)
        step.say(f"guest and dom0: {seen['sha256']}")
        lease = seen["lease"]
        step.say(f"{lease['faults']} faults brought {lease['installed'] // scenario.PAGE} pages "
                 "(with those around the one that was touched)")
    with Step("2. the guest writes; dom0 reads its file, syncs, and the host looks at the disk image") as step:
        seen = scenario.writes(guest, path, length)
        step.say(f"{seen['places']} writes are in dom0's file and on the disk, also the one after a sync")
    with Step("3. a second pass over all pages") as step:
        seen = scenario.steady(guest)
        step.say(f"{seen['faults']} faults, {seen['faults']} exits to QEMU; "
                 f"{size >> 20} MiB read in {seen['us'][-1] / 1000:.1f} ms")
    with Step("4. dom0 takes the pages away while the guest reads and writes them"):
        ways = (("a. write-back (sync)", scenario.write_back), ("b. page-cache drop (MADV_PAGEOUT)", scenario.page_cache_drop),
                ("c. hole punch, then new data", scenario.hole_punch))
        for title, way in ways:
            hammered(guest, path, title, way)
    with Step("5. the same with the shared memory"):
        hammered(guest, shared, "a. swap to zram", scenario.swap_out, device=1)
        hammered(guest, shared, "b. migration to other frames", scenario.migration, device=1)
    count(guest)
    with Step("6. a page is out, the guest waits for it; QEMU is killed by SIGKILL; the guest is destroyed") as step:
        scenario.killed_while_waiting(guest, path)
        step.say("no domain left, no lease left in Xen, no complaint in any log")
    guest.close()
    os.unlink(shared)
    path, length, size = scenario.lent_copy()
    with Step("7. a new guest starts and reads the file"):
        with scenario.borrower(path, size, name="again") as guest:
            scenario.reads(guest, path, length)
            count(guest)
        scenario.healthy()
    note("")
    note(f"leases {TOTAL['leases']}, faults {TOTAL['faults']}, pages installed {TOTAL['installs']}, "
         f"revocations {TOTAL['revokes']}, pages revoked {TOTAL['revoked']}; stale reads 0, lost writes 0")


def hammered(guest, path, title, way, device=0):
    start = time.monotonic()
    seen = scenario.taken(guest, path, way, device=device)
    assert seen["stale"] == seen["lost"] == seen["foreign"] == 0, seen
    note(f"     {title}: {seen['revoked']} pages revoked, {seen['faults']} faults, guest went round {seen['rounds']} times"
         + (f", saw {seen['zero']} empty pages" if seen["zero"] else "")
         + (f"; {seen['detail']}" if seen["detail"] else "") + f"; {time.monotonic() - start:.1f} s")
