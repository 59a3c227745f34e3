# SPDX-License-Identifier: GPL-2.0-or-later
"""A page that does not come for ten minutes: what the guest does meanwhile is test_wait's."""

from lendlab import cases, limit, try_cases
from test_wait import KINDS


@limit(1600)
@cases("one_processor", "two_processors")
def test_ten_minutes(wanted):
    try_cases(wanted, KINDS, 600)
