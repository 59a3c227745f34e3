# SPDX-License-Identifier: GPL-2.0-or-later
"""virtio-pmem: a file of dom0's as persistent memory of the guest, used with DAX. QEMU's window for memory devices, the unmodified
drivers of the guest, and flushes by the virtio queue."""

import contextlib
import os
import random
import re
import struct
import time

import scenario
from lendlab import DATA, Guest, ask, case, cases, drop_caches, limit, madvise, note, pmem, run, sha256, tell, wait_for

MIB = 1 << 20
PAGES = 32                          # of the file that is hammered
CUTS = 50


def image(name, size, mkfs=None, where=DATA):
    """A sparse file, perhaps with a file system; its path."""
    path = f"{where}/{name}"
    with open(path, "wb") as out:
        out.truncate(size)
    if mkfs:
        run(*mkfs, path, timeout=120)
        os.sync()
    return path


EXT4 = ["mkfs.ext4", "-q", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-J", "size=4"]
SYSTEMS = {"ext4": (EXT4, 64 * MIB), "xfs": (["mkfs.xfs", "-q", "-m", "reflink=0"], 304 * MIB)}


@contextlib.contextmanager
def mounted(path, options):
    """The file system of an image, in dom0."""
    run("modprobe", "loop")
    run("mkdir", "-p", "/tmp/mnt")
    run("mount", "-o", options, path, "/tmp/mnt")
    try:
        yield "/tmp/mnt"
    finally:
        run("umount", "/tmp/mnt")


def words_in(path):
    """The first word of each page of the file f on an image, as dom0 sees it."""
    with mounted(path, "loop,ro") as where, open(where + "/f", "rb") as data:
        return [struct.unpack("<Q", data.read(4096)[:8])[0] for _ in range(PAGES)]


def borrower(path, size, more="", devices=(), memory=256, **kw):
    return Guest(args=[*pmem(path, size, more=more), *devices], initrd="initrd-pmem.gz", memory=memory, **kw)


def mount(guest, kind="ext4", device="/dev/pmem0", options="dax", where="/mnt"):
    wait_for(f"{device} of the guest", lambda: guest.run(f"test -b {device}")[0] == 0, 20)
    guest.must(f"mkdir -p {where}; mount -t {kind} -o {options} {device} {where}")


def numbers(first, count):
    return [f"{first + i:x}" for i in range(count)]


@limit(400)
@cases("ext4", "xfs")
def test_dax(wanted):
    """A file system with DAX: written by the guest, flushed by msync, taken away by dom0 meanwhile, read by dom0 after that."""
    for kind in wanted:
        with case(kind):
            mkfs, size = SYSTEMS[kind]
            path = image("pmem.img", size, mkfs)
            with borrower(path, size) as guest:
                mount(guest, kind)
                guest.must(f"dax make /mnt/f {PAGES}")
                assert guest.must("dax is /mnt/f") == "1"
                code, text = guest.run("dax sync /mnt/f")
                assert (code, text.strip()) == (2, "MAP_SYNC: EOPNOTSUPP"), (code, text)
                guest.must(f"dax store /mnt/f 0 {PAGES} 0x1000")
                rounds = guest.send("dax rounds /mnt/f 5")
                for _ in range(8):
                    time.sleep(0.4)
                    madvise(guest.dm_pid(), path, 21)
                text = guest.collect(rounds)[1]
                last = int(re.findall(r"round (\d+)", text)[-1])
                assert guest.must(f"dax load /mnt/f 0 {PAGES}").split() == [f"{last:x}"] * PAGES
                guest.must(f"dax store /mnt/f 0 {PAGES} 0x7000")
                lease = guest.lease("pm0")
                assert lease["failed"] == 0 and lease["revoked"] > PAGES, lease
                guest.must("umount /mnt")
                note(f"{last} rounds of {PAGES} pages while pages were taken away; "
                     f"{lease['faults']} faults, {lease['revoked']} pages revoked")
            words = words_in(path)
            assert words == [0x7000 + i for i in range(PAGES)], words
            scenario.healthy()


@contextlib.contextmanager
def hammered(seconds):
    """A guest that stores and syncs; a function that says which round has been acknowledged, and the pages of the image."""
    path = image("pmem.img", 16 * MIB, EXT4)
    with borrower(path, 16 * MIB) as guest:
        mount(guest)
        guest.must(f"dax make /mnt/f {PAGES}; sync")
        first, count = map(int, guest.must("dax where /mnt/f").split())
        assert count >= PAGES, "the file is in pieces"
        guest.send(f"dax rounds /mnt/f {seconds}")

        def acknowledged():
            found = re.findall(rb"round (\d+)\r?\n", guest.peek())
            return int(found[-1]) if found else 0

        wait_for("the first round", acknowledged, 20)
        yield acknowledged, first


@limit(400)
def test_powercut_copies():
    """Fifty power cuts: the machine stands still and its disk is looked at. What msync has returned for is in the image, and the
    guest's file system is whole."""
    seen = []
    with hammered(360) as (acknowledged, first):
        for _ in range(CUTS):
            time.sleep(random.uniform(0, 0.3))
            least = acknowledged()
            words = ask(power_cut="/pmem.img", image=True)
            assert isinstance(words, list), words
            words = words[first:first + PAGES]
            most = acknowledged() + 1
            assert all(least <= word <= most for word in words), (least, most, words)
            seen.append(f"{least}/{min(words)}/{max(words)}")
    note(f"{CUTS} cuts; acknowledged, least and greatest in the image: " + " ".join(seen))


@limit(200)
def test_powercut_killed():
    """The emulated machine gets SIGKILL; the host judges by what it has been told until then."""
    with hammered(150) as (acknowledged, first):
        tell(doom="/pmem.img", within=[1, 6], image=True, pages=[first, PAGES])
        while True:
            tell(ack=acknowledged())
            time.sleep(0.05)


def beneath(guest):
    """The end of what the guest has for RAM and BARs."""
    return max(int(end, 16) for end in re.findall(r"^[0-9a-f]+-([0-9a-f]+) : (?:System RAM|PCI Bus)",
                                                  guest.must("cat /proc/iomem"), re.M))


def placed(sizes, memory):
    """Devices of so many MiB, each where no RAM and no BAR is."""
    args = []
    for i, size in enumerate(sizes):
        args += pmem(image(f"p{i}", size * MIB, where="/dev/shm"), f"{size}M", ident=f"pm{i}")
    with Guest(args=args, initrd="initrd-pmem.gz", memory=memory) as guest:
        wait_for("the devices", lambda: guest.must("ls /dev/pmem* | wc -l") == str(len(sizes)), 90)
        found = sorted(int(guest.must(f"cat /sys/block/pmem{i}/size")) // 2048 for i in range(len(sizes)))
        assert found == sizes, found
        leases = guest.leases()
        note("at " + " ".join(f"{lease['gfn'] << 12:#x}" for lease in leases))
        assert sorted(lease["size"] for lease in leases) == [size * MIB for size in sizes], leases
        assert beneath(guest) < min(lease["gfn"] for lease in leases) << 12, leases
    for i in range(len(sizes)):
        os.unlink(f"/dev/shm/p{i}")
    scenario.healthy()


@limit(300)
def test_sizes():
    """From 2 MiB on, several devices, each where no RAM and no BAR is; and a large sparse one."""
    placed([2, 4, 16, 64, 128, 256, 512, 1024], 256)


@limit(200)
def test_neighbours():
    """A BAR so large that hvmloader puts it above 4 GiB, and a balloon that takes memory and gives it back,
    stay below the window."""
    path = image("pmem.img", 16 * MIB, EXT4)
    bar = ["-object", "memory-backend-memfd,id=bar,size=4G", "-device", "ivshmem-plain,memdev=bar"]
    with borrower(path, 16 * MIB, devices=bar) as guest:
        mount(guest)
        guest.must(f"dax make /mnt/f {PAGES}; dax store /mnt/f 0 {PAGES} 0x500")
        window, large = (guest.lease(name)["gfn"] << 12 for name in ("pm0", "bar"))
        assert 4 << 30 <= large < large + (4 << 30) <= beneath(guest) + 1 < window, (window, large, beneath(guest))

        def memory():
            return int(guest.must("sed -n 's/^MemTotal: *\\([0-9]*\\).*/\\1/p' /proc/meminfo")) // 1024

        full = memory()
        run("xl", "mem-set", guest.name, "180")
        wait_for("the balloon to take 60 MiB", lambda: memory() < full - 60, 60)
        run("xl", "mem-set", guest.name, "256")
        wait_for("the balloon to give it back", lambda: memory() > full - 4, 60)
        assert beneath(guest) < window
        assert guest.must(f"dax load /mnt/f 0 {PAGES}").split() == numbers(0x500, PAGES)
        note(f"the BAR at {large:#x}, the window at {window:#x}")
    scenario.healthy()


@limit(200)
def test_64_gib():
    """As much as is asked for, of a sparse file; the guest needs RAM for 16 bytes in each KiB of it."""
    path = image("pmem.img", 64 << 30, where="/dev/shm")
    try:
        with borrower(path, "64G", memory=1500) as guest:
            wait_for("/dev/pmem0", lambda: guest.run("test -b /dev/pmem0")[0] == 0, 90)
            assert guest.must("cat /sys/block/pmem0/size") == str((64 << 30) // 512)
            guest.must("dd if=/dev/urandom of=/tmp/x bs=1M count=1 2>/dev/null; "
                       "dd if=/tmp/x of=/dev/pmem0 bs=1M seek=60000 conv=fsync 2>/dev/null")
            with open(path, "rb") as data:
                data.seek(60000 * MIB)
                assert guest.must("sha256sum /tmp/x").split()[0] == sha256(data.read(MIB))
    finally:
        os.unlink(path)
    scenario.healthy()


@limit(120)
def test_refused():
    """Sizes that cannot work: xl create fails, and the device model's log has the reason."""
    for size, reason in (("2T", "not enough space"), ("5000K", "multiple of"), ("5001K", "multiple of")):
        path = image("pmem.img", 2 << 40, where="/dev/shm")
        guest = Guest("refused", args=pmem(path, size), initrd="initrd-pmem.gz")
        try:
            guest.start()
        except AssertionError as error:
            text = f"{error} {guest.dm_log()}"
            assert reason in text, text[-600:]
            note(f"{size}: {[line for line in text.splitlines() if reason in line][-1].strip()[-160:]}")
        else:
            raise AssertionError(f"{size} was not refused")
        finally:
            guest.destroy()
            os.unlink(path)


@limit(150)
def test_readonly():
    """An image that is read-only: the guest reads, its writes are refused or lost, the file stays as it was."""
    path = image("pmem.img", 16 * MIB, EXT4)
    with mounted(path, "loop") as where, open(where + "/f", "wb") as out:
        out.write(b"".join(struct.pack("<Q", 0x100 + i) + bytes(4088) for i in range(PAGES)))
    os.sync()
    before = sha256(scenario.read_file(path))
    with borrower(path, 16 * MIB, more=",readonly=on,rom=on") as guest:
        mount(guest, options="ro,dax,norecovery")
        assert guest.must(f"dax load /mnt/f 0 {PAGES}").split() == numbers(0x100, PAGES)
        assert guest.run("dax store /mnt/f 0 1 7") == (2, "mmap: EACCES\n")
        # nothing tells the driver that it must not; the write seems to succeed
        block = "dd if=/dev/pmem0 bs=4096 skip=1 count=4 2>/dev/null | sha256sum"
        old = guest.must("umount /mnt; " + block)
        code, text = guest.run("dd if=/dev/zero of=/dev/pmem0 bs=4096 seek=1 count=4 conv=fsync")
        note(f"dd to the device ends with {code}")
        assert guest.must("echo 3 >/proc/sys/vm/drop_caches; " + block) == old
        assert guest.lease("pm0")["readonly"]
    assert sha256(scenario.read_file(path)) == before
    scenario.healthy()


@limit(200)
def test_direct_io():
    """The guest's own drivers do I/O to pages of a DAX mapping: an emulated disk reaches them, as they are QEMU's own memory."""
    path = image("pmem.img", 16 * MIB, EXT4)
    disk = image("disk.img", 4 * MIB)
    with open(disk, "r+b") as out:
        for page in range(64):
            out.seek(page * 4096)
            out.write(struct.pack("<Q", 0x900 + page))
    devices = ["-drive", f"file={disk},if=none,id=d,format=raw", "-device", "virtio-blk-pci,drive=d"]
    # Linux asks for emulated disks to be taken out where there may be paravirtual ones
    with borrower(path, 16 * MIB, devices=devices, cmdline="xen_emul_unplug=never") as guest:
        mount(guest)
        guest.must(f"dax make /mnt/f {PAGES}")
        wait_for("the guest's disk", lambda: guest.run("test -b /dev/vda")[0] == 0, 20)
        guest.must("dax direct /mnt/f /dev/vda 4 16")
        assert guest.must("dax load /mnt/f 0 16").split() == numbers(0x904, 16)
        guest.must(f"dax store /mnt/f 0 {PAGES} 0x3000")
        guest.must("dax direct-out /mnt/f /dev/vda 32 16; umount /mnt")
    with open(disk, "rb") as data:
        for page in range(16):
            data.seek((32 + page) * 4096)
            assert struct.unpack("<Q", data.read(8))[0] == 0x3000 + page
    scenario.healthy()


def cached(guest):
    """Page cache and shared memory, MiB: dom0's and the guest's."""
    return [int(re.search(r"^Cached:\s+(\d+)", meminfo, re.M)[1]) / 1024
            for meminfo in (scenario.read_file("/proc/meminfo").decode(), guest.must("cat /proc/meminfo"))]


@limit(300)
def test_two_guests_share():
    """Two guests that read the same file with DAX have one copy of it between them, in dom0's page cache.
    Without DAX each has its own."""
    size = 48 * MIB
    path = image("shared.img", 64 * MIB, EXT4)
    with mounted(path, "loop") as where, open(where + "/f", "wb") as out:
        out.write(os.urandom(size))
    os.sync()
    drop_caches()
    with borrower(path, 64 * MIB, more=",readonly=on,rom=on") as one, \
            borrower(path, 64 * MIB, more=",readonly=on,rom=on", name="second") as two:
        def grown(guest, options):
            """By how much reading the file makes the page caches grow, dom0's and the guest's."""
            mount(guest, options=options)
            before = cached(guest)
            sums.add(guest.must("sha256sum /mnt/f", timeout=60))
            after = cached(guest)
            assert guest.lease("pm0")["installed"] >= size
            guest.must("umount /mnt")
            return [round(b - a) for a, b in zip(before, after)]

        sums = set()
        figures = {(guest.name, options): grown(guest, options)
                   for options in ("ro,norecovery,dax", "ro,norecovery") for guest in (one, two)}
    note(f"a file of {size // MIB} MiB; page cache of dom0, of the guest grew by (MiB): " +
         "; ".join(f"{name} {options}: {dom0}, {own}" for (name, options), (dom0, own) in figures.items()))
    assert len(sums) == 1, sums
    (first, _), *others = figures.values()
    assert first > 40 and all(dom0 < 8 for dom0, _ in others), figures
    assert [own < 4 for _, own in figures.values()] == [True, True, False, False], figures
    scenario.healthy()
