# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest like lendlab.Guest, under KVM: the same kernel, initrd and QEMU,
in a machine of the same emulated hardware without Xen."""

import os
import re
import socket
import subprocess

from lendlab import LEND, QEMU, XEN, Guest, Skip, ask, wait_for


def compare(name, outcome):
    """Under Xen: leave what came out. Under KVM: it has to be the same."""
    if XEN:
        ask(keep={name: outcome})
        return
    xen = ask(kept=name)
    if xen is None:
        raise Skip(f"{outcome}; nothing to compare with: Xen's run has not got so far")
    assert xen == outcome, f"Xen: {xen}; KVM: {outcome}"


class KvmGuest(Guest):
    def __init__(self, name="guest", args=(), memory=192, vcpus=1, cmdline="", initrd="initrd.gz"):
        super().__init__(name)
        self.serial_path = f"/run/kvm-{name}.serial"
        self.argv = [QEMU, "-L", LEND + "/qemu/share", "-accel", "kvm", "-cpu", "host", "-M", "pc", "-smp", str(vcpus),
                     "-m", f"{memory},maxmem=64G", "-nodefaults", "-display", "none", "-no-reboot",
                     "-kernel", f"{LEND}/guest/vmlinuz", "-initrd", f"{LEND}/guest/{initrd}",
                     "-append", f"console=ttyS0 loglevel=4 panic=1 mitigations=off initcall_blacklist=i8042_init {cmdline}",
                     "-chardev", f"socket,id=s,path={self.serial_path},server=on,wait=on", "-serial", "chardev:s",
                     "-qmp", f"unix:{self.qmp_path},server=on,wait=off", *args]
        self.process = None

    def start(self, timeout=150):
        with open(f"/tmp/{self.name}.log", "w") as log:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wire = socket.socket(socket.AF_UNIX)
        wait_for("the guest's console", lambda: self._connected(wire), 30)
        self.tty = wire.detach()
        self._until(re.compile(rb"@lend ready\r?\n"), timeout)
        return self

    def _connected(self, wire):
        assert self.alive(), f"QEMU ended: {self.dm_log()[-400:]}"
        try:
            wire.connect(self.serial_path)
        except OSError:
            return False
        return True

    def alive(self):
        return self.process.poll() is None

    def dm_pid(self):
        return self.process.pid

    def dm_log(self):
        with open(f"/tmp/{self.name}.log", errors="replace") as log:
            return log.read()

    def destroy(self, timeout=30):
        self.process.kill()
        self.process.wait(timeout)

    def close(self):
        if self.tty is not None:
            os.close(self.tty)
            self.tty = None
        if self.process:
            self.destroy()
