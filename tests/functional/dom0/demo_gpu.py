# SPDX-License-Identifier: GPL-2.0-or-later
"""What ./lend demo gpu tells: a guest draws by Vulkan, in memory that dom0's renderer lends to it through Xen."""

import base64
import contextlib

import gpu
from demo import Step
from lendlab import ask, note


def story():
    with contextlib.ExitStack() as stack:
        tell_it(stack)


def tell_it(stack):
    note("dom0 has Mesa's software Vulkan (lavapipe) and virglrenderer's render server; QEMU's virtio-gpu passes Vulkan on to it.")
    note("The guest is Debian: its kernel, Mesa's Venus driver. What the renderer allocates, the guest maps, lent by Xen.")
    note("")
    with Step("0. dom0 mounts what it needs, and draws the picture itself") as step:
        gpu.mount()
        own = gpu.in_dom0(f"{gpu.PLACE}/vk draw scene 256 256 /tmp/own.ppm", 300).strip()
        step.say(own)
    with Step("1. xl create: a guest with virtio-gpu-gl-pci,blob=on,venus=on,hostmem=256M") as step:
        machine = stack.enter_context(gpu.GpuGuest())
    with Step("2. the guest's Vulkan device") as step:
        text = machine.must("/tmp/vk name", 300)
        for line in text.splitlines():
            step.say(line)
        assert text.startswith("device Virtio-GPU Venus (llvmpipe") and "\ndriver venus" in text, text
    with Step("3. a compute shader on 4 MiB of mapped memory") as step:
        step.say(machine.must(f"/tmp/vk compute {4 << 20}", 300))
    with Step("4. the picture, 256x256") as step:
        drawn = machine.must("/tmp/vk draw scene 256 256 /tmp/gpu.ppm", 300)
        step.say(drawn)
        assert drawn == own, f"dom0: {own}, the guest: {drawn}"
        picture = machine.bring("/tmp/gpu.ppm")
        with open("/tmp/own.ppm", "rb") as same:
            assert same.read() == picture, "not the bytes that dom0 drew"
        where = ask(store="gpu.png", data=base64.b64encode(gpu.png(picture)).decode())
        step.say(f"the same bytes as dom0's; as PNG in {where}")
    leases = machine.guest.leases()
    note("")
    for lease in leases:
        note(f"     lease {lease['name']}: {lease['size'] >> 10} KiB, {lease['faults']} faults, {lease['installs']} installs, "
             f"{lease['revokes']} revocations")
