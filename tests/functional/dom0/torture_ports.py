# SPDX-License-Identifier: GPL-2.0-or-later
"""A million calls around ports, in four parts that can be run one by one; test_ports has a short one."""

from lendlab import case, cases, limit
from test_ports import fuzz


@limit(14400)
@cases("1", "2", "3", "4")
def test_million(wanted):
    """Each part on a guest of its own, by a seed of its own."""
    for part in wanted:
        with case(part):
            fuzz(250000, int(part))
