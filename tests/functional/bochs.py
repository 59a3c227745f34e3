# SPDX-License-Identifier: GPL-2.0-or-later
"""The other emulated machine: Bochs emulates one of Intel's processors, with VMX and EPT. Slow, and without virtio: dom0's disks
are ATA disks (found by their labels), the agent talks over TCP and an emulated e1000, and GRUB on an ISO image loads Xen.

Bochs wants a terminal, for its display; it gets a pty that nobody looks at. Its clock is that of its instructions: a second of the
machine is IPS of them, however long they take."""

import fcntl
import os
import pty
import shutil
import socket
import struct
import subprocess
import termios
import threading

from machine import Machine, end_with_parent

IPS = 100_000_000

CONFIG = """\
config_interface: textconfig
display_library: term
cpu: model={model}, count={cpus}, ips={ips}, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest={memory}, host={memory}
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
pci: enabled=1, chipset=i440fx, slot1=pcivga, slot2=e1000
vga: extension=vbe
e1000: enabled=1, mac=52:54:00:12:34:56, ethmod=slirp, ethdev=none, script=
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15
ata0-master: type=disk, path={dom0}/dom0.img, mode=volatile, journal={dir}/dom0.redolog
ata0-slave: type=disk, path={payload}/payload.img, mode=volatile, journal={dir}/payload.redolog
ata1-master: type=disk, path={scratch}, mode=flat
ata1-slave: type=cdrom, path={dir}/boot.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev={serial}
log: {dir}/bochs.log
panic: action=report
error: action=ignore
info: action=ignore
clock: sync=none, time0=local
speaker: enabled=0
sound: waveoutdrv=dummy
"""

# By multiboot 1: with 2, GRUB would change to a graphics mode, which the display cannot show. Without posted interrupts: Bochs
# refuses a descriptor of theirs that is not aligned to a page, and processors want 64 bytes.
GRUB = """\
set timeout=0
multiboot /boot/xen placeholder {xen} no-real-mode edd=off apicv=no conring_size=1M serial_tx_buffer=4M
module /boot/vmlinuz placeholder {linux}
module /boot/initrd
boot
"""


class Bochs(Machine):
    PATIENCE = 8
    READY = 900

    def __init__(self, parts, run_dir, model, cpus, mode="agent", memory=1536, dom0_mem=640, xen_args=""):
        self._prepare(run_dir)
        dom0 = parts["dom0"]
        self.server = socket.create_server(("127.0.0.1", 0))
        wire = f"lend_wire=10.0.2.2:{self.server.getsockname()[1]}"
        boot = os.path.join(run_dir, "iso", "boot")
        os.makedirs(boot + "/grub", exist_ok=True)
        for source, name in ((parts["xen"] + "/xen", "xen"), (dom0 + "/vmlinuz", "vmlinuz"), (dom0 + "/initrd.gz", "initrd")):
            shutil.copyfile(source, f"{boot}/{name}")
        with open(boot + "/grub/grub.cfg", "w", encoding="ascii") as out:
            out.write(GRUB.format(xen=self.xen_line(dom0_mem, xen_args), linux=self.linux_line(f"{mode} {wire}")))
        with open(os.path.join(run_dir, "grub.log"), "w", encoding="utf-8") as log:
            subprocess.run(["grub-mkrescue", "-o", run_dir + "/boot.iso", run_dir + "/iso"], check=True, stdout=log, stderr=log)
        shutil.rmtree(run_dir + "/iso")
        with open(run_dir + "/bochsrc", "w", encoding="ascii") as out:
            out.write(CONFIG.format(model=model, cpus=cpus, ips=IPS, memory=memory, dom0=dom0, payload=parts["payload"],
                                    dir=run_dir, scratch=self.scratch, serial=self.serial))
        with open(run_dir + "/rc", "w", encoding="ascii") as out:
            out.write("c\n")
        self.argv = ["bochs", "-q", "-f", run_dir + "/bochsrc", "-rc", run_dir + "/rc"]

    def _start_process(self):
        ours, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 90, 0, 0))
        self.process = subprocess.Popen(self.argv, env=dict(os.environ, TERM="vt100", TMPDIR=self.dir), cwd=self.dir,
                                        stdin=its, stdout=its, stderr=its, preexec_fn=end_with_parent)
        os.close(its)
        threading.Thread(target=self._watch_terminal, args=(ours,), daemon=True).start()

    def _watch_terminal(self, terminal):
        with open(os.path.join(self.dir, "emulator.log"), "wb") as log:
            try:
                while data := os.read(terminal, 65536):
                    if log.tell() < 1 << 20:
                        log.write(data)
                        log.flush()
            except OSError:         # it has ended
                pass
        os.close(terminal)

    def _wire(self, process):
        self.server.settimeout(1)
        while process.poll() is None:
            try:
                return self.server.accept()[0]
            except TimeoutError:
                pass
        return None

    def power_off(self, timeout=120):
        super().power_off(timeout)

    def emulator_fault(self):
        return False
