# SPDX-License-Identifier: GPL-2.0-or-later
"""Other ways to a GPU than gpu_venus's: OpenGL by virgl, a VGA card, a dom0 without udmabuf, the screen; under Xen and KVM."""

import re
import time

import gpu
import scenario
from kvmguest import compare
from lendlab import XEN, case, cases, kvm, limit, note


def opengl():
    """A picture by OpenGL ES: the guest's virgl, whose textures are in guest memory, and what dom0 draws itself."""
    with gpu.GpuGuest() as machine:
        driver, drawn = machine.must("/tmp/gl 128 128 /tmp/gl.ppm", 300).splitlines()
        note(f"{driver}; {drawn}")
        assert driver.startswith("driver virgl"), driver
        picture = machine.bring("/tmp/gl.ppm")
    own = gpu.in_dom0(f"{gpu.PLACE}/gl 128 128 /tmp/gl.ppm", 200).splitlines()
    note(f"dom0: {own}")
    with open("/tmp/gl.ppm", "rb") as same:
        assert same.read() == picture, f"dom0: {own}, the guest: {drawn}"
    compare("ways.opengl", drawn)


def vulkan(which, **device):
    with gpu.GpuGuest(**device) as machine:
        said = machine.must("/tmp/vk name", 200)
        said += "\n" + machine.must(f"/tmp/vk compute {1 << 20}", 200)
        said += "\n" + machine.must("/tmp/vk draw triangle 256 256 /tmp/triangle.ppm", 200)
        said += "\n" + re.sub(r", \d+ us each", "", machine.must(f"/tmp/vk blobs 20 {33 * 4096} 2", 200))
        for line in said.splitlines():
            note(line)
        note("QEMU has {} mappings of dma-bufs, {} of memory files".format(*machine.backing()))
        assert "driver venus" in said, said
        if XEN:
            machine.bar()
    compare(f"ways.{which}", said)


def vga():
    vulkan("vga", name="vga", kind="virtio-vga-gl")


def no_udmabuf():
    """Blobs are files in memory then, and no dma-bufs."""
    gpu.mount()
    with gpu.no_udmabuf():
        vulkan("no_udmabuf", name="plain")


def screen():
    """What the guest's CPU draws into its frame buffer, guest memory, is what QEMU has on the screen."""
    with gpu.GpuGuest(name="screen", driver=False) as machine:
        guest = machine.guest
        machine.load()
        guest.must("for c in /sys/class/vtconsole/*/bind; do echo 0 >$c; done; true")
        width, height = map(int, guest.must("cat /sys/class/graphics/fb0/virtual_size").split(","))
        half = width * height // 2 * 4
        guest.must(f"(yes ABCD | tr -d '\\n' | head -c {half}; yes EFGH | tr -d '\\n' | head -c {half}) >/dev/fb0", 120)
        time.sleep(5)
        guest.qmp("screendump", filename="/tmp/screen.ppm")
        with open("/tmp/screen.ppm", "rb") as shot:
            ppm = shot.read()
        head = re.match(rb"P6\n(\d+) (\d+)\n255\n", ppm)
        note(f"{width}x{height}")
        assert (int(head[1]), int(head[2])) == (width, height), head[0]
        wanted = b"CBA" * (width * height // 2) + b"GFE" * (width * height // 2)
        pixels = ppm[head.end():]
        other = [i // 3 for i in range(0, len(wanted), 3) if pixels[i:i + 3] != wanted[i:i + 3]]
        assert pixels == wanted, f"{len(other)} pixels differ, the first is {other[:1]}: {pixels[other[0] * 3:other[0] * 3 + 3]}"
    compare("ways.screen", f"{width}x{height}")


WAYS = {"opengl": opengl, "vga": vga, "no_udmabuf": no_udmabuf, "screen": screen}


def works(wanted):
    for which in wanted:
        with case(which):
            WAYS[which]()
    if XEN:
        scenario.healthy()


@limit(2400)
@cases(*WAYS)
def test_xen(wanted):
    works(wanted)


@kvm
@limit(2400)
@cases(*WAYS)
def test_kvm(wanted):
    works(wanted)
