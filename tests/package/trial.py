#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The lane package: a disk with a stock Debian dom0 boots in the emulated machine by its own GRUB, installs our packages by apt,
boots into them, runs the example guest, and removes them again.

The steps follow from each other: all run up to the last one that is wanted. The machine has no network; what it needs besides is on
a second disk, /media/trial. LANE_DIR gets console-STEP.log for each boot, and dom0's answers in steps.log."""

import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
FUNCTIONAL = os.path.join(HERE, "..", "functional")
sys.path[:0] = [FUNCTIONAL, os.path.join(HERE, "..", "lanes")]
from lane import lane_arguments, matches                # noqa: E402
from machine import Machine, MachineDied, end_with_parent, parts_from_environment     # noqa: E402

DEBS = "xen-hypervisor-4.20-lend-amd64 qemu-system-xen-lend xen-lend-dkms xen-lend"
# what a package may leave behind: names; and the contents of what decides how the machine boots. The key that DKMS makes when it
# first builds something (mok.*) is DKMS' own.
NAMES = "find /boot /etc /usr /opt /var/lib/dkms /var/lib/dpkg/info -xdev ! -path '*/__pycache__*' ! -name 'mok.*' | LC_ALL=C sort"
CONTENTS = "find /boot /etc/default /etc/grub.d /etc/modules-load.d /usr/lib/modules-load.d -xdev -type f ! -name grubenv " \
           "-exec sha256sum {} + | LC_ALL=C sort -k 2"


class Failed(Exception):
    """A step did not do what it should."""


class Debian(Machine):
    """Boots the disk as it is; with direct=True its kernel alone, without Xen and without GRUB."""
    READY = 420

    def __init__(self, parts, run_dir, direct=False):
        self._prepare(run_dir)
        self.socket_path = os.path.join(run_dir, "agent.sock")
        qemu = parts["qemu"]
        disk = "file={},if=none,id={},format=raw,cache=unsafe{}"
        kernel = ["-kernel", parts["debiandom0"] + "/vmlinuz", "-initrd", parts["debiandom0"] + "/initrd",
                  "-append", "root=LABEL=debian console=ttyS0 mitigations=off"] if direct else []
        self.argv = [
            qemu + "/qemu-system-x86_64", "-L", qemu + "/share",
            "-accel", "tcg,thread=multi", "-M", "q35", "-cpu", "EPYC,+svm,+npt,-monitor,-rdtscp",
            "-smp", "2", "-m", "4096", "-display", "none", "-nodefaults", "-no-reboot", *kernel,
            "-drive", disk.format(run_dir + "/debian.img", "vda", ""), "-device", "virtio-blk-pci,drive=vda,bootindex=1",
            "-drive", disk.format(run_dir + "/trial.img", "vdb", ",readonly=on"), "-device", "virtio-blk-pci,drive=vdb",
            "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=agent,path={self.socket_path},server=on,wait=off",
            "-device", "virtserialport,chardev=agent,name=lend.agent",
            "-chardev", f"file,id=com1,path={self.serial}", "-serial", "chardev:com1",
        ]


class Trial:
    def __init__(self, parts, lane_dir):
        self.parts, self.dir = parts, lane_dir
        self.machine, self.name = None, ""
        self.log = open(os.path.join(lane_dir, "steps.log"), "w", encoding="utf-8")
        self.facts = {}
        self.make_disks()

    def make_disks(self):
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", self.parts["debiandom0"] + "/debian.img", self.dir + "/"],
                       check=True)
        tree = self.dir + "/trial"
        os.makedirs(tree + "/guest")
        for name in ("vmlinuz", "initrd.gz"):
            shutil.copy(f"{self.parts['guest']}/{name}", tree + "/guest/")
        shutil.copytree(self.parts["package"], tree + "/debs")
        tests = FUNCTIONAL + "/dom0/"
        for path in (*glob.glob(tests + "*.py"), *glob.glob(tests + "lib/*.py"), HERE + "/dom0/trial_guest.py"):
            shutil.copy(path, tree)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-L", "trial", "-O", "^has_journal", "-d", tree,
                        self.dir + "/trial.img", "256M"], check=True)
        shutil.rmtree(tree)

    # ---- the machine ----

    def boot(self, name, direct=False):
        """Its time until the agent answers."""
        since = time.time()
        self.machine, self.name = Debian(self.parts, self.dir, direct), name
        self.machine.start()
        self.machine.wait_ready()
        if not direct:          # as in the functional lane's machine; see docs/testing.md
            self.must("xl vcpu-pin 0 all 0")
        self.say(f"{name}: dom0 is up after {time.time() - since:.0f} s")

    def down(self, how="reboot"):
        """An orderly shutdown; the emulator ends instead of starting again."""
        self.machine.send({"do": "sh", "what": f"systemctl --no-block {how}", "timeout": 60})
        try:
            self.machine.process.wait(240)
        except subprocess.TimeoutExpired:
            raise Failed(f"dom0 does not {how} within 240 s") from None
        finally:
            self.end()

    def end(self):
        if self.machine:
            self.machine.kill()
            os.replace(self.machine.serial, f"{self.dir}/console-{self.name}.log")
            os.unlink(self.machine.scratch)
            self.machine = None

    def sh(self, command, timeout=120):
        """Exit code (None: its time was over) and output of a command in dom0."""
        self.machine.send({"do": "sh", "what": command, "timeout": timeout})
        end = time.time() + timeout + 30
        while time.time() < end:
            message = self.machine.receive(max(0.1, end - time.time()))
            if message and "done" in message:
                self.log.write(f"[{self.name}] # {command}\n{message['output']}[{message['code']}]\n\n")
                self.log.flush()
                return message["code"], message["output"]
        raise Failed(f"no answer within {timeout} s: {command}")

    def must(self, command, timeout=120):
        code, output = self.sh(command, timeout)
        if code != 0:
            raise Failed(f"'{command}' ended with {code}: {output[-1500:]}")
        return output.strip()

    def cannot(self, command):
        code, output = self.sh(command)
        if code == 0:
            raise Failed(f"'{command}' should fail: {output[-300:]}")

    def apt(self, what, timeout):
        """What apt says goes to the console as well, so that one can see where it is."""
        return self.must(f"bash -o pipefail -c 'DEBIAN_FRONTEND=noninteractive apt-get -y {what} 2>&1 | tee /dev/console'", timeout)

    def say(self, text):
        for line in text.splitlines():
            print("      " + line, flush=True)

    def xen(self):
        """Which Xen runs: the line of its log that has the version of the package."""
        found = re.search(r"Xen version .*", self.must("xl dmesg"))
        info = self.must("xl info | grep -E '^(xen_version|xen_caps)'")
        self.say((found[0] if found else "(xl dmesg does not have Xen's version any more)") + "\n" + info)
        return found[0] if found else ""

    # ---- the steps ----

    def stock(self):
        """Debian as it is: GRUB is installed, and boots Debian's Xen; nothing is lent."""
        self.boot("setup", direct=True)
        self.must("grub-install /dev/vda && update-grub", 300)
        self.down("poweroff")
        self.boot("stock")
        self.facts["xen"] = self.xen()
        if "+lend" in self.facts["xen"] or "deb13" not in self.facts["xen"]:
            raise Failed("this is not Debian's Xen")
        self.cannot("test -e /dev/xen/lend")
        self.facts["names"], self.facts["contents"] = self.must(NAMES, 300), self.must(CONTENTS)

    def install(self):
        """apt installs the packages; DKMS builds the module."""
        self.apt("install /media/trial/debs/*.deb", 2400)
        self.say(self.must("dpkg -l " + DEBS + " | awk '/^ii/ { print $2, $3 }'"))
        status = self.must("dkms status")
        self.say(status)
        if not re.search(r"xen-lend/1\.0, .*: installed", status):
            raise Failed("DKMS has not built the module")
        self.must("dpkg --verify " + DEBS)
        self.down()

    def reboot(self):
        """GRUB boots our Xen; the module is there by itself."""
        self.boot("lend")
        if "+lend" not in self.xen():
            raise Failed("this is not our Xen")
        self.must("test -c /dev/xen/lend")
        self.must("grep -w xen_lend /proc/modules")
        self.say(self.must("modinfo -F filename xen_lend; xen-lend"))
        code, failed = self.sh("systemctl --failed --no-legend --plain")
        if code or failed.strip():
            raise Failed(f"units that failed: {failed}")

    def guest(self):
        """xl create of the example; the guest reads dom0's file, and what it writes arrives there."""
        code, output = self.sh("cd /tmp && PYTHONPATH=/media/trial python3 -B /media/trial/trial_guest.py", 600)
        self.say(output[-2500:])
        if code != 0:
            raise Failed("see above")
        self.cannot("xl list | grep -w ivshmem")

    def unchanged(self):
        """A guest that does not ask for lending uses Debian's QEMU on our Xen."""
        self.must("""cat >/tmp/plain.cfg <<END
name = "plain"
type = "hvm"
kernel = "/media/trial/guest/vmlinuz"
ramdisk = "/media/trial/guest/initrd.gz"
cmdline = "console=hvc0 loglevel=4"
memory = 192
cpus = "1"
vga = "none"
END
xl create /tmp/plain.cfg""", 240)
        self.must("tr '\\0' '\\n' </proc/$(pgrep -f 'xen-qemu-system-i386.*-xen-domid [1-9]')/cmdline | grep -x plain")
        self.must("xl destroy plain")

    def remove(self):
        """apt takes all of it away again."""
        self.apt("purge " + DEBS, 900)
        for what, command in (("names", NAMES), ("contents", CONTENTS)):
            before, after = set(self.facts[what].splitlines()), set(self.must(command, 300).splitlines())
            if before != after:
                raise Failed(f"{what} that differ: " + " ".join(sorted(before ^ after)[:20]))
        self.down()

    def back(self):
        """Debian's Xen boots again."""
        self.boot("back")
        if self.xen() != self.facts["xen"]:
            raise Failed("not the Xen that was there before")
        self.cannot("test -e /dev/xen/lend")
        self.cannot("modinfo xen_lend")
        self.down("poweroff")


STEPS = ("stock", "install", "reboot", "guest", "unchanged", "remove", "back")


def main():
    options = lane_arguments().parse_args()
    wanted = [step for step in STEPS if matches(options.pattern, step)]
    if options.list:
        print(*wanted, sep="\n")
        return 0
    if not wanted:
        return 0
    lane_dir = os.environ["LANE_DIR"]
    counts = {"pass": 0, "fail": 0, "skip": 0}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    end_with_parent(signal.SIGTERM)
    trial = Trial(parts_from_environment(), lane_dir)
    try:
        for step in STEPS[:STEPS.index(wanted[-1]) + 1]:
            since, reason = time.time(), ""
            try:
                getattr(trial, step)()
            except (Failed, MachineDied) as error:
                reason = str(error)
            result = "fail" if reason else "pass"
            counts[result] += 1
            print(f"{result.upper()}  package  {step}  {time.time() - since:.1f} s" + (f"  {reason}" if reason else ""), flush=True)
            with open(os.path.join(lane_dir, "counts"), "w", encoding="ascii") as out:
                out.write("{pass} {fail} {skip}\n".format(**counts))
            if reason:      # those that follow from it cannot be
                break
    finally:
        trial.end()
    if not counts["fail"]:
        os.unlink(lane_dir + "/debian.img")
    return counts["fail"] > 0


if __name__ == "__main__":
    sys.exit(main())
