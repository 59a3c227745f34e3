# SPDX-License-Identifier: GPL-2.0-or-later
"""For tests of the driver without QEMU: guests that nobody models devices for, and the programs of c/ that act as their VMM."""

import contextlib
import os
import re
import subprocess

from lendlab import Guest, LEND, Skip, case, knob, note, progress, run, xen_log

GFN = 0x100000                      # where leases go: above all RAM of a small guest


def program(name):
    path = f"{LEND}/tests/bin/{name}"
    if not os.path.exists(path):
        raise Skip(f"{name} is not in the payload")
    return path


class Paused(Guest):
    """A PVH guest that never runs: enough where only the calls are tried, and there in no time."""

    def __init__(self, name="paused", **kw):
        super().__init__(name, **kw)
        drop = ("vga", "usb", "serial", "nographic", "device_model")
        self.config = "\n".join(line for line in self.config.replace('"hvm"', '"pvh"').splitlines()
                                if not line.startswith(drop))

    def start(self, timeout=60):
        path = f"/tmp/{self.name}.cfg"
        with open(path, "w") as out:
            out.write(self.config)
        run("xl", "create", "-p", path, timeout=timeout)
        self.domid = int(run("xl", "domid", self.name))
        return self


class Ring0(Paused):
    """A PVH guest that is tests/guest/ring0: up in no time; the commands are those of its own."""

    def __init__(self, name="ring0", memory=16, vcpus=1, extra=""):
        super().__init__(name, memory=memory, vcpus=vcpus, extra=extra)
        self.config = "\n".join(f'kernel = "{LEND}/guest/ring0"' if line.startswith("kernel") else line
                                for line in self.config.splitlines() if not line.startswith(("ramdisk", "cmdline")))

    def start(self, timeout=60):
        return Guest.start(self, timeout)

    def tap(self, command, timeout=60):
        """A command that prints TAP, its lines; every 'not ok' counts."""
        code, text = self.run(command, timeout)
        return judge(code, text)


class Server:
    """lend_serve and its commands."""

    def __init__(self, domid, gfn=GFN):
        self.gfn = gfn
        self.process = subprocess.Popen([program("lend_serve"), str(domid), hex(gfn)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)
        self.answer()

    def answer(self):
        text = []
        while True:
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError(f"lend_serve ended with {self.process.wait()}")
            if line.startswith("ok"):
                return " ".join(text)
            if line.startswith("error"):
                raise AssertionError(f"lend_serve says: {line[6:].strip()}")
            text.append(line.strip())

    def do(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.answer()

    def stats(self):
        text = self.do("stats").split()
        return dict(zip(text[::2], map(int, text[1::2])))

    def words(self, page, count):
        return [int(word, 16) for word in self.do(f"read {page} {count}").split()]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Ports:
    """lend_ports, which says "ready" when it has begun."""

    def __init__(self, guest, *args, gfn=GFN):
        self.process = subprocess.Popen([program("lend_ports"), str(guest.domid), hex(gfn), *map(str, args)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        bufsize=1)
        self.text = ""
        self.until("ready")

    def until(self, what):
        for line in self.process.stdout:
            if line.strip() == what:
                return
            if line.startswith("# ") and " of " in line:
                progress(line[2:].strip())
            self.text += line
        raise AssertionError(f"lend_ports ended with {self.process.wait()}: {self.text}")

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self):
        for line in self.process.stdout:
            self.text += line
        return judge(self.process.wait(30), self.text)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()


class Bench:
    """A guest and its VMM, for tests with cases: new ones after a case that failed, and else the same."""

    def __init__(self, **guest):
        self.options = guest
        self.guest = self.server = None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        if self.server:
            self.server.close()
        if self.guest:
            self.guest.close()
        self.guest = self.server = None

    def start(self):
        if not self.guest:
            self.guest = Guest(**self.options).start()
        if not self.server:
            self.server = Server(self.guest.domid)

    def case(self, name, what, *args):
        """The result of case `name` is what comes of what(bench, ...)."""
        with case(name) as outcome:
            self.start()
            what(self, *args)
            if self.leased():
                self.server.do("unlease")
            no_kernel_complaints()
        if outcome.failed:
            self.close()

    def leased(self):
        return self.server and self.server.do("leased") == "1"

    # what the guest does with the frames

    def gmem(self, what, page, count, *value, gfn=GFN, prefix=""):
        """(exit code, output); 7 is a SIGBUS."""
        return self.guest.run(f"{prefix}gmem {gfn:#x} {what} {page} {count} " + " ".join(map(str, value)))

    def read(self, page, count, gfn=GFN):
        code, text = self.gmem("read", page, count, gfn=gfn)
        assert code == 0, f"the guest cannot read page {page}: {code} {text.strip()}"
        return [int(word, 16) for word in text.split()]

    def write(self, page, count, value, gfn=GFN):
        code, text = self.gmem("write", page, count, hex(value), gfn=gfn)
        assert code == 0, f"the guest cannot write page {page}: {code} {text.strip()}"

    def fails(self, what, page, count=1, *value):
        """The access ends with SIGBUS, and the guest lives on."""
        code, text = self.gmem(what, page, count, *value)
        assert code == 7, f"{what} of page {page}: {code} {text.strip()}, not SIGBUS"
        assert self.guest.must("echo $((6 * 7))") == "42", "the guest lives on"

    def same(self, what, pages=64, server=None, gfn=GFN):
        """Guest and lender see the same."""
        seen = self.read(0, pages, gfn)
        real = (server or self.server).words(0, pages)
        wrong = [i for i in range(pages) if seen[i] != real[i]]
        assert not wrong, f"{what}: the guest sees {seen[wrong[0]]:#x} in page {wrong[0]}, it is {real[wrong[0]]:#x} " \
                          f"({len(wrong)} wrong)"
        return real


@contextlib.contextmanager
def swap(megabytes=128):
    """Swap space in compressed memory."""
    if not os.path.exists("/sys/block/zram0"):
        run("modprobe", "zram")
    knob("/sys/block/zram0/disksize", f"{megabytes}M")
    run("mkswap", "/dev/zram0")
    run("swapon", "/dev/zram0")
    try:
        yield
    finally:
        run("swapoff", "/dev/zram0", check=False)
        knob("/sys/block/zram0/reset", 1)


def reclaims():
    """How many page tables Xen has taken back in the latest lease, for want of memory in the paging pool."""
    return int(xen_log("B").rsplit("reclaims ", 1)[1].split()[0])


def vmstat(name):
    with open("/proc/vmstat") as lines:
        return next(int(line.split()[1]) for line in lines if line.split()[0] == name)


def tap(name, domid, timeout, *args):
    """Run a program that prints TAP; every 'not ok' counts."""
    done = subprocess.run([program(name), str(domid), hex(GFN), *map(str, args)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout)
    return judge(done.returncode, done.stdout)


def judge(code, text):
    lines = text.splitlines()
    print(text)
    bad = [line for line in lines if line.startswith("not ok")]
    good = [line for line in lines if line.startswith("ok")]
    skipped = [line for line in good if "# SKIP" in line]
    for line in lines:
        if line.startswith("# "):
            note(line[2:])
    note(f"{len(good) - len(skipped)} right, {len(bad)} wrong, {len(skipped)} skipped")
    for line in bad[:20]:
        note(line)
    assert code == 0 and not bad and re.search(r"^1\.\.\d+$", text, re.M), f"ended with {code}: {(bad or lines)[-1:]}"
    return good


def no_kernel_complaints():
    bad = [line for line in run("dmesg").splitlines()
           if re.search(r"BUG: |WARNING: |Oops|xen_lend: dom|blocked for more|(leak detector|ODEBUG) disabled", line)]
    if bad:
        run("dmesg", "-C")
    assert not bad, bad[:5]
