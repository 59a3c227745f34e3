# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine itself: Xen, dom0, a guest."""

from lendlab import Guest, limit, run


def test_xen_is_up():
    info = dict(line.split(":", 1) for line in run("xl", "info").splitlines() if ":" in line)
    info = {key.strip(): value.strip() for key, value in info.items()}
    assert {"pv", "hvm", "hap"} <= set(info["virt_caps"].split()), info["virt_caps"]
    assert info["xen_major"] + "." + info["xen_minor"] == "4.20", info["xen_version"]


@limit(240)
def test_guest_boots():
    with Guest() as guest:
        assert guest.must("echo $((6 * 7))") == "42"
        code, text = guest.run("echo out; false")
        assert (code, text) == (1, "out\n"), (code, text)
        assert "Xen" in guest.must("cat /sys/hypervisor/type /sys/class/dmi/id/sys_vendor | tr x X")
