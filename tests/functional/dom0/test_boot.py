# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine itself: Xen, dom0, a guest."""

from lendlab import Guest, run


def test_xen_is_up():
    info = run("xl", "info")
    assert "virt_caps" in info and "hvm" in info, info
    assert "hap" in info, info
    assert "xen_minor            : 20" in info, info


def test_guest_boots():
    with Guest() as guest:
        assert guest.must("echo $((6 * 7))") == "42"
        code, text = guest.run("echo out; false")
        assert (code, text) == (1, "out\n"), (code, text)
        assert "Xen" in guest.must("cat /sys/hypervisor/type /sys/class/dmi/id/sys_vendor | tr x X")
