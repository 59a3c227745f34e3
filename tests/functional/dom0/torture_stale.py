# SPDX-License-Identifier: GPL-2.0-or-later
"""The lane torture: 100,000 revocations; and a million, in forty parts that can be run one by one."""

import torture
from lendlab import case, cases, limit


@limit(5400)
def test_stale_access():
    assert torture.stale_access(100000, 5200)["revocations"] >= 100000


PARTS = {
    "01": 1, "02": 2, "03": 3, "04": 4, "05": 5, "06": 6, "07": 7, "08": 8, "09": 9, "10": 10,
    "11": 11, "12": 12, "13": 13, "14": 14, "15": 15, "16": 16, "17": 17, "18": 18, "19": 19, "20": 20,
    "21": 21, "22": 22, "23": 23, "24": 24, "25": 25, "26": 26, "27": 27, "28": 28, "29": 29, "30": 30,
    "31": 31, "32": 32, "33": 33, "34": 34, "35": 35, "36": 36, "37": 37, "38": 38, "39": 39, "40": 40,
}


@limit(60000)
@cases(*PARTS)
def test_million(wanted):
    """Each part on a guest of its own, by a seed of its own: some 20 minutes."""
    for part in wanted:
        with case(part):
            assert torture.stale_access(25000, 2400, part=PARTS[part])["revocations"] >= 25000
