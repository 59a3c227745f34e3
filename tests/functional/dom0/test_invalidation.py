# SPDX-License-Identifier: GPL-2.0-or-later
"""Every ordinary way in which Linux takes a page away or changes it, with the guest's view compared to the lender's after
each. QEMU has no part in it: lend_serve is the VMM, the guest reads and writes the frames through /dev/mem."""

from lendlab import Guest, backing, limit, note, wait_for
from lendvmm import GFN, Server, no_kernel_complaints, swap, vmstat

PAGES = 64

# What happens to pages 8 to 23, and the kinds of memory it is tried on. Commands of lend_serve; with "!", a file to write to.
WAYS = [
    ("MADV_DONTNEED", ["dontneed 8 16"], "memfd anon shared file= pfile="),
    ("MADV_REMOVE", ["remove 8 16"], "memfd shared file="),
    ("hole punch", ["punch 8 16"], "memfd file= pfile="),
    ("hole punch and new data by pwrite", ["punch 8 16", "pfill 8 16 0x70000"], "memfd file="),
    ("pwrite underneath", ["pfill 8 16 0x80000"], "memfd file= pfile="),
    ("swap-out", ["sync", "pageout 0 64"], "memfd anon shared file="),
    ("dropped page cache", ["sync", "!/proc/sys/vm/drop_caches 3"], "memfd file="),
    ("compaction", ["!/proc/sys/vm/compact_memory 1"], "memfd anon shared file="),
    ("KSM", ["same 8 16 0xc0c0", "mergeable 8 16", "!ksm"], "anon"),
    ("MADV_COLD", ["cold 0 64"], "memfd anon file="),
    ("mprotect and back", ["ro 8 16", "rw 8 16"], "memfd anon shared file= pfile="),
    ("munmap and mmap", ["munmap 8 16", "remap 8 16"], "memfd file="),
    ("truncate and extend", ["truncate 8", f"truncate {PAGES}", "pfill 8 16 0x90000"], "memfd file="),
    ("fsync", ["sync"], "file="),
    ("fork", ["fork"], "memfd anon file= pfile="),
    ("stores of the lender's own", ["fill 8 16 0xa0000"], "memfd anon shared file= pfile="),
]


def kind_with_path(kind):
    return kind + backing("invalidation.bin", PAGES * 4096) if kind.endswith("=") else kind


def words(server):
    return server.do(f"read 0 {PAGES}").split()


def merge():
    """Let KSM find the pages of equal contents."""
    def knob(name, value):
        with open("/sys/kernel/mm/ksm/" + name, "w") as out:
            out.write(str(value))

    def shared():
        with open("/sys/kernel/mm/ksm/pages_sharing") as pages:
            return int(pages.read())

    knob("pages_to_scan", 1000)
    knob("run", 1)
    wait_for("KSM", lambda: shared() >= 15, 30)
    note(f"KSM shares {shared()} pages")
    knob("run", 0)


def do(server, command):
    if command == "!ksm":
        merge()
    elif command[0] == "!":
        path, value = command[1:].split()
        with open(path, "w") as out:
            out.write(value)
    else:
        server.do(command)


def same(guest, server, what):
    seen = guest.must(f"gmem {GFN:#x} read 0 {PAGES}").split()
    real = words(server)
    wrong = [i for i in range(PAGES) if seen[i] != real[i]]
    assert not wrong, f"{what}: the guest sees {seen[wrong[0]]} in page {wrong[0]}, it is {real[wrong[0]]} ({len(wrong)} wrong)"


def check_kind(guest, server, kind):
    server.do(f"lease {kind_with_path(kind)} {PAGES}")
    server.do(f"fill 0 {PAGES} 0x1000")
    same(guest, server, f"{kind} at first")
    faults = server.stats()["faults"]
    same(guest, server, f"{kind} again")
    assert server.stats()["faults"] == faults, f"{kind}: {server.stats()['faults'] - faults} faults in a second pass"
    guest.must(f"gmem {GFN:#x} write 0 {PAGES} 0x5000000")
    same(guest, server, f"{kind} after the guest wrote")
    assert words(server)[5] == "5000005", words(server)[5]
    round_ = 0
    for what, commands, kinds in WAYS:
        if kind not in kinds.split():
            continue
        round_ += 1
        server.do(f"fill 0 {PAGES} {round_ << 28:#x}")
        guest.must(f"gmem {GFN:#x} write 4 8 {(round_ << 28) + 0x100000:#x}")
        same(guest, server, f"{kind} before {what}")
        for command in commands:
            do(server, command)
        same(guest, server, f"{kind} after {what}")
        guest.must(f"gmem {GFN:#x} write 10 4 {(round_ << 28) + 0x200000:#x}")
        same(guest, server, f"{kind} after {what} and a write of the guest's")
    stats = server.stats()
    assert not stats["failed"], stats
    note(f"{kind.rstrip('=')}: {round_} ways; {stats['faults']} faults, {stats['installs']} pages installed, "
         f"{stats['revokes']} notifier calls, {stats['retries']} retries, slowest resolve {stats['slowest_us']} us")
    server.do("unlease")


@limit(400)
def test_invalidation():
    with swap(), Guest() as guest, Server(guest.domid) as server:
        swapped = vmstat("pswpout")
        for kind in ("memfd", "anon", "shared", "file=", "pfile="):
            check_kind(guest, server, kind)
        swapped = vmstat("pswpout") - swapped
        note(f"{swapped} pages were swapped out")
        assert swapped >= PAGES, swapped
    no_kernel_complaints()
