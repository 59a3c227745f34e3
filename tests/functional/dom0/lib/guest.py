# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests of the tests: made by xl, or going on from a state in which they have booted; commands in them over the console."""

import contextlib
import hashlib
import json
import os
import re
import select
import subprocess
import time

from host import LEND, PATIENCE, QEMU, domains, run, wait_for

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
        done = subprocess.run(["xl", "restore", path, image] if image else ["xl", "create", path], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout * PATIENCE)
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


def clean():
    """Between tests: no guest and no device model is left, whatever the test did."""
    for name in domains():
        subprocess.run(["xl", "destroy", name], stdin=subprocess.DEVNULL, timeout=30)
    for qemu in (QEMU, "/usr/lib/xen-lend-gpu/qemu-system-x86_64", "virgl_render_server"):
        subprocess.run(["pkill", "-KILL", "-f", qemu], stdin=subprocess.DEVNULL)
