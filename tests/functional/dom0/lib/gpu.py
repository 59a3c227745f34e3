# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests with a virtio-gpu of virglrenderer's, whose blobs are lent. QEMU and the renderer run in a Debian of their own (the part
gpuroot), which dom0 mounts at /gpu, and which is the guest's root file system as well."""

import contextlib
import os
import re
import stat
import struct
import zlib

from host import XEN, run, wait_for
from guest import Guest, pmem
from kvmguest import KvmGuest
from report import note

ROOT = "/gpu"
PLACE = "/usr/lib/xen-lend-gpu"
GPU_QEMU = "/run/xen-lend-qemu-gpu"         # starts it in there
ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp", "XDG_RUNTIME_DIR": "/tmp", "MESA_SHADER_CACHE_DISABLE": "true"}
BIND = ("/dev", "/proc", "/sys", "/run", "/tmp", "/lend", "/var/lib/xen", "/var/log/xen", "/usr/lib/xen-lend", PLACE)
WORDS = " ".join(f"{name}={value}" for name, value in ENV.items())
# Debian has all of Mesa's drivers: one for each side
DRIVER = "VK_DRIVER_FILES=/usr/share/vulkan/icd.d/{}_icd.json"
IN_DOM0, IN_GUEST = f"{WORDS} {DRIVER.format('lvp')}", f"{WORDS} {DRIVER.format('virtio')}"


def mount():
    """dom0's part: the two disks, a render node without hardware behind it, the script that starts QEMU. Once per machine."""
    if os.path.exists(GPU_QEMU):
        return
    for label, where in (("gpuroot", ROOT), ("gpupayload", PLACE)):
        os.makedirs(where, exist_ok=True)
        run("mount", "-o", "ro", run("findfs", f"LABEL={label}").strip(), where)
    for path in BIND:
        os.makedirs(path, exist_ok=True)
        run("mount", "--rbind", path, ROOT + path)
    run("modprobe", "vgem")
    with open(GPU_QEMU, "w") as out:
        out.write(f'#!/bin/sh\nexec chroot {ROOT} /usr/bin/env -i {IN_DOM0} {PLACE}/qemu-system-x86_64 "$@"\n')
    os.chmod(GPU_QEMU, stat.S_IRWXU)
    # Mesa and LLVM are 200 MB to read, and xl gives a device model a minute
    run("sh", "-c", f"echo quit | {GPU_QEMU} -machine none -nodefaults -display egl-headless -monitor stdio", timeout=200)


def device(hostmem="256M", kind="virtio-gpu-gl-pci", more=""):
    return ["-display", "egl-headless", "-device", f"{kind},blob=on,venus=on,hostmem={hostmem}{more}"]


def in_dom0(command, timeout=120):
    """A command in that Debian in dom0, where Vulkan is lavapipe's."""
    return run("chroot", ROOT, "/usr/bin/env", "-i", *IN_DOM0.split(), "sh", "-c", command, timeout=timeout)


@contextlib.contextmanager
def no_udmabuf():
    """For blobs that are files in memory: pages of a dma-buf cannot be swapped out."""
    there = os.path.exists("/dev/udmabuf")
    if there:
        os.rename("/dev/udmabuf", "/dev/udmabuf.off")
    try:
        yield
    finally:
        if there:
            os.rename("/dev/udmabuf.off", "/dev/udmabuf")


class GpuGuest:
    """A guest with that GPU, Debian at /r, and a piece of persistent memory by which pictures come out; for `with`."""

    def __init__(self, name="gpu", hostmem="256M", memory=768, picture=16, more=(), driver=True, kind="virtio-gpu-gl-pci"):
        mount()
        self.driver = driver        # whether the guest's kernel has the GPU, or we do (tests/gpu/raw.c)
        root = run("findfs", "LABEL=gpuroot").strip()
        self.size = int(run("blockdev", "--getsize64", root))
        self.out = f"/lend/{name}.out"
        with open(self.out, "wb") as out:
            out.truncate(picture << 20)
        self.picture, self.hostmem = picture << 20, int(hostmem[:-1]) << {"K": 10, "M": 20, "G": 30}[hostmem[-1]]
        args = [*device(hostmem, kind, ",romfile=" if "vga" in kind else ""), *pmem(root, self.size, "root", ",readonly=on,rom=on"),
                *pmem(self.out, self.picture, "out"), *more]
        self.guest = (Guest if XEN else KvmGuest)(name, args=args, initrd="initrd-pmem.gz", memory=memory)
        if XEN:
            self.guest.config = re.sub(r'device_model_override = .*', f'device_model_override = "{GPU_QEMU}"', self.guest.config)
            self.guest.config = re.sub(r'ramdisk = .*', f'ramdisk = "{PLACE}/guest/initrd-gpu.gz"', self.guest.config)
            self.guest.config = self.guest.config.replace("nographic = 1\n", "")
        else:
            argv = self.guest.argv
            argv[0] = GPU_QEMU
            argv[argv.index("-initrd") + 1] = f"{PLACE}/guest/initrd-gpu.gz"
            at = argv.index("-display")
            del argv[at:at + 2]

    def __enter__(self):
        guest = self.guest.start(300)
        if not self.driver:
            return self
        wait_for("the disks", lambda: guest.must("ls /dev/pmem* | wc -l") == "2", 30)
        names = {int(guest.must(f"cat /sys/block/pmem{i}/size")) * 512: f"/dev/pmem{i}" for i in range(2)}
        self.device = names[self.picture]
        guest.must(f"mkdir /r; mount -t ext4 -o ro,dax {names[self.size]} /r; for d in proc sys dev; do mount -o bind /$d /r/$d; "
                   "done; mount -o bind /tmp /r/tmp; mount -t tmpfs t /r/dev/shm; cp /gpu/vk /gpu/gl /tmp/; ifconfig lo up", 60)
        # without a console on the screen: each of its lines would be drawn by software
        self.load("fbdev_emulation=0")
        return self

    def __exit__(self, *exc):
        self.guest.close()
        os.unlink(self.out)

    def load(self, option=""):
        """The GPU's driver, in the guest's kernel; `option` is for its helper. The driver gives up what the renderer can do after
        5 s, and the renderer starts at its first command: in an emulated machine that is too slow, so once more then."""
        for _ in range(4):
            self.guest.must("dmesg -c >/dev/null; for m in /gpu/modules/*; do case $m in "
                            f"*kms_helper*) insmod $m {option};; *) insmod $m;; esac; done 2>/dev/null; true", 120)
            if "timed out waiting for cap set" not in self.guest.must("dmesg"):
                return
            note("the guest's driver has waited 5 s for the renderer to start: loaded again")
            self.guest.must("rmmod virtio_gpu", 60)
        raise AssertionError("the renderer takes 5 s for each of its answers")

    def run(self, command, timeout=120):
        """A command in the guest's Debian: exit code and output."""
        return self.guest.run(f"chroot /r /usr/bin/env -i {IN_GUEST} {command}", timeout)

    def must(self, command, timeout=120):
        code, text = self.run(command, timeout)
        assert code == 0, f"in the guest, '{command}' ended with {code}: {text[-600:]}; {self.guest.dm_log()[-600:]}"
        return text.strip()

    def bring(self, path):
        """A file of the guest's /tmp, as bytes, through the lent persistent memory."""
        size = int(self.guest.must(f"stat -c %s {path}"))
        self.guest.must(f"dd if={path} of={self.device} bs=64k conv=fsync 2>/dev/null", 60)
        with open(self.out, "rb") as data:
            return data.read(size)

    def backing(self):
        """How many mappings QEMU has of dma-bufs, and of memory files."""
        with open(f"/proc/{self.guest.dm_pid()}/maps") as maps:
            text = maps.read()
        return text.count("/dmabuf"), text.count("/memfd:")

    def bar(self):
        """The GPU's lease."""
        found = [lease for lease in self.guest.leases() if lease["size"] == self.hostmem]
        assert len(found) == 1, f"leases: {self.guest.leases()}"
        return found[0]


def png(ppm):
    """A picture that `vk draw` made, as PNG."""
    head = re.match(rb"P6\n(\d+) (\d+)\n255\n", ppm)
    width, height, pixels = int(head[1]), int(head[2]), ppm[head.end():]
    assert len(pixels) == width * height * 3, f"{len(pixels)} bytes for {width}x{height}"

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + pixels[y * width * 3:(y + 1) * width * 3] for y in range(height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)) + \
        chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
