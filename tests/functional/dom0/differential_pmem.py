# SPDX-License-Identifier: GPL-2.0-or-later
"""virtio-pmem under Xen and under KVM: the same guest, the same QEMU, the same work, case by case. dom0 (or KVM's host) takes the
memory away all the time: it writes back, drops its page cache and swaps out.

What Xen's run has seen is kept by the host, and KVM's, in the next machine, is held against it."""

import contextlib
import glob
import json
import os
import re
import subprocess
import threading

import scenario
from kvmguest import KvmGuest, compare
from lendlab import (LEND, XEN, Guest, Skip, case, cases, drop_caches, kvm, limit, madvise, note, pmem, progress, run,
                     wait_for, zram_swap)
from test_examples import Example, pmem as pmem_example
from test_pmem import image, placed

MIB = 1 << 20
TEST, SCRATCH = 256 * MIB, 400 * MIB        # a file on a disk, and one in memory that can be swapped out
MKFS = ["mkfs.ext4", "-q", "-b", "4096"]

FIO = {     # "swapped": on the memory that can be swapped out
    "mmap": "--ioengine=mmap --rw=randrw --bs=4k --size=8m --fsync=64",
    "psync": "--ioengine=psync --rw=randrw --bs=4k --size=8m --fsync=64",
    "large": "--ioengine=psync --rw=write --bs=1m --size=8m --end_fsync=1",
    "swapped_mmap": "--ioengine=mmap --rw=randrw --bs=4k --size=8m --fsync=64",
    "sequential_mmap": "--ioengine=mmap --rw=write --bs=64k --size=8m --end_fsync=1",
}

# the group dax as far as it is for ext4, then some of the group quick that map files and truncate, fill or punch them;
# without generic/413 and 605, which write more than 1 GiB page by page: hours in the emulated machine
FSTESTS = (
    "ext4/030", "ext4/031", "ext4/047",
    "generic/428", "generic/437", "generic/452", "generic/462", "generic/470", "generic/503",
    "generic/606", "generic/607", "generic/608",
    "generic/008", "generic/012", "generic/029", "generic/080", "generic/215", "generic/246", "generic/248")
FSTEST_SECONDS = 1200   # for one of them: the machine may have other things to do
FSTEST_SILENCE = 300    # the guest has one processor, which is in the kernel for as long as a large write to absent pages takes


class Away(threading.Thread):
    """Takes memory away from the guest for as long as the body of `with` lasts."""

    def __init__(self, pid, paths):
        super().__init__(daemon=True)
        self.pid, self.paths, self.over = pid, paths, threading.Event()
        self.rounds = 0

    def run(self):
        while not self.over.wait(3):
            os.sync()
            drop_caches()
            with contextlib.suppress(OSError, AssertionError):      # the guest may be at its end
                for path in self.paths:
                    madvise(self.pid, path, 21)
                self.rounds += 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.over.set()
        self.join()


@contextlib.contextmanager
def debian():
    """A guest whose root is a read-only disk of ours, as pmem; besides two for tests, which are its .disks;
    .away takes them away."""
    root = run("findfs", "LABEL=guestroot").strip()
    zram_swap()
    files = [image("test.img", TEST, MKFS), image("scratch.img", SCRATCH, MKFS, where="/dev/shm")]
    size = int(run("blockdev", "--getsize64", root))
    args = pmem(root, size, "root", ",readonly=on,rom=on") + pmem(files[0], TEST, "test") + pmem(files[1], SCRATCH, "scratch")
    with (Guest if XEN else KvmGuest)(args=args, initrd="initrd-pmem.gz", memory=768) as guest:
        wait_for("the disks", lambda: guest.must("ls /dev/pmem* | wc -l") == "3", 30)
        names = {int(guest.must(f"cat /sys/block/pmem{i}/size")) * 512: f"/dev/pmem{i}" for i in range(3)}
        guest.must(f"mkdir /r; mount -t ext4 -o ro,dax {names[size]} /r; for d in proc sys dev; do mount -o bind /$d /r/$d; done; "
                   "for d in tmp run var/tmp; do mount -t tmpfs t /r/$d; done; mkdir -p /r/dev/shm; "
                   "mount -t tmpfs t /r/dev/shm; ifconfig lo up")
        guest.disks = names[TEST], names[SCRATCH]
        with Away(guest.dm_pid(), files) as guest.away:
            yield guest
    for path in files:
        os.unlink(path)
    if XEN:
        scenario.healthy()


def counters(guest):
    """What became of the memory that is being tested; KVM does not count."""
    leases = [guest.lease(name) for name in ("test", "scratch")] if XEN else []
    with open("/proc/vmstat") as lines:
        swapped = dict(line.split() for line in lines)["pswpout"]
    return {"rounds of taking away": guest.away.rounds, "pages swapped out": int(swapped),
            **{what: sum(lease[what] for lease in leases) for what in ("faults", "retries", "revokes", "revoked", "failed") if XEN}}


@contextlib.contextmanager
def counted(guest):
    before = counters(guest)
    try:
        yield
    finally:
        counts = {what: count - before[what] for what, count in counters(guest).items()}
        note(", ".join(f"{count} {what}" for what, count in counts.items()))
    assert counts["rounds of taking away"] and counts.get("revoked") != 0, "nothing was taken away"
    assert not counts.get("failed"), counts


def chroot(command, **env):
    words = " ".join(f"{name}='{value}'" for name, value in env.items())
    return f"chroot /r /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp TERM=dumb {words} {command}"


def inside(guest, command, timeout):
    """A command in the root file system; exit code and output."""
    return guest.run(chroot(command), timeout)


# ---- fio -------------------------------------------------------------------

def fio(wanted):
    with debian() as guest:
        for disk, where in zip(guest.disks, ("test", "scratch")):
            code, text = inside(guest, f"mount -o dax {disk} /mnt/{where}", 30)
            assert code == 0, text
        for name in wanted:
            where = "scratch" if name.startswith("swapped") else "test"
            with case(name), counted(guest):
                code, text = inside(guest, f"fio --name=x --filename=/mnt/{where}/f --verify=crc32c --do_verify=1 "
                                           f"--verify_fatal=1 --output-format=json {FIO[name]}", 300)
                assert code == 0, text[-600:]
                job = json.loads(text[text.index("{"):])["jobs"][0]
                assert job["error"] == 0 and job["write"]["total_ios"] > 0, job
                note(f"{job['write']['total_ios']} writes, {job['read']['total_ios']} reads, "
                     f"{job['job_runtime'] / 1000:.1f} s of fio's")
                compare(f"fio {name}", [job["error"], job["write"]["total_ios"]])


@limit(1200)
@cases(*FIO)
def test_fio_xen(wanted):
    """fio writes and verifies through DAX."""
    fio(wanted)


@limit(1200)
@cases(*FIO)
@kvm
def test_fio_kvm(wanted):
    fio(wanted)


# ---- xfstests --------------------------------------------------------------

class FsTests:
    """A run of their script in the background of the guest. It says in a line of its output what came of each test."""
    def __init__(self, guest, names):
        self.guest = guest
        test, scratch = guest.disks
        line = chroot(f"sh -c 'cd /opt/xfstests && ./check --exact-order {' '.join(names)}'",
                      FSTYP="ext4", RESULT_BASE="/tmp/results", TEST_DEV=test, TEST_DIR="/mnt/test", TEST_FS_MOUNT_OPTS="-o dax",
                      SCRATCH_DEV=scratch, SCRATCH_MNT="/mnt/scratch", MKFS_OPTIONS="-b 4096 -J size=4", MOUNT_OPTIONS="-o dax")
        guest.must(f"({line}; echo ended) >/tmp/fstests 2>&1 & true")

    def output(self):
        return self.guest.must("cat /tmp/fstests", FSTEST_SILENCE)

    def outcome(self, name):
        """"pass", "fail" or "not run", and the line"""
        text = self.output()
        line = re.search(rf"^{name}[ \t]+(.*)\n", text, re.M)
        assert line or not text.endswith("ended"), f"no word on it: {text[-400:]}"
        return line and ("not run" if "[not run]" in line[1] else
                         "pass" if re.search(r"\d+s\s*$", line[1]) else "fail", line[1].strip())

    def end(self):
        code, text = inside(self.guest, "pkill -9 -f ./check", FSTEST_SILENCE)
        assert code == 0, f"xfstests go on: {text}"


def fstests(wanted):
    with debian() as guest:
        if inside(guest, "test -x /opt/xfstests/check", 10)[0]:
            raise Skip("no tree of xfstests in the cache (LEND_CACHE/src/xfstests), see docs/testing.md")
        tests = FsTests(guest, wanted)
        for name in wanted:
            progress(f"{name} under {'Xen' if XEN else 'KVM'}")
            with case(name), counted(guest):
                try:
                    outcome, line = wait_for(name, lambda: tests.outcome(name), FSTEST_SECONDS, 2)
                except AssertionError:      # those after it would find the disks in use
                    tests.end()
                    raise
                assert outcome != "fail", line
                compare(name, outcome)
                if outcome == "not run":
                    raise Skip(line)
        print(tests.output())


@limit(11000)
@cases(*FSTESTS)
def test_xfstests_xen(wanted):
    """xfstests on DAX."""
    fstests(wanted)


@limit(11000)
@cases(*FSTESTS)
@kvm
def test_xfstests_kvm(wanted):
    fstests(wanted)


# ---- what the guest's own tools say ----------------------------------------

def ndctl():
    with debian() as guest:
        code, text = inside(guest, "ndctl list --buses --regions --namespaces --human", 60)
        assert code == 0, text
        print(text)
        found = json.loads(text)
        spaces = [space for bus in (found if isinstance(found, list) else [found])
                  for region in bus.get("regions", []) for space in region.get("namespaces", [])]
        assert len(spaces) == 3 and all(re.match(r"pmem\d", space["blockdev"]) for space in spaces), found
        compare("ndctl", sorted([space["mode"], space["size"]] for space in spaces))
        note(", ".join(f"{space['dev']}: {space['mode']}, {space['size']}, {space['blockdev']}" for space in spaces))


@limit(300)
def test_ndctl_xen():
    """ndctl sees namespaces of the right sizes."""
    ndctl()


@limit(300)
@kvm
def test_ndctl_kvm():
    ndctl()


# ---- guests small and large ------------------------------------------------

GUESTS = {"128_mib": ([2, 256], 128), "8_gib": ([2, 64 << 10], 8192)}


@limit(700)
@cases(*GUESTS)
def test_guest_of(wanted):
    """The window for memory devices, for guests that the machine of the functional lane has no room for, too."""
    for name in wanted:
        with case(name):
            placed(*GUESTS[name])


# ---- libvirt ---------------------------------------------------------------

class ByLibvirt(Example):
    """The example in libvirt's words, given to its Xen driver, which runs in a root of its own on dom0's kernel."""

    def __init__(self, root):
        super().__init__("pmem")
        self.root = root

    def create(self, timeout):
        run("chroot", self.root, "virsh", "-c", "xen:///system", "create", f"{LEND}/examples/pmem.xml", timeout=timeout)


@contextlib.contextmanager
def libvirtd():
    """The root of a Debian in which libvirtd runs."""
    root, disk, own = "/tmp/libvirt", "/tmp/guestroot", "/tmp/guestroot-changes"
    binds = ["/proc", "/sys", "/dev", "/run", "/lend", "/tmp", "/usr/lib/xen-4.20", "/usr/share/seabios",
             "/var/lib/xen", "/var/log/xen", LEND]
    for path in root, disk, own + "/upper", own + "/work":
        os.makedirs(path, exist_ok=True)
    run("mount", "-o", "ro", "LABEL=guestroot", disk)
    run("mount", "-t", "overlay", "-o", f"lowerdir={disk},upperdir={own}/upper,workdir={own}/work", "libvirt", root)
    with contextlib.ExitStack() as stack:
        stack.callback(run, "umount", "-R", "-l", root, disk)
        for path in binds:
            os.makedirs(root + path, exist_ok=True)
            run("mount", "--rbind", path, root + path)
        # all processors that libvirt knows have VME; that of the emulated machine does not, and libvirt would not start
        run("sed", "-i", "/'vme'/d", root + "/usr/share/libvirt/cpu_map/x86_486.xml")
        with open("/tmp/libvirtd.log", "w") as log:
            daemon = subprocess.Popen(["chroot", root, "libvirtd"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        stack.callback(daemon.wait)
        stack.callback(daemon.terminate)
        try:
            wait_for("libvirtd", lambda: "Running hypervisor" in
                     run("chroot", root, "virsh", "-c", "xen:///system", "version", check=False), 60, 1)
            yield root
        finally:
            for name in ["/tmp/libvirtd.log", *glob.glob(root + "/var/log/libvirt/libxl/*.log")]:
                with open(name, errors="replace") as log:
                    print(log.read()[-4000:])


@limit(400)
def test_libvirt():
    """examples/pmem.xml, by virsh create."""
    with libvirtd() as root:
        pmem_example(ByLibvirt(root))
