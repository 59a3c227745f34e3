# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests in dom0 use: guests, commands in them over the console, backing files, what Xen and QEMU say of leases.

Also what the agent's child process runs of one test: main("MODULE.TEST"). A test is a function test_* in a module
test_*.py next to this file; it fails by an exception and is skipped by Skip. `LIMIT` seconds of a test come from the
decorator `limit`."""

import contextlib
import ctypes
import hashlib
import importlib
import json
import mmap
import os
import re
import select
import struct
import subprocess
import sys
import time
import traceback
import types

LEND = "/usr/lib/xen-lend"
DATA = "/lend"                      # the scratch disk
LIBC = ctypes.CDLL(None, use_errno=True)
QEMU = LEND + "/qemu/qemu-system-x86_64"
XEN = os.path.exists("/proc/xen/capabilities")     # else the same Linux with KVM, see kvmguest.py
PATIENCE = 5 if os.uname().release.endswith("-debug") else 1     # all that waits waits longer on the debug kernel


class Skip(Exception):
    """The test does not apply here; the reason is its text."""


def limit(seconds):
    """Decorator: the time after which the agent kills the test (90 s if not given)."""
    def mark(function):
        function.limit = seconds
        return function
    return mark


def cases(*names):
    """Decorator: the test has a result for each of these; it is called with those that are wanted, and says `with case(name)`.
    For tests that can share a guest. The names are literals without commas, or *TABLE for the keys of a dictionary of the module:
    the host reads them without running this."""
    def mark(function):
        function.cases = names
        return function
    return mark


def pvh(function):
    """Decorator: the test wants a PVH dom0. The host boots a second machine for those that do, after all others."""
    return function


def debug(function):
    """Decorator: the test wants a dom0 with the debug kernel; likewise."""
    return function


def debug_pv(function):
    """Decorator: the test wants a PV dom0 with a debug kernel, which is the other without KASAN; likewise."""
    return function


def kvm(function):
    """Decorator: the test wants the same Linux without Xen; likewise."""
    return function


def timed(function):
    """Decorator: LEND_TORTURE_SECONDS come on top of the limit."""
    return function


@contextlib.contextmanager
def case(name):
    """The result of one case is what happens in the body. Afterwards case(...).failed tells what that was."""
    outcome = types.SimpleNamespace(failed=True)
    try:
        yield outcome
        outcome.failed = False
    except Skip as skip:
        outcome.failed = False
        tell(case=name, result="skip", reason=str(skip))
    except Exception as error:      # the next case may do better
        tell(case=name, result="fail", reason=why(error))
    else:
        tell(case=name, result="pass", reason="")


def why(error):
    """One line on the exception being handled, with its place in a test."""
    text = traceback.format_exc()
    print(text)
    where = re.findall(r'File "[^"]*/(\w+_\w+\.py)", line (\d+)', text)
    place = f" ({where[-1][0]}:{where[-1][1]})" if where else ""
    return " ".join((str(error) or type(error).__name__).split())[:400] + place


# ---- to the host -----------------------------------------------------------

def _host():
    return os.fdopen(os.dup(int(os.environ["LEND_FD"])), "w", encoding="utf-8")


def tell(**message):
    """One message to the host; tell(note="...") prints a line of the story and goes to the report."""
    if "LEND_FD" in os.environ:
        with _host() as pipe:
            pipe.write(json.dumps(message) + "\n")
    else:
        print(message)


def note(text):
    """A line that goes with the result."""
    tell(note=text)


def progress(text):
    """A line that is shown at once, for tests that take minutes."""
    tell(progress=text)


def ask(**question):
    """Ask the host, for instance ask(disk_sha256="/file"): the SHA-256 of a file on the scratch disk, seen from outside."""
    tell(ask=question)
    line = sys.stdin.readline()
    answer = json.loads(line)["answer"]
    if isinstance(answer, dict) and "error" in answer:
        raise AssertionError(f"the host says: {answer['error']}")
    return answer


# ---- small tools -----------------------------------------------------------

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
    with open("/sys/block/zram0/disksize", "w") as size:
        size.write(f"{mib}M")
    run("mkswap", "/dev/zram0")
    run("swapon", "/dev/zram0")


# ---- guests ----------------------------------------------------------------

# what the guest can do without, so that it is up sooner: probing for hardware costs thousands of exits
FAST = "mitigations=off initcall_blacklist=i8042_init,serial8250_init"

CONFIG = """
name = "{name}"
type = "hvm"
kernel = "{lend}/guest/vmlinuz"
ramdisk = "{lend}/guest/{initrd}"
cmdline = "console=hvc0 loglevel=4 panic=1 {fast} {cmdline}"
memory = {memory}
vcpus = {vcpus}
vga = "none"
nographic = 1
vnc = 0
usb = 0
vkb_device = 0
on_poweroff = "destroy"
on_reboot = "destroy"
on_crash = "destroy"
device_model_version = "qemu-xen"
device_model_override = "{qemu}"
device_model_args = [ {args} ]
{extra}
"""


def ivshmem(path, size, ident="lm"):
    """Device-model arguments for a shared file as an ivshmem BAR."""
    return ["-object", f"memory-backend-file,id={ident},share=on,mem-path={path},size={size}",
            "-device", f"ivshmem-plain,memdev={ident}"]


def pmem(path, size, ident="pm0", more=""):
    """Device-model arguments for a file as persistent memory."""
    return ["-object", f"memory-backend-file,id={ident},share=on,align=2M,mem-path={path},size={size}{more}",
            "-device", f"virtio-pmem-pci,memdev={ident}"]


READY = "/var/lib/xen-lend-guests"  # where the states of guests are that have booted, see save_ready()
resuming = False                    # whether guests go on from there


def can_be_plugged(args):
    """Whether the devices are such that a guest finds them without booting: small ones on the PCI bus."""
    kinds = {"-object": r"memory-backend-", "-device": r"ivshmem-plain|virtio-pmem-pci|edu", "-machine": r"xen-lend"}
    units = {"": 1, "K": 1 << 10, "M": 1 << 20}

    def small(text):
        size = re.search(r"\bsize=(\d+)([A-Z]?)\b", text)
        return not size or int(size[1]) * units.get(size[2], 1 << 30) <= 64 << 20

    return len(args) % 2 == 0 and all(re.match(kinds.get(option, "$^"), text) and small(text)
                                      for option, text in zip(args[::2], args[1::2]))


class Guest:
    """An HVM guest of Debian's kernel with our initrd; use as a context manager, or start() and destroy()."""

    # those that many tests want: memory, vcpus, cmdline, initrd
    COMMON = {(192, 1, "", "initrd.gz"), (192, 2, "isolcpus=1 irqaffinity=0", "initrd.gz"), (256, 1, "", "initrd-pmem.gz")}

    def __init__(self, name="guest", args=(), memory=192, vcpus=1, cmdline="", extra="", accel=None, initrd="initrd.gz"):
        self.name = name
        self.kind = (memory, vcpus, cmdline, initrd)
        self.common = self.kind in self.COMMON and not extra and not accel and can_be_plugged(args)
        self.qmp_path = f"/run/xen-lend-{name}.qmp"
        dm = ["-L", LEND + "/qemu/share", "-qmp", f"unix:{self.qmp_path},server=on,wait=off", *args]
        if accel:
            dm += ["-accel", accel]
        self.config = CONFIG.format(name=name, fast=FAST, lend=LEND, qemu=QEMU, memory=memory, vcpus=vcpus, cmdline=cmdline,
                                    args=", ".join(f'"{a}"' for a in dm), extra=extra, initrd=initrd)
        self.tty = None
        self.pending = b""
        self.serial = 0

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.close()

    def create(self, timeout, image=None):
        path = f"/tmp/{self.name}.cfg"
        with open(path, "w") as out:
            out.write(self.config)
        done = subprocess.run(["xl", "restore", path, image] if image else ["xl", "create", path], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=timeout * PATIENCE)
        if done.returncode:
            raise AssertionError(f"xl {'restore' if image else 'create'} failed: {done.stderr[:300]} {self.dm_log()[-300:]}")

    def start(self, timeout=150):
        if resuming and type(self) is Guest and self.common and os.path.exists(self.image(self.kind)):
            return self.resume(timeout)
        self.create(timeout)
        return self.adopt(timeout)

    @staticmethod
    def image(kind):
        return f"{READY}/{hashlib.sha256(repr(kind).encode()).hexdigest()[:8]}"

    def resume(self, timeout):
        """Go on from what was saved of a guest of this kind that had booted, with this one's devices plugged meanwhile."""
        self.create(timeout, self.image(self.kind))
        self.adopt(timeout, booting=False)
        self.must("echo 1 >/sys/bus/pci/rescan", timeout)
        return self

    def adopt(self, timeout=150, booting=True):
        """Take the domain of that name for this guest: a new one, or one that has rebooted."""
        if self.tty is not None:
            os.close(self.tty)
            self.tty, self.pending = None, b""
        self.domid = int(run("xl", "domid", self.name))
        tty = wait_for("console of the guest", lambda: run(
            "xenstore-read", f"/local/domain/{self.domid}/console/tty", check=False).strip().startswith("/dev/") and run(
            "xenstore-read", f"/local/domain/{self.domid}/console/tty").strip())
        self.tty = os.open(tty, os.O_RDWR | os.O_NOCTTY)
        import termios
        import tty as ttymod
        ttymod.setraw(self.tty, termios.TCSANOW)        # what a quick guest has said already stays
        if booting:
            self._until(re.compile(rb"@lend ready\r?\n"), timeout)
        return self

    def alive(self):
        return self.name in domains()

    # the console: one line "ID COMMAND" in; "@lend begin ID", output, "@lend end ID CODE" out

    def _until(self, regex, timeout):
        end = time.monotonic() + timeout * PATIENCE
        look = time.monotonic() + 10        # asking xl is expensive here
        while True:
            found = regex.search(self.pending)
            if found:
                before, self.pending = self.pending[:found.start()], self.pending[found.end():]
                return before, found
            left = end - time.monotonic()
            if left <= 0:
                raise AssertionError(f"guest {self.name} said nothing for {timeout} s; last: {self.pending[-300:]!r}")
            if select.select([self.tty], [], [], min(left, 1))[0]:
                try:
                    self.pending += os.read(self.tty, 65536)
                except OSError:
                    raise AssertionError(f"guest {self.name} is gone; last: {self.pending[-300:]!r}") from None
            elif time.monotonic() > look:
                look += 20
                if not self.alive():
                    raise AssertionError(f"guest {self.name} is gone; last: {self.pending[-300:]!r}")

    def peek(self):
        """What the guest has said since the last collect()."""
        while select.select([self.tty], [], [], 0)[0]:
            self.pending += os.read(self.tty, 65536)
        return self.pending

    def send(self, command):
        """Start a command; collect() waits for it."""
        self.serial += 1
        os.write(self.tty, f"{self.serial} {command}\n".encode())
        return self.serial

    def collect(self, serial, timeout=30):
        self._until(re.compile(rb"@lend begin %d\r?\n" % serial), timeout)
        text, end = self._until(re.compile(rb"@lend end %d (\d+)\r?\n" % serial), timeout)
        return int(end[1]), text.decode(errors="replace").replace("\r\n", "\n")

    def run(self, command, timeout=30):
        """Exit code and output of a shell command in the guest."""
        return self.collect(self.send(command), timeout)

    def must(self, command, timeout=30):
        code, text = self.run(command, timeout)
        if code:
            raise AssertionError(f"in the guest, '{command}' ended with {code}: {text[-500:]}")
        return text.strip()

    # the device model

    def qmp(self, command, **arguments):
        import socket
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
            sock.settimeout(20 * PATIENCE)
            sock.connect(self.qmp_path)
            with sock.makefile("rw", encoding="utf-8") as pipe:
                json.loads(pipe.readline())
                for request in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                    pipe.write(json.dumps(request) + "\n")
                    pipe.flush()
                    while True:
                        answer = json.loads(pipe.readline())
                        if "return" in answer or "error" in answer:
                            break
        if "error" in answer:
            raise AssertionError(f"QMP {command}: {answer['error'].get('desc')}")
        return answer["return"]

    def leases(self):
        """What QEMU says of the guest's leases: a list of dictionaries (query-xen-lend)."""
        info = self.qmp("query-xen-lend")
        assert info["available"], f"nothing can be lent: {info.get('reason')}"
        return info["leases"]

    def lease(self, name="lm"):
        """The lease of the memory backend with that id."""
        found = [lease for lease in self.leases() if name in lease["name"]]
        assert len(found) == 1, f"leases for {name}: {found}"
        return found[0]

    def hmp(self, line):
        return self.qmp("human-monitor-command", **{"command-line": line})

    def dm_pid(self):
        return int(run("xenstore-read", f"/local/domain/{self.domid}/image/device-model-pid"))

    def dm_log(self):
        try:
            with open(f"/var/log/xen/qemu-dm-{self.name}.log", errors="replace") as log:
                return log.read()
        except OSError:
            return ""

    def destroy(self, timeout=30):
        run("xl", "destroy", self.name, check=False, timeout=timeout)
        wait_for(f"end of {self.name}", lambda: self.name not in domains(), timeout)

    def close(self):
        if self.tty is not None:
            os.close(self.tty)
            self.tty = None
        if self.name in domains():
            self.destroy()


def save_ready():
    """Boot a guest of each common kind, and keep its state. The host does this before it takes a snapshot of dom0."""
    os.makedirs(READY, exist_ok=True)
    for kind in sorted(Guest.COMMON):
        memory, vcpus, cmdline, initrd = kind
        with Guest("ready", memory=memory, vcpus=vcpus, cmdline=cmdline, initrd=initrd) as guest:
            guest.must("true")
            # past the page cache, which would be part of the snapshot
            pipe = READY + "/pipe"
            os.mkfifo(pipe)
            with subprocess.Popen(["dd", f"if={pipe}", f"of={Guest.image(kind)}", "bs=1M", "iflag=fullblock", "oflag=direct"],
                                  stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as copy:
                run("xl", "save", guest.name, pipe, timeout=200)
            assert copy.returncode == 0, "dd failed"
            os.unlink(pipe)
    os.sync()
    clean()


# ---- one test, as a child of the agent -------------------------------------

def load(name):
    """The test module.function, or module.function:case,case as a function without arguments."""
    name, _, wanted = name.partition(":")
    module, function = name.split(".")
    function = getattr(importlib.import_module(module), function)
    return (lambda: function(wanted.split(","))) if wanted else function


def clean():
    """Between tests: no guest and no device model is left, whatever the test did."""
    for name in domains():
        subprocess.run(["xl", "destroy", name], stdin=subprocess.DEVNULL, timeout=30)
    subprocess.run(["pkill", "-KILL", "-f", QEMU], stdin=subprocess.DEVNULL)


def main(name):
    global resuming
    if name == "--clean":
        return clean()
    if name == "--ready":
        return save_ready()
    # the lane functional has them; what boots is for test_boot to see, and for all whose guests are not of a common kind
    resuming = name.startswith("test_")
    try:
        load(name)()
    except Skip as skip:
        tell(result="skip", reason=str(skip))
    except BaseException as error:
        tell(result="fail", reason=why(error))
    else:
        tell(result="pass", reason="")


if __name__ == "__main__":
    main(sys.argv[1])
