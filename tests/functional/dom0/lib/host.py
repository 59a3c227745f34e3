# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests do in dom0 and to its memory: commands, Xen's log, backing files, advice on other processes' mappings, swap."""

import contextlib
import ctypes
import hashlib
import mmap
import os
import struct
import subprocess
import time

LEND = "/usr/lib/xen-lend"
DATA = "/lend"                      # the scratch disk
LIBC = ctypes.CDLL(None, use_errno=True)
QEMU = LEND + "/qemu/qemu-system-x86_64"
XEN = os.path.exists("/proc/xen/capabilities")     # else the same Linux with KVM, see kvmguest.py
PATIENCE = 5 if os.uname().release.endswith("-debug") else 1     # all that waits waits longer on the debug kernel


def run(*argv, timeout=60, check=True, **kw):
    """A command in dom0; its output as text."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=timeout * PATIENCE, text=True, errors="replace", **kw)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(argv)} ended with {done.returncode}: {done.stdout[-800:]}")
    return done.stdout


def wait_for(what, condition, timeout=30, pause=0.1):
    """Wait until condition() is true and return its value."""
    end = time.monotonic() + timeout * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {timeout} s")
        time.sleep(pause)


def knob(path, value):
    """Write to a file of /proc, /sys or the like."""
    with open(path, "w") as out:
        out.write(str(value))


def drop_caches(what=1):
    """The page cache as far as it is clean (1), or that and inodes and the like (3)."""
    knob("/proc/sys/vm/drop_caches", what)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def xen_log(keys=None):
    """Xen's console ring, or what it printed for the debug keys given."""
    if not keys:
        return run("xl", "dmesg")
    run("xl", "dmesg", "-c")
    run("xl", "debug-keys", keys)
    time.sleep(0.3)
    return run("xl", "dmesg")


def domains():
    """{name: (id, state)} of all domains but dom0."""
    found = {}
    if not XEN:
        return found
    for line in run("xl", "list").splitlines()[1:]:
        name, domid, _mem, _cpus, state, _time = (line.split() + ["", ""])[:6]
        if domid != "0":
            found[name] = (int(domid), state)
    return found


# ---- backing files ---------------------------------------------------------

def backing(name, size, where=DATA):
    """A file of that size with contents that repeat nowhere; its path."""
    path = os.path.join(where, name)
    with open(path, "wb") as out:
        out.write(pattern(size, seed=name))
        out.flush()
        os.fsync(out.fileno())
    return path


def pattern(size, seed=""):
    return hashlib.shake_128(f"lend {seed}".encode()).digest(size)


@contextlib.contextmanager
def mapped(path):
    """The file mapped shared, as another process of dom0 would."""
    with open(path, "r+b") as data, mmap.mmap(data.fileno(), 0) as memory:
        yield memory


def fallocate(path, mode, offset, length):
    with open(path, "r+b") as data:
        if LIBC.fallocate(data.fileno(), mode, ctypes.c_long(offset), ctypes.c_long(length)):
            raise OSError(ctypes.get_errno(), "fallocate")


def punch(path, offset, length):
    """FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE"""
    fallocate(path, 3, offset, length)


def mapping_of(pid, path):
    """(start, end) of the process's mapping of that file."""
    with open(f"/proc/{pid}/maps") as maps:
        for line in maps:
            if line.rstrip().endswith(path):
                start, end = line.split()[0].split("-")
                return int(start, 16), int(end, 16)
    raise AssertionError(f"process {pid} does not map {path}")


def madvise(pid, path, advice, offset=0, length=None):
    """process_madvise of another process's mapping of that file, or of a part of it: 21 is MADV_PAGEOUT, 20 MADV_COLD."""
    start, end = mapping_of(pid, path)
    start += offset
    end = start + length if length else end
    fd = os.pidfd_open(pid)
    try:
        vec = (ctypes.c_ulong * 2)(start, end - start)
        done = LIBC.syscall(440, fd, vec, ctypes.c_ulong(1), ctypes.c_int(advice), ctypes.c_uint(0))
        if done < 0:
            raise OSError(ctypes.get_errno(), "process_madvise")
        return done
    finally:
        os.close(fd)


def frames(pid, path):
    """The page-map entries (present pages: frame numbers; others 0) of the process's mapping of that file."""
    start, end = mapping_of(pid, path)
    with open(f"/proc/{pid}/pagemap", "rb") as pagemap:
        pagemap.seek(start // 4096 * 8)
        entries = struct.unpack(f"<{(end - start) // 4096}Q", pagemap.read((end - start) // 4096 * 8))
    return [entry & ((1 << 55) - 1) if entry >> 63 else 0 for entry in entries]


def zram_swap(mib=256):
    """A swap device on zram; the same one if it is on already."""
    with open("/proc/swaps") as swaps:
        if "zram" in swaps.read():
            return
    run("modprobe", "zram")
    knob("/sys/block/zram0/disksize", f"{mib}M")
    run("mkswap", "/dev/zram0")
    run("swapon", "/dev/zram0")
