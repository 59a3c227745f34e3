# SPDX-License-Identifier: GPL-2.0-or-later
"""The lane ept, on two processors. No torture: it does not get anywhere here, with dom0 standing still while the vCPUs run. Why is not
known (see docs/limits.md)."""

import re

import ept
import test_attack
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
