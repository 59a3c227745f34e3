# SPDX-License-Identifier: GPL-2.0-or-later
"""What the lanes that are Python programs have in common; lane.sh is for those that are shell scripts."""

import argparse
import fnmatch


def lane_arguments(**more):
    """A parser that knows [--list] [-k] [PATTERN]."""
    parser = argparse.ArgumentParser(**more)
    parser.add_argument("pattern", nargs="?", default="", help="tests whose names match; see docs/testing.md")
    parser.add_argument("-k", action="store_true", help="may stand before the pattern")
    parser.add_argument("--list", action="store_true", help="print the names, and end")
    return parser


def matches(patterns, *names):
    """A part of one of the names, or a shell pattern; several with commas."""
    return not patterns or any(p in n or fnmatch.fnmatch(n, p) for p in patterns.split(",") if p for n in names)
