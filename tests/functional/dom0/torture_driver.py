# SPDX-License-Identifier: GPL-2.0-or-later
"""For lanes that have time: not a test of the functional lane. The host names it as torture_driver.fuzz:CALLS,SEED."""

from lendvmm import Paused, no_kernel_complaints, tap


def fuzz(arguments=("1000000",)):
    """So many calls of lend_fuzz (a million if none are named), and its seed."""
    with Paused() as guest:
        tap("lend_fuzz", guest.domid, 7200, *arguments)
    no_kernel_complaints()
