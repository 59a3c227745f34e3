# SPDX-License-Identifier: GPL-2.0-or-later
"""The lend driver's calls, tried from dom0 on the frames of a guest that never runs."""

from lendlab import limit
from lendvmm import Paused, no_kernel_complaints, tap


def test_driver_bad_arguments():
    with Paused() as guest:
        tap("lend_bad", guest.domid, 60)
    no_kernel_complaints()


@limit(180)
def test_driver_exercise():
    with Paused() as guest:
        tap("lend_exercise", guest.domid, 120)
    no_kernel_complaints()


@limit(180)
def test_driver_fuzz():
    with Paused() as guest:
        tap("lend_fuzz", guest.domid, 150)
    no_kernel_complaints()
