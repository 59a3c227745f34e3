# SPDX-License-Identifier: GPL-2.0-or-later
"""Every way in which Linux takes a page away or changes it, with the guest's view compared to the lender's after each, on every
kind of memory it applies to. QEMU has no part in it: lend_serve is the VMM, the guest uses the frames through /dev/mem."""

import contextlib
import itertools
import os
import struct
import time

from lendlab import Skip, backing, case, cases, drop_caches, knob, limit, note, punch, pvh, run, wait_for
from lendvmm import GFN, Bench, Ring0, Server, no_kernel_complaints, swap, vmstat

PAGES = 64

# Commands of lend_serve for pages 8 to 23 of 64 (with "!": something of ours), and the kinds of memory.
MAPPING = {
    "munmap": (["munmap 8 16", "?8", "remap 8 16"], "memfd file="),
    "mmap_over": (["over 8 16"], "memfd anon shared file="),
    "mremap": (["exchange 8 8"], "memfd anon shared file="),
    "mprotect_none": (["none 8 16", "?8", "rw 8 16"], "memfd anon file= heap"),
    "mprotect_readonly": (["ro 8 16", "!readonly", "rw 8 16"], "memfd anon shared file= pfile="),
    "lenders_stores": (["fill 8 16 0xa0000"], "memfd anon shared file= pfile="),
    "soft_dirty": (["softdirty"], "anon file="),
}

MADVISE = {
    "dontneed": (["dontneed 8 16"], "memfd anon shared file= pfile="),
    "dontneed_locked": (["dontneed_locked 8 16"], "memfd anon"),
    "free": (["free 8 16"], "anon"),
    "remove": (["remove 8 16"], "memfd shared file="),
    "cold": (["cold 0 64"], "memfd anon file="),
    "pageout": (["sync", "pageout 0 64"], "memfd anon shared file="),
    "willneed": (["dontneed 8 16", "willneed 8 16"], "memfd file="),
    "populate": (["dontneed 8 16", "populate_read 8 16", "populate_write 8 8"], "memfd anon file="),
    "read_ahead_hints": (["random 8 16", "sequential 8 16", "normal 8 16"], "memfd file="),
    "huge_page_hints": (["hugepage 8 16", "nohugepage 8 16"], "memfd anon"),
    "fork_hints": (["wipeonfork 8 16", "fork", "keeponfork 8 16"], "anon"),
    "fork_and_dump_hints": (["dontfork 8 16", "fork", "dofork 8 16", "dontdump 8 16", "dodump 8 16"], "memfd anon"),
    "mergeable": (["same 8 16 0xc0c0", "mergeable 8 16", "!ksm", "fill 8 4 0xd000", "unmergeable 8 16"], "anon"),
    "soft_offline": (["!soft_offline"], "memfd anon"),
}

FILE = {
    "hole_punch": (["punch 8 16"], "memfd file= pfile="),
    "hole_punch_and_new_data": (["punch 8 16", "pfill 8 16 0x70000"], "memfd file="),
    "zero_range": (["zero 8 16"], "file="),
    "collapse_range": (["collapse 8 8", f"truncate {PAGES}"], "file="),
    "insert_range": (["insert 8 8"], "file="),
    "truncate": (["truncate 8", "?20", f"truncate {PAGES}", "pfill 8 16 0x90000"], "memfd file="),
    "pwrite": (["pfill 8 16 0x80000"], "memfd file="),
    "write_back": (["sync"], "file="),
    "msync": (["msync 0 64"], "file="),
    "dropped_page_cache": (["sync", "!drop"], "memfd file="),
}


def merge(bench):
    """Let KSM find the pages of equal contents."""
    def shared():
        with open("/sys/kernel/mm/ksm/pages_sharing") as pages:
            return int(pages.read())

    knob("/sys/kernel/mm/ksm/pages_to_scan", 1000)
    knob("/sys/kernel/mm/ksm/run", 1)
    wait_for("KSM", lambda: shared() >= 15, 30)
    note(f"KSM shares {shared()} pages")
    bench.same("merged by KSM")
    knob("/sys/kernel/mm/ksm/run", 0)


def soft_offline(bench):
    """Four pages move to other frames. Pages are in use at times, or on their way to a list (EIO); the kernel then says so."""
    moved = 0
    for page in range(8, 12):
        for _ in range(20):
            try:
                bench.server.do(f"soft_offline {page} 1")
                moved += 1
                break
            except AssertionError as error:
                assert "busy" in str(error) or "Input/output" in str(error), error
                time.sleep(0.05)
    note(f"{moved} pages moved")
    assert moved, "nothing was moved"


def readonly(bench):
    """While the lender may only read, so may the guest."""
    assert bench.read(8, 16) == bench.server.words(8, 16)
    bench.fails("write", 8, 1, 1)


OWN = {
    "ksm": merge, "soft_offline": soft_offline, "readonly": readonly,
    "drop": lambda bench: drop_caches(3),
}


def do(bench, command):
    if command[0] == "!":
        OWN[command[1:]](bench)
    elif command[0] == "?":
        bench.fails("read", int(command[1:]))
    else:
        bench.server.do(command)


def lease(bench, kind, more=""):
    """A lease, everything in it installed and written by both sides."""
    path = backing("invalidation.bin", PAGES * 4096) if kind.endswith("=") else ""
    bench.server.do(f"lease {kind}{path} {PAGES} {more}")
    bench.server.do(f"fill 0 {PAGES} 0x1000")
    bench.write(4, 8, 0x2000)
    bench.same(f"{kind} at first")


def after(bench, kind):
    """Both see the same, also of what the guest writes now."""
    bench.same(f"{kind} afterwards")
    bench.write(10, 4, 0x3000)
    assert bench.same(f"{kind} after a write of the guest's")[10:14] == [0x300a, 0x300b, 0x300c, 0x300d]
    stats = bench.server.stats()
    bench.server.do("unlease")
    return stats


def try_way(bench, commands, kinds):
    told = []
    for kind in kinds.split():
        lease(bench, kind)
        before = bench.server.stats()
        for command in commands:
            do(bench, command)
        stats = after(bench, kind)
        told.append(f"{kind.rstrip('=')} {stats['revokes'] - before['revokes']} calls/{stats['revoked'] - before['revoked']} pages")
    note("notified: " + ", ".join(told))


def each(table, wanted):
    with Bench() as bench:
        for name in wanted:
            bench.case(name, try_way, *table[name])


@limit(300)
@cases(*MAPPING)
def test_mapping(wanted):
    each(MAPPING, wanted)


@limit(300)
@cases(*MADVISE)
def test_madvise(wanted):
    with swap():
        each(MADVISE, wanted)


@limit(300)
@cases(*FILE)
def test_file(wanted):
    each(FILE, wanted)


# ---- Linux by itself -------------------------------------------------------------

def swap_out(bench):
    before = vmstat("pswpout")
    for kind in ("memfd", "anon", "shared"):
        lease(bench, kind)
        bench.server.do(f"pageout 0 {PAGES}")
        after(bench, kind)
    written = vmstat("pswpout") - before
    note(f"{written} pages were swapped out")
    assert written >= 3 * PAGES, written


def compaction(bench):
    before = vmstat("compact_migrate_scanned")
    for kind in ("memfd", "anon", "shared", "file="):
        lease(bench, kind)
        knob("/proc/sys/vm/compact_memory", 1)
        after(bench, kind)
    note(f"{vmstat('compact_migrate_scanned') - before} pages looked at")


def migration(bench):
    """Every page of the memory moves to another frame (soft-offlining migrates, and retires the old frame)."""
    lease(bench, "memfd")
    revoked = bench.server.stats()["revoked"]
    soft_offline(bench)
    assert bench.server.stats()["revoked"] > revoked, "moved, and nobody was told"
    after(bench, "memfd")


def memory_failure(bench):
    """A frame goes bad: the guest gets a machine check for it, and lives on with the others."""
    lease(bench, "memfd")
    bench.server.do("hwpoison 20 1")
    bench.fails("read", 20)
    assert bench.read(0, 20) == bench.server.words(0, 20)
    bench.server.do("punch 20 1")
    bench.server.do("munmap 20 1")         # the mapping may have a mark of its own
    bench.server.do("remap 20 1")
    assert bench.read(20, 1) == [0], "and a hole mends it"


def huge(bench):
    if not os.path.exists("/sys/kernel/mm/transparent_hugepage"):
        raise Skip("a PV dom0 has no huge pages")
    bench.server.do("lease thp 1024")
    bench.server.do("fill 0 1024 0x1000")
    bench.same("at first", 1024)
    assert bench.server.stats()["faults"] == 2, "dom0 has no huge pages to give"


def thp_split(bench):
    huge(bench)
    bench.server.do("split 0 1024")
    bench.same("split", 1024)
    bench.server.do("dontneed 8 16")
    bench.same("16 pages dropped", 1024)
    bench.write(0, 1024, 0x4000)
    bench.same("written", 1024)


def thp_collapse(bench):
    huge(bench)
    bench.server.do("split 0 1024")
    bench.same("split", 1024)
    before = bench.server.stats()["revoked"]
    bench.server.do("collapse_huge 0 1024")
    faults = bench.server.stats()
    assert faults["revoked"] > before, "collapsed, and nobody was told"
    bench.same("collapsed", 1024)
    assert bench.server.stats()["faults"] - faults["faults"] == 2, "not in superpages again"


def nodes():
    with open("/sys/devices/system/node/online") as online:
        if online.read().strip() == "0":
            raise Skip("dom0 has one node (a PV dom0 always)")


def moved_to_other_node(bench):
    """move_pages(), to one node and to the other."""
    nodes()
    for kind in ("memfd", "anon", "file="):
        lease(bench, kind)
        revoked = bench.server.stats()["revoked"]
        told = [bench.server.do(f"move 0 {PAGES} {node}") for node in (1, 0)]
        bench.same(f"{kind} moved")
        assert bench.server.stats()["revoked"] > revoked, "moved, and nobody was told"
        note(f"{kind.rstrip('=')}: {told[0]} pages on node 1, then {told[1]} on node 0")
        after(bench, kind)


def numa_balancing(bench):
    """The kernel makes what a process uses inaccessible from time to time, to see from which node it is used."""
    nodes()
    tune = "/sys/kernel/debug/sched/numa_balancing/"
    for name, value in (("scan_delay_ms", 50), ("scan_period_min_ms", 50), ("scan_period_max_ms", 100)):
        knob(tune + name, value)
    knob("/proc/sys/kernel/numa_balancing", 1)
    lease(bench, "anon")
    bench.server.do(f"move 0 {PAGES} 1")
    bench.same("moved")
    before, revokes = vmstat("numa_pte_updates"), bench.server.stats()["revokes"]
    for _ in range(8):
        bench.server.do(f"spin 0 {PAGES} 2")
        bench.same("looked at")
        if vmstat("numa_pte_updates") > before and bench.server.stats()["revokes"] > revokes:
            break
    note(f"{vmstat('numa_pte_updates') - before} page-table entries looked at, "
         f"{bench.server.stats()['revokes'] - revokes} notifier calls, {vmstat('numa_pages_migrated')} pages migrated")
    assert vmstat("numa_pte_updates") > before, "the kernel looked at nothing"
    assert bench.server.stats()["revokes"] > revokes, "and nobody was told"
    after(bench, "anon")


MEMORY_MANAGEMENT = {
    "swap": swap_out, "compaction": compaction, "migration": migration, "memory_failure": memory_failure,
}

# Huge pages and nodes are for a PVH dom0 only.
ON_PVH = {
    "thp_split": thp_split, "thp_collapse": thp_collapse, "moved_to_other_node": moved_to_other_node,
    "numa_balancing": numa_balancing, "swap": swap_out, "compaction": compaction,
}


@limit(300)
@cases(*MEMORY_MANAGEMENT)
def test_memory_management(wanted):
    with swap(), Bench() as bench:
        for name in wanted:
            bench.case(name, MEMORY_MANAGEMENT[name])


@pvh
@limit(300)
@cases(*ON_PVH)
def test_on_pvh(wanted):
    with swap(), Bench() as bench:
        for name in wanted:
            bench.case(name, ON_PVH[name])


# ---- a change elsewhere in the lease -----------------------------------------------

HALF = 256


@contextlib.contextmanager
def holes_elsewhere(path):
    """A process of dom0 that punches holes into the second half of the file, page after page, as fast as it can."""
    pid = os.fork()
    if not pid:
        try:
            for i in itertools.count():
                punch(path, (HALF + i % HALF) * 4096, 4096)
        finally:
            os._exit(1)
    try:
        yield
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def elsewhere(guest, server, around):
    """The guest reads the first half for the first time, page after page, and each has to come from the disk. Changes in the second
    half are no reason to start again."""
    path = backing("elsewhere.bin", 2 * HALF * 4096)
    server.do(f"lease file={path} {2 * HALF} {around}")
    server.do(f"random 0 {2 * HALF}")
    drop_caches(3)
    before = server.stats()
    with holes_elsewhere(path):
        seen = guest.must(f"touch {GFN:#x} {HALF} 1", timeout=200)
    after = server.stats()
    told = {name: after[name] - before[name] for name in ("faults", "revokes", "retries")}
    note("{faults} faults, {revokes} notifier calls meanwhile, {retries} resolves started again".format(**told))
    assert int(seen) == sum(server.words(0, HALF)) % (1 << 64), "the guest sees what the lender sees"
    assert told["faults"] >= HALF // 2 and told["revokes"] >= told["faults"] // 4, told
    assert told["retries"] <= told["faults"] // 50, told
    server.do("unlease")


# in the same window of fault-around, and outside of it
ELSEWHERE = {"neighbours": 2 << 20, "other_pages": 4096}


@limit(300)
@cases(*ELSEWHERE)
def test_elsewhere(wanted):
    with Ring0() as guest, Server(guest.domid) as server:
        for name in wanted:
            with case(name):
                elsewhere(guest, server, ELSEWHERE[name])
    no_kernel_complaints()


# ---- only the right to write goes ----------------------------------------------------

def counted(bench, *steps):
    """What the counters say about these steps."""
    before = bench.server.stats()
    for step in steps:
        step()
    after = bench.server.stats()
    return {name: after[name] - before[name] for name in ("faults", "revokes", "revoked", "flushes")}


def on_disk(path, page, count):
    """The first word of pages of a file, from the disk."""
    text = run("sh", "-c", f"dd if={path} iflag=direct bs=4096 skip={page} count={count} 2>/dev/null | od -An -v -tx8 -w4096"
                           " | awk '{ print $1 }'")
    return [int(word, 16) for word in text.split()]


def written_back(bench):
    """After a write to the disk reading goes on, and writing takes one fault for a page; the disk has what was written last."""
    path = backing("invalidation.bin", PAGES * 4096)
    bench.server.do(f"lease file={path} {PAGES}")
    bench.write(0, PAGES, 0x2000)
    told = counted(bench, lambda: bench.server.do("sync"), lambda: bench.same("written back"))
    note("sync and read: {faults} faults, {revokes} notifier calls, {revoked} pages taken out, {flushes} flushes".format(**told))
    assert told["revokes"] >= PAGES, "it was not written back"
    assert told["faults"] == 0 and told["revoked"] == 0, told
    assert told["flushes"] <= 16, "a flush for each page"
    told = counted(bench, lambda: bench.write(20, 1, 0x3000), lambda: bench.write(20, 1, 0x4000))
    assert told == {"faults": 1, "revokes": 0, "revoked": 0, "flushes": 0}, told
    bench.server.do("sync")
    assert on_disk(path, 20, 2) == [0x4000 + 20, 0x2000 + 21]
    told = counted(bench, *[lambda: bench.write(20, 1, 0x5000), lambda: bench.server.do("msync 20 1")] * 5)
    assert told["faults"] == told["flushes"] == 5 and told["revoked"] == 0, told
    assert on_disk(path, 20, 1) == [0x5000 + 20]


def written_meanwhile(bench):
    """The guest writes round after round while dom0 writes to the disk: in the end the disk has the last one."""
    path = backing("invalidation.bin", PAGES * 4096)
    bench.server.do(f"lease file={path} {PAGES}")
    job = bench.guest.send(f"gmem {GFN:#x} rounds 0 {PAGES} 12")
    before, syncs, end = bench.server.stats(), 0, time.monotonic() + 10
    while time.monotonic() < end:
        bench.server.do(("sync", "msync 8 16", "msync 0 64")[syncs % 3])
        syncs += 1
    code, text = bench.guest.collect(job)
    assert code == 0 and "wrong=0" in text, (code, text)
    after = bench.server.stats()
    rounds = int(text.split("rounds=")[1].split()[0])
    note(f"{rounds} rounds, {syncs} times to the disk, {after['faults'] - before['faults']} faults, "
         f"{after['flushes'] - before['flushes']} flushes")
    assert after["revokes"] - before["revokes"] > PAGES and rounds > 2
    bench.server.do("sync")
    wrong = [(i, word) for i, word in enumerate(on_disk(path, 0, PAGES)) if word != (rounds << 32) + i]
    assert not wrong, (rounds, wrong[:4])


def marked_soft_dirty(bench):
    """The kernel forgets who wrote where, and finds out again about a write of the guest's."""
    def marks():
        start = next(int(line.split("-")[0], 16) for line in maps() if path in line)
        with open(f"/proc/{bench.server.process.pid}/pagemap", "rb") as pages:
            pages.seek(start // 4096 * 8)
            return [i for i, (entry,) in enumerate(struct.iter_unpack("<Q", pages.read(8 * PAGES))) if entry >> 55 & 1]

    def maps():
        with open(f"/proc/{bench.server.process.pid}/maps", encoding="ascii") as lines:
            return lines.readlines()

    path = backing("invalidation.bin", PAGES * 4096)
    lease(bench, "file=")
    told = counted(bench, lambda: bench.server.do("softdirty"), lambda: bench.same("forgotten"))
    assert told["revokes"] and told["faults"] == 0 and told["revoked"] == 0, told
    assert marks() == [], "what nobody wrote to since"
    bench.write(10, 1, 0x3000)
    assert 10 in marks(), marks()


def forked(bench):
    """A child shares the pages until somebody writes. The guest follows the lender, who gets copies, and reads on until then."""
    lease(bench, "anon")
    told = counted(bench, lambda: bench.server.do("fork"), lambda: bench.same("forked"))
    note("{faults} faults, {revokes} notifier calls, {revoked} pages taken out".format(**told))
    assert told["revokes"] and told["faults"] == 0, told
    bench.write(10, 1, 0x3000)
    assert bench.same("written")[10] == 0x3000 + 10


DOWNGRADES = {
    "written_back": written_back, "written_meanwhile": written_meanwhile, "soft_dirty": marked_soft_dirty, "forked": forked,
}


@limit(300)
@cases(*DOWNGRADES)
def test_downgrade(wanted):
    knob("/proc/sys/vm/dirty_writeback_centisecs", 0)           # what is counted here is our own
    with Bench() as bench:
        for name in wanted:
            bench.case(name, DOWNGRADES[name])
    no_kernel_complaints()


# ---- processes that come and go ----------------------------------------------------

def fork(bench):
    for kind in ("memfd", "anon", "file=", "pfile="):
        lease(bench, kind)
        bench.server.do("fork")
        after(bench, kind)


def copy_on_write(bench):
    """A child has the old pages, the lender gets new ones: the guest has to follow the lender."""
    for kind in ("anon", "pfile="):
        lease(bench, kind)
        bench.server.do("cow 8 16 0x70000")
        assert bench.read(8, 16) == [0x70000 + i for i in range(16)], kind
        after(bench, kind)


def gone(bench):
    """The process that leased is no more: nothing is installed, an access fails, the lease can be ended."""
    wait_for("the end of the mappings", lambda: bench.server.stats()["installed"] == 0, 20)
    bench.fails("read", 5)


def leased_by_child(bench, kind="memfd", more=""):
    bench.server.do(f"lease {kind} {PAGES} child {more}")
    bench.write(0, PAGES, 0x2000)
    assert bench.read(0, PAGES) == [0x2000 + i for i in range(PAGES)]
    return int(run("pgrep", "-P", str(bench.server.process.pid)).split()[0])


def exit_of_lender(bench):
    leased_by_child(bench)
    bench.server.do("end exit")
    gone(bench)


def sigkill(bench):
    leased_by_child(bench)
    bench.server.do("end kill")
    gone(bench)


def listener_gone(bench):
    """The kernel answers, on threads of the process that is no more, and another one has the file."""
    for how in "exit", "kill":
        leased_by_child(bench, more="listen")
        assert bench.server.stats()["answered"] > 0, "it was not the kernel that answered"
        bench.server.do(f"end {how}")
        gone(bench)
        bench.server.do("unlease")


def revoke_events():
    """What the tracepoint xen_lend:xen_lend_revoke says from now on, as a function."""
    trace = "/sys/kernel/tracing"
    knob(trace + "/trace", "")
    knob(trace + "/events/xen_lend/xen_lend_revoke/enable", 1)

    def events():
        with open(trace + "/trace") as text:
            return [line for line in text if "xen_lend_revoke:" in line]
    return events


def out_of_memory(pid):
    """Linux has run out of memory (so says the administrator, by SysRq), and this process has the worst score."""
    kills = vmstat("oom_kill")
    knob(f"/proc/{pid}/oom_score_adj", 1000)
    knob("/proc/sysrq-trigger", "f")
    wait_for("the OOM killer", lambda: vmstat("oom_kill") > kills, 20)


def oom_killer(bench):
    out_of_memory(leased_by_child(bench))
    gone(bench)


def oom_reaper(bench):
    """The path that may not sleep: the lender is killed and cannot die (it writes to a file system that is frozen), and the OOM
    reaper takes its memory all the same, which is to say what is private and anonymous."""
    pid = leased_by_child(bench, "anon")
    events = revoke_events()
    bench.server.do("freeze")
    try:
        out_of_memory(pid)
        wait_for("the OOM reaper", lambda: any("nonblocking" in line for line in events()), 20)
        assert bench.server.stats()["installed"] == 0
        assert os.path.exists(f"/proc/{pid}"), "the process is dead, which proves nothing"
        bare = [line.split("xen_lend_revoke: ")[1].strip() for line in events() if "nonblocking" in line]
        note(f"{len(bare)} notifier calls that may not sleep, the first: {bare[0]}")
    finally:
        bench.server.do("thaw")
        knob("/sys/kernel/tracing/events/xen_lend/xen_lend_revoke/enable", 0)
    gone(bench)


def module_unload(bench):
    """Refused for as long as a descriptor is open."""
    lease(bench, "memfd")
    text = run("rmmod", "xen_lend", check=False)
    assert "in use" in text, text
    bench.same("afterwards")


PROCESSES = {
    "fork": fork, "copy_on_write": copy_on_write, "exit": exit_of_lender, "sigkill": sigkill, "listener_gone": listener_gone,
    "oom_killer": oom_killer, "oom_reaper": oom_reaper, "module_unload": module_unload,
}


@limit(300)
@cases(*PROCESSES)
def test_process(wanted):
    with Bench() as bench:
        for name in wanted:
            bench.case(name, PROCESSES[name])
    no_kernel_complaints()
