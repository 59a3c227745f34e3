# SPDX-License-Identifier: GPL-2.0-or-later
"""What xl does to a guest that has a lease, and to one that waits for a page of it: each command works, or is refused and the guest
goes on. docs/user-guide.md has the table."""

import contextlib
import os
import re
import time

from coredump import Core
from lendlab import DATA, Guest, backing, case, cases, domains, ivshmem, limit, note, run, wait_for
from lendvmm import Ring0, Server, no_kernel_complaints
from test_qemu import frozen

IMAGE = DATA + "/toolstack.save"
CORES = "/var/lib/xen/dump"
SIZE = 2 << 20


def xl(*argv, timeout=120):
    """(exit code, what it said)"""
    text = run("sh", "-c", 'xl "$@" 2>&1; echo "code=$?"', "xl", *argv, timeout=timeout)
    said, code = text.rsplit("code=", 1)
    return int(code), said.strip()


def works(*argv, **kw):
    code, said = xl(*argv, **kw)
    assert code == 0, f"xl {argv[0]}: {code} {said[-300:]}"


def pause(guest):
    works("pause", guest.name)
    run("sleep", "1")
    works("unpause", guest.name)


def rename(guest):
    works("rename", guest.name, "renamed")
    works("rename", "renamed", guest.name)


def mem_set(guest):
    works("mem-set", guest.name, "176")
    works("mem-set", guest.name, "192")


def vcpu_set(guest):
    works("vcpu-set", guest.name, "2")
    works("vcpu-set", guest.name, "1")


def nmi(guest):
    works("trigger", guest.name, "nmi", "0")


def monitor(guest):
    guest.qmp("stop")
    run("sleep", "1")
    guest.qmp("cont")


def save(guest):
    code, said = xl("save", guest.name, IMAGE)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(IMAGE)
    assert code and "resuming domain" in said, f"xl save: {code} {said[-300:]}"
    note(f"xl save: {said.splitlines()[-1]}")


def migrate(guest):
    code, said = xl("migrate", "-s", "", guest.name, "xl migrate-receive")
    assert code, f"xl migrate: {code} {said[-300:]}"
    note(f"xl migrate: {said.splitlines()[-1]}")
    assert [name for name in domains() if name.startswith(guest.name)] == [guest.name], domains()


COMMANDS = {"pause": pause, "rename": rename, "mem_set": mem_set, "vcpu_set": vcpu_set, "nmi": nmi, "monitor": monitor,
            "save": save, "migrate": migrate}


def borrower(path, **kw):
    return Guest("toolstack", ivshmem(path, SIZE), extra="maxvcpus = 2", **kw)


def in_order(guest, number):
    """The guest is there, and so is its memory."""
    text = f"in order {number}"
    guest.must(f"bar write 8192 '{text}'", timeout=60)
    assert guest.must(f"bar cat 8192 {len(text)}", timeout=60) == text
    assert guest.alive() and len(guest.leases()) == 1


@limit(400)
@cases(*COMMANDS)
def test_lease(wanted):
    """A lease is there, with pages installed."""
    path = backing("toolstack", SIZE)
    with borrower(path) as guest:
        for number, name in enumerate(wanted):
            with case(name):
                in_order(guest, number)
                COMMANDS[name](guest)
                in_order(guest, number + 100)
    os.unlink(path)
    no_kernel_complaints()


@limit(400)
@cases("pause", "rename", "mem_set", "nmi", "monitor", "migrate")
def test_waiting(wanted):
    """A vCPU waits for a page: its file system is frozen meanwhile. (vcpu_set is not among these: docs/limits.md, "Waiting".)"""
    path = backing("toolstack", SIZE)
    with borrower(path) as guest:
        for number, name in enumerate(wanted):
            with case(name):
                in_order(guest, number)
                run("sync")         # clean pages: a write has to ask
                with frozen():
                    pending = guest.send(f"bar write 65536 'waited {number}'")
                    wait_for("a vCPU to wait", lambda: guest.lease()["waiting"] == 1, 20)
                    COMMANDS[name](guest)
                assert guest.collect(pending, timeout=60)[0] == 0
                assert guest.must(f"bar cat 65536 {len(f'waited {number}')}") == f"waited {number}"
                in_order(guest, number + 100)
    os.unlink(path)
    no_kernel_complaints()


@limit(240)
def test_unplugged():
    """As the user guide says: without the device a guest can be saved and restored, and then gets it again."""
    path = backing("toolstack", SIZE)
    device = ivshmem(path, SIZE)
    device[3] += ",id=lend0"
    with Guest("toolstack", device) as guest:
        guest.must("bar write 8192 before")
        guest.hmp("device_del lend0")
        wait_for("the end of the lease", lambda: not guest.leases(), 30)
        guest.hmp("object_del lm")
        works("save", guest.name, IMAGE)
    guest = Guest("toolstack")
    try:
        guest.create(60, IMAGE)
    finally:
        os.unlink(IMAGE)
    with contextlib.closing(guest.adopt(booting=False)):
        guest.hmp("object_add memory-backend-file,id=lm,share=on,mem-path=%s,size=%d" % (path, SIZE))
        guest.hmp("device_add ivshmem-plain,id=lend0,memdev=lm")
        wait_for("the device in the guest", lambda: guest.run("bar size")[1].strip() == str(SIZE), 30)
        assert guest.must("bar cat 8192 6") == "before" and len(guest.leases()) == 1
    os.unlink(path)
    no_kernel_complaints()


@limit(240)
def test_reboot():
    """The guest reboots, and has its memory again."""
    path = backing("toolstack", SIZE)
    guest = borrower(path)
    guest.config = re.sub('on_reboot = ".*"', 'on_reboot = "restart"', guest.config)
    with guest:
        in_order(guest, 1)
        first = guest.domid
        works("reboot", "-F", guest.name)
        wait_for("the next life of the guest", lambda: domid(guest) not in (None, first), 60)
        guest.adopt()
        in_order(guest, 2)
    os.unlink(path)
    no_kernel_complaints()


def domid(guest):
    text = run("xl", "domid", guest.name, check=False).strip()
    return int(text) if text.isdigit() else None


# ---- core dumps ------------------------------------------------------------
#
# A core dump tries each page from 0 to the guest's highest until it has as many as the guest has. The special pages below 4 GiB,
# which are the guest's, too, it leaves out; so it tries all below 3.75 GiB, 5 min here, however small the guest. This guest has
# frames of its grant table in their stead, above the lease. (torture_toolstack.py has guests that do without that.)

LOW = 0x1400            # the lease: above the guest's 16 MiB
PAGES = 64
FRAMES = LOW + PAGES, 64
VALUE = 0x1e4d0000


class Dumped(Ring0):
    def __init__(self, **kw):
        super().__init__("dumped", vcpus=2, extra="max_grant_frames = 128", **kw)

    def lent(self):
        """A lender: half of the pages are installed, half absent."""
        assert self.must(f"crash frames {FRAMES[0]:#x} {FRAMES[1]}").strip() == "0"
        server = Server(self.domid, LOW)
        server.do(f"lease memfd {PAGES} 4096")
        server.do(f"fill 0 {PAGES} {VALUE:#x}")
        self.still_lent(PAGES // 2)
        assert server.stats()["installed"] == PAGES // 2
        return server

    def still_lent(self, pages=PAGES):
        assert int(self.must(f"touch {LOW:#x} {pages} 1")) == pages * VALUE + pages * (pages - 1) // 2


def no_lent_page(path):
    """The core has the guest's memory, and nothing of what it borrows."""
    core = Core(path)
    lent = [gfn for gfn in core.pages if LOW <= gfn < LOW + PAGES]
    assert not lent, f"{len(lent)} lent pages are in the core, the first at {lent[0]:#x}"
    # a PVH guest has RAM where others have VGA's memory; a core lacks that
    assert len([gfn for gfn in core.pages if gfn < 0x1000]) == 0x1000 - 0x20, len(core.pages)
    with open("/usr/lib/xen-lend/guest/ring0", "rb") as kernel:
        words = b"no such command\n"
        assert words in kernel.read()
    assert any(words in core.page(gfn) for gfn in range(0x100, 0x140)), "the guest's program is not in the core"
    note(f"the core has {len(core.pages)} pages, none of them lent")


@limit(200)
@cases("lease", "waiting")
def test_dump_core(wanted):
    """xl dump-core of a guest that runs: with a lease, and while a vCPU waits for a page."""
    path = CORES + "/dumped"
    os.makedirs(CORES, exist_ok=True)
    for name in wanted:
        with case(name), Dumped() as guest, contextlib.closing(guest.lent()) as server:
            if name == "waiting":
                server.do("stall on")
                pending = guest.send(f"touch {LOW + PAGES - 1:#x} 1 1")
                wait_for("a vCPU to wait", lambda: server.do("waiting") == "1", 10)
            before = time.monotonic()
            works("dump-core", guest.name, path)
            note(f"{time.monotonic() - before:.0f} s")
            no_lent_page(path)
            if name == "waiting":
                assert server.do("waiting") == "1"
                server.do("stall off")
                assert guest.collect(pending) == (0, f"{VALUE + PAGES - 1}\n")
            guest.still_lent()
            os.unlink(path)
    no_kernel_complaints()


@limit(200)
@cases("lease", "waiting")
def test_crash(wanted):
    """on_crash = "coredump-restart": there is a core, and the next life of the guest borrows again.
    With a lease, and while a vCPU waits."""
    path = CORES + "/dumped"        # xl calls it by the guest's name
    os.makedirs(CORES, exist_ok=True)
    for name in wanted:
        with case(name):
            guest = Dumped()
            guest.config = guest.config.replace('on_crash = "destroy"', 'on_crash = "coredump-restart"')
            with guest, contextlib.closing(guest.lent()) as server:
                if name == "waiting":
                    server.do("stall on")
                    guest.must(f"crash behind {LOW + PAGES - 1:#x}")
                    wait_for("a vCPU to wait", lambda: server.do("waiting") == "1", 10)
                first = guest.domid
                guest.send("crash now")
                wait_for("the next life of the guest", lambda: domid(guest) not in (None, first), 90)
                guest.adopt()
                no_lent_page(path)
                os.unlink(path)
                with contextlib.closing(guest.lent()):
                    guest.still_lent()
    no_kernel_complaints()
