# SPDX-License-Identifier: GPL-2.0-or-later
"""The lane torture on the debug kernel: kinds of backing and ways of losing it, at random,
for as long as LEND_TORTURE_SECONDS says.

A guest has two leases. On the one, any kind of memory, anything is done that test_invalidation.py knows for that kind, and after
each step guest and lender have to see the same; or it is a whole test of test_backing.py or test_invalidation.py. On the other, a
process of the guest reads and writes all the time and checks what it reads, while there is done to it what leaves contents
alone."""

import collections
import contextlib
import random
import re
import time

import test_backing
import test_invalidation as inv
from fusefile import FuseFile
from lendlab import Skip, ask, backing, debug, knob, limit, note, pattern, timed
from lendvmm import GFN, Bench, Server, swap
from torture_debug import clean, quiet

PAGES = 64
OTHER = GFN + 8192

# Ways to lose pages 8 to 23 for kinds that the tables of test_invalidation.py do not name.
REMAP = ["munmap 8 16", "?8", "remap 8 16"]
PROTECT = ["ro 8 16", "!readonly", "rw 8 16"]
BARE = [REMAP, PROTECT, ["none 8 16", "?8", "rw 8 16"], ["fill 8 16 0xa0000"], ["fork"]]
WAYS = {
    "udmabuf": [*BARE, ["punch 8 16"]],
    "heap": BARE,
    "dev=": BARE,
    "thp": [["split 0 512"], ["dontneed 8 16"], ["fill 8 16 0xa0000"], PROTECT, ["collapse_huge 0 512"], ["fork"], ["softdirty"]],
    "fuse=": [REMAP, PROTECT, ["sync"], ["sync", "!drop"], ["fill 8 16 0xa0000"], ["msync 0 64"]],
}
for table in (inv.MAPPING, inv.MADVISE, inv.FILE):
    for commands, kinds in table.values():
        for kind in kinds.split():
            WAYS.setdefault(kind, []).append(commands)

# By descriptor nothing is mapped: what can be done is done to the file.
WAYS["fd memfd"] = [["punch 8 16"], ["punch 8 16", "pfill 8 16 0x70000"], ["truncate 8", "?20", f"truncate {PAGES}"],
                    ["pfill 8 16 0x80000"], ["fill 8 16 0xa0000"]]
WAYS["fd file="] = [*WAYS["fd memfd"], ["sync"], ["sync", "!drop"], ["zero 8 16"]]
WAYS["fd udmabuf"] = [["fill 8 16 0xa0000"], ["punch 8 16"]]

# What Linux may refuse
FAVOURS = ("collapse_huge", "split", "move", "soft_offline")

# What the process that reads and writes on the other lease does not notice: by kind.
SAME = ["cold 0 64", "sync", "softdirty", "fork", "!compact", "soft_offline 3 1", "populate_write 0 64"]
UNSEEN = {
    "memfd": [*SAME, "pageout 0 64", "willneed 0 64"],
    "anon": [*SAME, "pageout 0 64", "mergeable 0 64", "unmergeable 0 64", "hugepage 0 64", "move 0 64 1", "move 0 64 0"],
    "shared": [*SAME, "pageout 0 64"],
    "file=": [*SAME, "pageout 0 64", "msync 0 64", "!drop", "move 0 64 1", "move 0 64 0"],
    "pfile=": [*SAME, "pageout 0 64", "!drop"],
    "thp": [*SAME, "split 0 512", "collapse_huge 0 512", "pageout 0 64"],
}

# Whole tests: those that do not count how huge pages are given, which is the allocator's affair after an hour of this.
STORIES = {**test_backing.FILES, **test_backing.MEMORY, **test_backing.DESCRIPTORS, **test_backing.STALLS,
           "swap": inv.swap_out, "migration": inv.migration, "memory_failure": inv.memory_failure,
           "fork": inv.fork, "copy_on_write": inv.copy_on_write, "exit": inv.exit_of_lender,
           "hugetlb": test_backing.hugetlb, "hugetlb_by_fd": test_backing.fd_of_hugetlb, "other_node": inv.moved_to_other_node,
           "sigkill": inv.sigkill, "oom_killer": inv.oom_killer, "oom_reaper": inv.oom_reaper}


class Mix:
    def __init__(self, bench, seed):
        self.bench, self.random, self.other = bench, random.Random(seed), None
        self.done = collections.Counter()
        self.doing = []

    def close(self):
        if self.other:
            self.other.close()

    # ---- the lease to which anything happens ----

    def walk(self):
        """A lease with random properties, random ways, and both sides compared after each."""
        kind = self.random.choice(list(WAYS))
        more = ["fd"] if kind.startswith("fd ") else []
        name = kind.removeprefix("fd ")
        with contextlib.ExitStack() as stack:
            path, pages = "", PAGES
            if name == "dev=":
                path, more = test_backing.bar_of_shared_memory(), ["wc"]
            elif name == "fuse=":
                name, path = "file=", stack.enter_context(FuseFile(pattern(PAGES * 4096))).path
            elif name.endswith("="):
                path = backing("mix.bin", PAGES * 4096)
            elif name == "thp":
                pages = 512
            if self.random.random() < 0.5:
                more.append(str(4096 << self.random.randrange(10)))
            self.do(self.bench.server, f"lease {name}{path} {pages} {' '.join(more)}")
            self.do(self.bench.server, f"fill 0 {PAGES} {self.random.randrange(1 << 40):#x}")
            self.bench.same(kind)
            for _ in range(self.random.randrange(2, 9)):
                commands = self.random.choice(WAYS[kind])
                for command in commands:
                    self.ask(self.bench, command) if command.split()[0] in FAVOURS else self.do(self.bench, command)
                self.bench.same(kind)
                if commands == ["over 8 16"]:       # what comes next is for memory of that kind
                    self.do(self.bench, "remap 8 16")
                    self.bench.same(kind)
                if self.random.random() < 0.5:
                    value, first = self.random.randrange(1 << 40), self.random.randrange(PAGES - 8)
                    self.bench.write(first, 8, value)
                    assert self.bench.same(kind)[first:first + 8] == [value + first + i for i in range(8)]
                self.done[kind] += 1
                self.elsewhere()
            self.do(self.bench.server, "unlease")

    def do(self, target, command):
        self.doing.append(command)
        if target is not self.bench:
            return target.do(command)
        if command == "!compact":
            return knob(f"/sys/devices/system/node/node{self.random.randrange(2)}/compact", 1)
        return inv.do(target, command)

    def story(self):
        name = self.random.choice(list(STORIES))
        self.doing.append(name)
        with contextlib.suppress(Skip):
            STORIES[name](self.bench)
        if self.bench.leased():
            self.do(self.bench.server, "unlease")
        self.done["stories"] += 1

    # ---- the lease that is used all the time ----

    def begin(self, seconds):
        self.kind = self.random.choice(list(UNSEEN))
        path = backing("other.bin", PAGES * 4096) if self.kind.endswith("=") else ""
        self.doing = [f"other: {self.kind}"]
        if not self.other:
            self.other = Server(self.bench.guest.domid, OTHER)
        self.other.do(f"lease {self.kind}{path} {512 if self.kind == 'thp' else PAGES}")
        self.bench.guest.must(f"rm -f /tmp/rounds; (gmem -c 1 {OTHER:#x} rounds 0 {PAGES} {seconds} >/tmp/rounds 2>&1; "
                              "echo code=$? >>/tmp/rounds) & true")

    def elsewhere(self):
        command = self.random.choice(UNSEEN[self.kind])
        self.doing.append("other:")
        self.ask(self.bench if command[0] == "!" else self.other, command)
        self.done["unseen"] += 1

    def ask(self, target, command):
        """What Linux may refuse: pages that cannot be moved now, no huge page to be had."""
        try:
            self.do(target, command)
        except AssertionError as error:
            assert re.search("busy|Resource temp|Cannot alloc|Invalid arg|Input/output", str(error)), error
            self.done["refused"] += 1

    def end(self):
        for _ in range(120):
            said = self.bench.guest.must("cat /tmp/rounds")
            if "code=" in said:
                break
            time.sleep(0.5)
        assert "wrong=0" in said and "code=0" in said, f"reads and writes on {self.kind}: {said}"
        self.done["rounds"] += int(re.search(r"rounds=(\d+)", said)[1])
        real = self.other.words(0, PAGES)
        assert self.bench.read(0, PAGES, OTHER) == real, f"{self.kind} in the end"
        self.done["revoked"] += self.other.stats()["revoked"]
        self.other.do("unlease")

    def batch(self, seconds):
        self.begin(seconds)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            (self.walk if self.random.random() < 0.8 else self.story)()
        self.end()


@debug
@timed
@limit(1500)
def test_mix():
    seed, seconds = ask(seed=True), ask(seconds=True)
    note(f"seed {seed} (LEND_SEED={seed} repeats it, but for the timing), {seconds} s")
    quiet()
    knob("/proc/sys/vm/dirty_writeback_centisecs", 0)       # what counts faults wants no write-back of its own accord
    end = time.monotonic() + seconds
    with swap(), Bench(vcpus=2, cmdline="isolcpus=1 irqaffinity=0") as bench:
        mix = Mix(bench, seed)
        with contextlib.closing(mix):
            batches = 0
            while time.monotonic() < end:
                bench.start()
                try:
                    mix.batch(min(20, max(3, int(end - time.monotonic()))))
                except Exception:
                    note(f"batch {batches}: {'; '.join(mix.doing[-25:])}")
                    raise
                batches += 1
        told = ", ".join(f"{name} {number}" for name, number in mix.done.most_common())
        note(f"{batches} batches: {told}")
    clean()
