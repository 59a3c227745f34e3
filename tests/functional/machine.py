# SPDX-License-Identifier: GPL-2.0-or-later
"""The emulated machine: our QEMU's TCG emulates an AMD machine with SVM and nested paging, on which Xen boots.

Runs in the build root (run.py and shell.py use it); the disks, by label:
  dom0     the dom0 image, changes thrown away
  lend     the payload, read-only: what is ours
  scratch  an ext4, new for each run, left behind for a look from outside
The test agent in dom0 talks over a virtio-serial port, one JSON object per line. Another machine is in bochs.py."""

import ctypes
import json
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import snapshot


class MachineDied(Exception):
    """The outer machine ended, or Xen or dom0 panicked."""


def parts_from_environment():
    """Where ./lend put the parts."""
    return {name.removesuffix("_DIR").lower(): os.environ[name] for name in os.environ if name.endswith("_DIR")}


def end_with_parent(sig=signal.SIGKILL):
    """Nothing of a run survives it: the process gets the signal when its parent ends (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, int(sig), 0, 0, 0)


def replay(image):
    """The journal of an ext4 image; nothing else may be wrong with it."""
    check = subprocess.run(["e2fsck", "-fy", image], capture_output=True, text=True)
    if check.returncode > 1:
        raise RuntimeError(f"e2fsck of {image} says {check.returncode}: {check.stdout[-300:]}")


class Machine:
    PATIENCE = 1        # how many seconds a second of dom0's may take
    READY = 300         # and how many until it is up
    interactive = False
    can_snapshot = from_snapshot = False
    DISCARD = "snapshot=on"         # of dom0's disk: what is written to it is thrown away

    def __init__(self, parts, run_dir, mode="agent", memory=4096, dom0_mem=1536, cpus=2,
                 xen_args="", interactive=False, pvh=False, debug=False, kvm=False, ready=False, counter=False):
        self._prepare(run_dir)
        self.ready = ready          # wanted: a snapshot that has guests as well, see lendlab.save_ready()
        self.parts = parts
        self.interactive = interactive
        self.socket_path = os.path.join(run_dir, "agent.sock")
        self.qmp_path = os.path.join(run_dir, "qmp.sock")
        qemu, dom0, xen, payload = (parts[p] for p in ("qemu", "dom0", "xen", "payload"))
        # a kernel that checks itself; its shadow memory needs room, and a PV kernel cannot have any (KASAN),
        # so there are two of them
        kernel, linux = dom0, "vmlinuz"
        if debug:
            kernel, memory, dom0_mem = parts["debugkernel"], memory + 1024, dom0_mem + 1024
            self.READY = 400
            linux += "" if pvh else "-pv"
        if "gpuroot" in parts:          # a dom0 that draws, and compiles shaders for that
            memory, dom0_mem = memory + 1024, dom0_mem + 1024
        mode += " lend_alone"
        # a PVH dom0 has addresses of its own: devices reach its memory through the IOMMU
        # and Linux can make believe that it has several nodes
        if pvh:
            xen_args += " dom0=pvh"
            mode += " numa=fake=1G" if debug else " numa=fake=512M"
        iommu = ["-device", "amd-iommu"] if pvh else []
        boot = ["-kernel", xen + "/xen", "-append", self.xen_line(dom0_mem, xen_args),
                "-initrd", f"{kernel}/{linux} {self.linux_line(mode)},{kernel}/initrd.gz"]
        if kvm:             # the same Linux without Xen
            boot = ["-kernel", kernel + "/vmlinuz", "-append", self.linux_line(mode).replace("hvc0", "ttyS0"),
                    "-initrd", kernel + "/initrd.gz"]
        via = ",disable-legacy=on,iommu_platform=on" if pvh else ""
        disk = "file={},if=none,id={},format=raw,cache=writeback,{}"
        more = []
        if "guestroot" in parts:        # the lane differential, which has a guest of 8 GiB as well
            memory = 12 << 10
            more = ["-drive", disk.format(parts["guestroot"] + "/guestroot.img", "vdd", "readonly=on"),
                    "-device", "virtio-blk-pci,drive=vdd" + via]
        if "gpuroot" in parts:
            for name in ("gpuroot", "gpupayload"):
                more += ["-drive", disk.format(f"{parts[name]}/{name}.img", name, "readonly=on"),
                         "-device", f"virtio-blk-pci,drive={name}{via}"]
        self.argv = [
            qemu + "/qemu-system-x86_64", "-L", qemu + "/share",
            "-accel", "tcg,thread=multi", "-M", "q35", "-cpu", "EPYC,+svm,+npt,-monitor,-rdtscp",
            "-smp", str(cpus), "-m", str(memory), "-display", "none", "-nodefaults", "-no-reboot",
            *boot,
            *iommu,
            "-drive", disk.format(dom0 + "/dom0.img", "vda", self.DISCARD),
            "-device", "virtio-blk-pci,drive=vda" + via,
            "-drive", disk.format(payload + "/payload.img", "vdb", "readonly=on"),
            "-device", "virtio-blk-pci,drive=vdb" + via,
            "-drive", disk.format(self.scratch, "vdc", "discard=unmap"),
            "-device", "virtio-blk-pci,drive=vdc" + via,
            *more,
            # memory of a device, without a page structure in dom0's Linux
            "-object", "memory-backend-ram,id=vram,size=16M,share=on", "-device", "ivshmem-plain,memdev=vram,master=on",
            # a graphics card with video memory, for a driver that moves buffers in and out of it (TTM)
            "-device", "bochs-display,vgamem=16M",
            "-device", "virtio-serial-pci" + via,
            "-chardev", f"socket,id=agent,path={self.socket_path},server=on,wait=off",
            "-device", "virtserialport,chardev=agent,name=lend.agent",
            "-qmp", f"unix:{self.qmp_path},server=on,wait=off",
        ]
        self.marks = None
        if counter:
            self.marks = os.path.join(run_dir, "marks")
            self.argv += ["-plugin", f"{parts['counter']}/count.so,out={self.marks}"]
        # the IOMMU's state cannot be kept, and a snapshot for a handful of tests does not pay
        self.can_snapshot = not pvh and not kvm and not interactive and not debug and not counter
        if interactive:
            self.argv += ["-chardev", f"stdio,id=com1,signal=off,mux=on,logfile={self.serial}", "-serial", "chardev:com1"]
        else:
            self.argv += ["-chardev", f"file,id=com1,append=on,path={self.serial}", "-serial", "chardev:com1"]

    def _prepare(self, run_dir):
        self.dir = run_dir
        os.makedirs(run_dir, exist_ok=True)
        self.scratch = os.path.join(run_dir, "scratch.img")
        subprocess.run(["truncate", "-s", "2G", self.scratch], check=True)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-L", "scratch", self.scratch], check=True)
        self.serial = os.path.join(run_dir, "console.log")
        self.process = None
        self.marks_seen = 0
        self.forget()

    @staticmethod
    def xen_line(dom0_mem, args):
        return f"console=com1 com1=115200,8n1 dom0_mem={dom0_mem}M,max:{dom0_mem}M dom0_max_vcpus=1 " \
               f"loglvl=all guest_loglvl=warning noreboot spec-ctrl=no xpti=no argo=yes bootscrub=no {args}"

    @staticmethod
    def linux_line(mode):
        # iomem=relaxed: a test looks into video memory that has a driver
        return f"console=hvc0 panic=1 loglevel=5 mitigations=off iomem=relaxed lend={mode}"

    # ---- life ----

    def up(self):
        """Start, and wait until the agent is there; from a snapshot if there is one, and with one made if there can be."""
        if not self.can_snapshot:
            self.start()
            return self.wait_ready()
        place = snapshot.place_of(self)
        if self.ready or not os.path.exists(place) and os.path.exists(place + "-ready"):
            self.ready = True
            place += "-ready"
        try:
            with snapshot.locked(place):
                self.from_snapshot = os.path.exists(place)
                if not self.from_snapshot:
                    self._boot_for(place)
            return self._go_on_from(place)
        except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
            # a machine without one is as good, and slower
            print(f"   the snapshot {place} is of no use ({error}): booting", file=sys.stderr, flush=True)
            self.kill()
            self.forget()
            self.can_snapshot = False
            self.start()
            return self.wait_ready()

    def _boot_for(self, place):
        """Boot on a copy of dom0's disk, and leave a snapshot; the machine ends."""
        disk = place + ".part/dom0.img"
        shutil.rmtree(place + ".part", ignore_errors=True)
        os.mkdir(place + ".part")
        usual, original = self.argv, self.parts["dom0"] + "/dom0.img"
        snapshot.copy(original, disk)
        self.argv = [arg.replace(original, disk).replace(self.DISCARD, "discard=unmap") for arg in usual]
        try:
            self.start()
            self.wait_ready()
            if self.ready:
                self._save_guests()
            snapshot.save(self, place, disk)
        finally:
            self.kill()
            self.argv = usual
            self.forget()

    def _save_guests(self, limit=600):
        print("   booting guests, to go on from when a test wants one (once)", flush=True)
        self.send({"do": "sh", "what": "python3 /usr/lib/xen-lend/tests/lendlab.py --ready", "timeout": limit})
        end = time.time() + limit
        while (message := self.receive(max(0.01, end - time.time()))) is not None:
            if "done" in message:
                if message["code"] != 0:
                    raise RuntimeError(f"the guests do not boot: {message['output'][-300:]}")
                return
        raise RuntimeError("the guests do not boot")

    def _go_on_from(self, place):
        usual, original = self.argv, self.parts["dom0"] + "/dom0.img"
        self.argv = [arg.replace(original, place + "/dom0.img") for arg in usual] + ["-incoming", "defer"]
        try:
            self.start(fresh=False, prepare=lambda: snapshot.prepare(self, place))
            snapshot.load(self, place)
        finally:
            self.argv = usual
        # its clock stands where it stood, and so do its random numbers
        while self.sock is None and self.process.poll() is None:
            time.sleep(0.02)
        self.send({"do": "hello", "now": time.time(), "random": os.urandom(64).hex()})
        return self.wait_ready()

    def start(self, fresh=True, prepare=lambda: None):
        if fresh and os.path.exists(self.serial):
            os.unlink(self.serial)
        prepare()
        self._start_process()
        if self.interactive:
            return
        for work in (self._watch, self._receive):
            threading.Thread(target=work, args=(self.process, self.messages), daemon=True).start()

    def _start_process(self):
        if os.path.exists(self.socket_path):
            os.unlink(self.socket_path)
        env = dict(os.environ, TMPDIR=self.dir)
        if self.interactive:
            self.process = subprocess.Popen(self.argv, env=env, preexec_fn=end_with_parent)
            return
        with open(os.path.join(self.dir, "emulator.log"), "w") as log:
            log.write(" ".join(self.argv) + "\n")
            log.flush()
            self.process = subprocess.Popen(self.argv, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=end_with_parent)

    def forget(self):
        """After an end: nothing of it is taken for the next one's."""
        self.messages = queue.Queue()
        self.trouble = self.sock = None

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()

    def power_off(self, timeout=30):
        try:
            if self.sock:
                self.send({"do": "poweroff"})
                self.process.wait(timeout)
        except (OSError, subprocess.TimeoutExpired):
            pass
        self.kill()

    # ---- the agent ----

    def _wire(self, process):
        """A socket that leads to the agent; None if there is no machine any more."""
        sock = socket.socket(socket.AF_UNIX)
        while process.poll() is None:
            try:
                sock.connect(self.socket_path)
                return sock
            except OSError:
                time.sleep(0.1)
        return None

    def _receive(self, process, messages):
        sock = self._wire(process)
        if not sock:
            messages.put(None)
            return
        self.sock = sock
        pending = b""
        while True:
            try:
                data = sock.recv(65536)
            except OSError:
                data = b""
            if not data:
                messages.put(None)
                return
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                try:
                    message = json.loads(line)
                except ValueError:
                    continue
                if "file" in message:       # a log in dom0 that grew
                    name = os.path.join(self.dir, "dom0", os.path.basename(message["file"]))
                    os.makedirs(os.path.dirname(name), exist_ok=True)
                    with open(name, "a", encoding="utf-8") as out:
                        out.write(message["data"])
                else:
                    messages.put(message)

    def _watch(self, process, messages):
        """Look for a dead hypervisor on the console."""
        signs = (b"Panic on CPU", b"FATAL TRAP", b"Xen BUG at", b"Kernel panic - not syncing")
        seen = 0
        while process.poll() is None:
            time.sleep(0.5)
            try:
                with open(self.serial, "rb") as log:
                    log.seek(max(0, seen - 100))
                    text = log.read()
                    seen = log.tell()
            except OSError:
                continue
            for sign in signs:
                if sign in text:
                    at = text.index(sign)
                    time.sleep(2)
                    self.trouble = "the machine died: " + b" ".join(
                        text[at:at + 300].split(b"\n")[:2]).decode(errors="replace").replace("(XEN)", "").replace("\r", "").strip()
                    messages.put(None)
                    return

    def send(self, message):
        self.sock.sendall((json.dumps(message) + "\n").encode())

    def receive(self, timeout):
        """The next message of the agent; None when the time is over."""
        try:
            message = self.messages.get(timeout=timeout)
        except queue.Empty:
            return None
        if message is None:
            self.messages.put(None)
            raise MachineDied(self.trouble or "the emulated machine ended unexpectedly")
        return message

    def receive_left(self):
        """What a machine that is dead had still said; None when that was all."""
        while self.process.poll() is not None:
            try:
                message = self.messages.get(timeout=0.5)
            except queue.Empty:
                return None
            if message is not None:
                return message
        return None

    def wait_ready(self):
        end = time.time() + self.READY
        while time.time() < end:
            message = self.receive(max(0.1, end - time.time()))
            if message and "ready" in message:
                return message
        raise MachineDied(self.trouble or f"dom0 did not come up within {self.READY} s")

    def emulator_fault(self):
        """Has TCG mixed up the two sides of a VMRUN?
        Then Xen, with the guest's triple fault, dumps its own registers as the guest's."""
        with open(self.serial, "rb") as log:
            return re.search(rb"Dumping Dom\d+ vcpu#\d+ state.{0,200}RIP: +e008:\[<ffff82d", log.read(), re.S) is not None

    # ---- from outside ----

    def new_marks(self):
        """What the plugin that counts has written since the last time (tests/bench/count.c)."""
        if not self.marks:
            raise RuntimeError("nothing counts in this machine")
        with open(self.marks, "rb") as lines:
            lines.seek(self.marks_seen)
            text = lines.read()
        self.marks_seen += len(text)
        return [json.loads(line) for line in text.splitlines()]

    def power_cut(self, path, image=False):
        """The contents of a file of the scratch disk after a power cut now: the machine stands still while its disk is copied. An
        image is a file system itself, to be checked likewise."""
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            self._copy_disk()
        finally:
            os.kill(self.process.pid, signal.SIGCONT)
        return self._file_of_copy(path, image)

    def _copy_disk(self):
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", self.scratch, self.scratch + ".copy"], check=True)

    def disk_file(self, path, image=False):
        """The contents of a file of the scratch disk as a power cut at this moment would leave it (journal replayed)."""
        self._copy_disk()
        return self._file_of_copy(path, image)

    def _file_of_copy(self, path, image):
        copy = self.scratch + ".copy"
        dump = copy + ".file"
        try:
            replay(copy)
            subprocess.run(["debugfs", "-R", f"dump {path} {dump}", copy], check=True, capture_output=True)
            if image:
                replay(dump)
            with open(dump, "rb") as data:
                return data.read()
        finally:
            for name in (copy, copy + ".file"):
                if os.path.exists(name):
                    os.unlink(name)
