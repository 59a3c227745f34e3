# SPDX-License-Identifier: GPL-2.0-or-later
"""virtio-pmem when dom0 cannot give a page back: its file system is full, its disk fails, the file was cut short. With the policy
`fault` the process that touches the page gets SIGBUS, with `zero` it sees zeros where it could not read; another process of the
guest never notices."""

import contextlib
import ctypes
import errno
import os

import scenario
from lendlab import LIBC, case, cases, limit, madvise, note, pmem, punch, run, wait_for
from test_pmem import EXT4, MIB, PAGES, borrower, image, mount, words_in

SIZE = 16 * MIB
DISK = 80 * MIB
LOST = 8, 8                         # the pages that cannot be had: first, count


class Disk:
    """A file system of dom0's, of its own, on a disk that can be made to fail (device mapper)."""

    def __init__(self):
        run("modprobe", "-a", "loop", "dm-flakey")
        self.loop = run("losetup", "--find", "--show", image("disk.img", DISK)).strip()
        self.sectors = DISK // 512
        run("dmsetup", "create", "lendbad", "--table", self.table("linear"))
        run("dmsetup", "mknodes")
        self.where = "/tmp/disk"

    def table(self, target):
        return f"0 {self.sectors} " + {"linear": f"linear {self.loop} 0", "error": "error",
                                       "read_only": f"flakey {self.loop} 0 0 60 1 error_writes"}[target]

    def becomes(self, target):
        run("dmsetup", "suspend", "--noflush", "--nolockfs", "lendbad")
        run("dmsetup", "reload", "lendbad", "--table", self.table(target))
        run("dmsetup", "resume", "lendbad")

    def __enter__(self):
        run("mkfs.ext4", "-q", "-b", "4096", "-O", "^has_journal", "-m", "0", "-E", "lazy_itable_init=0", "/dev/mapper/lendbad")
        run("mkdir", "-p", self.where)
        run("mount", "-o", "errors=continue", "/dev/mapper/lendbad", self.where)
        return self

    def __exit__(self, *exc):
        self.becomes("linear")
        run("umount", self.where)
        run("dmsetup", "remove", "lendbad")
        run("losetup", "-d", self.loop)

    def fill(self):
        """Until there is no block left, also when what was reserved for writing back has been returned."""
        full = 0
        with open(self.where + "/rest", "wb", buffering=0) as out:
            while full < 3:
                try:
                    out.write(bytes(4096 if full else MIB))
                    os.fsync(out.fileno())
                except OSError as error:
                    assert error.errno == errno.ENOSPC, error
                    full += 1


def cached(path, offset, length):
    """How many pages of that part of the file are in dom0's page cache (cachestat, Linux 6.5)."""
    counts = (ctypes.c_uint64 * 5)()
    with open(path, "rb") as data:
        assert not LIBC.syscall(451, data.fileno(), (ctypes.c_uint64 * 2)(offset, length), counts, 0), ctypes.get_errno()
    return counts[0]


def no_space(disk, path, first, guest):
    """A hole in the file that no block is left for: it can be read, not written."""
    punch(path, (first + LOST[0]) * 4096, LOST[1] * 4096)
    disk.fill()
    return f"store {LOST[0]} 1 0x7000"


def bad_disk(disk, path, first, guest):
    """The pages are on the disk only, and it fails."""
    os.sync()
    disk.becomes("error")
    part = (first + LOST[0]) * 4096, LOST[1] * 4096

    def gone():     # and it does not come back: nothing can be read ahead
        madvise(guest.dm_pid(), path, 21, *part)
        with open(path, "rb") as data:
            os.posix_fadvise(data.fileno(), *part, os.POSIX_FADV_DONTNEED)
        return not cached(path, *part)

    wait_for("empty page cache", gone, 20)
    return f"load {LOST[0]} 1"


def cut_short(disk, path, first, guest):
    """The file ends in front of the pages."""
    os.truncate(path, (first + LOST[0]) * 4096)
    return f"load {LOST[0]} 1"


WAYS = {"full_file_system": no_space, "io_error": bad_disk, "truncated": cut_short}


def lose(way, policy, disk, guest, number):
    """In a guest that has a device for each way: what becomes of the one with this number."""
    path, where, name = f"{disk.where}/pmem{number}.img", f"/mnt/{number}", f"pm{number}"
    # the guest's kernel has no reason to touch what is lost
    mount(guest, device=f"/dev/pmem{number}", options="dax,noatime", where=where)
    guest.must(f"dax make {where}/g 4; dax make {where}/f {PAGES}; sync")
    guest.must(f"dax store {where}/f 0 {PAGES} 0x100")
    first, count = map(int, guest.must(f"dax where {where}/f").split())
    assert count >= PAGES, "the file is in pieces"
    assert guest.lease(name)["policy"] == policy
    guest.must(f"dax store {where}/g 0 4 0x40; sync")
    guest.must(f"(dax watch {where}/g 300 >/tmp/watch{number} 2>&1; echo code=$? >>/tmp/watch{number}) & true")
    touch, *rest = WAYS[way](disk, path, first, guest).split()
    code, text = guest.run(f"dax {touch} {where}/f {' '.join(rest)}")
    # zeros stand for what cannot be read; a write that has no place is an error all the same
    if policy == "fault" or way == "full_file_system":
        assert code == 7 and "SIGBUS" in text, (code, text)
    else:
        assert (code, text.strip()) == (0, "0"), (code, text)
    if policy == "zero" and way == "truncated":
        code, text = guest.run(f"dax store {where}/f {LOST[0] + 1} 1 0x7000")
        assert code == 7 and "SIGBUS" in text, (code, text)
    failed = guest.lease(name)["failed"]
    note(f"{touch}: {text.split()[-1]}; {failed} faults answered with failure")
    assert (failed > 0) == (code == 7), failed
    disk.becomes("linear")
    assert guest.must(f"dax load {where}/f 0 {LOST[0]}").split() == [f"{0x100 + i:x}" for i in range(LOST[0])]
    watch = guest.must(f"sleep 5; cat /tmp/watch{number}; pidof dax >/dev/null && echo goes on")
    assert watch == "goes on", watch        # it has nothing to say


def lose_each(ways, policy):
    """One guest for all: it goes on after each of them."""
    with Disk() as disk:
        paths = [image(f"pmem{number}.img", SIZE, EXT4, where=disk.where) for number in range(len(ways))]
        more = [pmem(path, SIZE, ident=f"pm{number}") for number, path in enumerate(paths)][1:]
        with borrower(paths[0], SIZE, devices=[*sum(more, []), "-machine", f"xen-lend-failure={policy}"]) as guest:
            for number, way in enumerate(ways):
                with case(way):
                    lose(way, policy, disk, guest, number)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(disk.where + "/rest")
    scenario.healthy()


@limit(400)
@cases(*WAYS)
def test_fault(wanted):
    """SIGBUS for the process that touches the page."""
    lose_each(wanted, "fault")


@limit(400)
@cases(*WAYS)
def test_zero(wanted):
    """Zeros for it, if it reads."""
    lose_each(wanted, "zero")


@limit(120)
def test_flush_error():
    """A disk that takes no writes: the guest's msync says EIO. What it stores after that is safe again when it is told so."""
    with Disk() as disk:
        path = image("pmem.img", SIZE, EXT4, where=disk.where)
        with borrower(path, SIZE) as guest:
            mount(guest)
            guest.must(f"dax make /mnt/f {PAGES}; sync")
            guest.must(f"dax store /mnt/f 0 {PAGES} 0x100")
            os.sync()
            disk.becomes("read_only")
            code, text = guest.run(f"dax store /mnt/f 0 {PAGES} 0x200")
            assert (code, text.strip()) == (2, "msync: EIO"), (code, text)
            disk.becomes("linear")
            guest.must(f"dax store /mnt/f 0 {PAGES} 0x300")
            guest.must("umount /mnt")
        assert words_in(path) == [0x300 + i for i in range(PAGES)]
    scenario.healthy()
