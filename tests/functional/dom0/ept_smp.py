# SPDX-License-Identifier: GPL-2.0-or-later
"""The lane ept, on two processors: a flush has to reach the other one."""

import re

import ept
import test_attack
import torture
from lendlab import limit, run

MACHINE = "bochs:corei7_skylake_x:2"


def test_machine():
    ept.vmx()
    assert re.search(r"^nr_cpus *: 2$", run("xl", "info"), re.M), run("xl", "info")


@limit(240)
def test_borrower():
    test_attack.test_borrower()


@limit(240)
def test_lender_dom0():
    test_attack.test_lender_dom0()


@limit(200)
def test_stale_access():
    assert torture.stale_access(10 ** 9, 8, vcpus=3, rounds=0.1)["revocations"] > 100
