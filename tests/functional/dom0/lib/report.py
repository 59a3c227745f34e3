# SPDX-License-Identifier: GPL-2.0-or-later
"""What a test says of itself to those who run it: decorators, the results of its cases, lines and questions to the host."""

import contextlib
import json
import os
import re
import sys
import traceback
import types


class Skip(Exception):
    """The test does not apply here; the reason is its text."""


def limit(seconds):
    """Decorator: the time after which the agent kills the test (90 s if not given)."""
    def mark(function):
        function.limit = seconds
        return function
    return mark


def cases(*names):
    """Decorator: the test has a result for each of these; it is called with those that are wanted, and says `with case(name)`.
    For tests that can share a guest. The names are literals without commas, or *TABLE for the keys of a dictionary of the module:
    the host reads them without running this."""
    def mark(function):
        function.cases = names
        return function
    return mark


def pvh(function):
    """Decorator: the test wants a PVH dom0. The host boots a second machine for those that do, after all others."""
    return function


def debug(function):
    """Decorator: the test wants a dom0 with the debug kernel; likewise."""
    return function


def debug_pv(function):
    """Decorator: the test wants a PV dom0 with a debug kernel, which is the other without KASAN; likewise."""
    return function


def kvm(function):
    """Decorator: the test wants the same Linux without Xen; likewise."""
    return function


def timed(function):
    """Decorator: LEND_TORTURE_SECONDS come on top of the limit."""
    return function


@contextlib.contextmanager
def case(name):
    """The result of one case is what happens in the body. Afterwards case(...).failed tells what that was."""
    outcome = types.SimpleNamespace(failed=True)
    try:
        yield outcome
        outcome.failed = False
    except Skip as skip:
        outcome.failed = False
        tell(case=name, result="skip", reason=str(skip))
    except Exception as error:      # the next case may do better
        tell(case=name, result="fail", reason=why(error))
    else:
        tell(case=name, result="pass", reason="")


def try_cases(wanted, table, *args):
    """The result of each case is what comes of its entry in the table."""
    for name in wanted:
        with case(name):
            table[name](*args)


def why(error):
    """One line on the exception being handled, with its place in a test."""
    text = traceback.format_exc()
    print(text)
    where = re.findall(r'File "[^"]*/(\w+_\w+\.py)", line (\d+)', text)
    place = f" ({where[-1][0]}:{where[-1][1]})" if where else ""
    return " ".join((str(error) or type(error).__name__).split())[:400] + place


# ---- to the host -----------------------------------------------------------

def _host():
    return os.fdopen(os.dup(int(os.environ["LEND_FD"])), "w", encoding="utf-8")


def tell(**message):
    """One message to the host; tell(note="...") prints a line of the story and goes to the report."""
    if "LEND_FD" in os.environ:
        with _host() as pipe:
            pipe.write(json.dumps(message) + "\n")
    else:
        print(message)


def note(text):
    """A line that goes with the result."""
    tell(note=text)


def progress(text):
    """A line that is shown at once, for tests that take minutes."""
    tell(progress=text)


def ask(**question):
    """Ask the host, for instance ask(disk_sha256="/file"): the SHA-256 of a file on the scratch disk, seen from outside."""
    tell(ask=question)
    line = sys.stdin.readline()
    answer = json.loads(line)["answer"]
    if isinstance(answer, dict) and "error" in answer:
        raise AssertionError(f"the host says: {answer['error']}")
    return answer
