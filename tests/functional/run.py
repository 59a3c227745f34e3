# SPDX-License-Identifier: GPL-2.0-or-later
"""The functional lane: boots the machine once, runs the tests in its dom0, prints one line for each.

Started in the build root by tests/functional/run (tests), by the run scripts of other lanes that need the same machine (--lane
NAME: the tests in dom0/NAME_*.py), and by ./lend shell -c (one command)."""

import argparse
import ast
import fnmatch
import glob
import hashlib
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from machine import Machine, MachineDied, end_with_parent, parts_from_environment     # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))


def discover(lane):
    """[(module.test, limit)] without importing: the modules only run in dom0."""
    found = []
    for path in sorted(glob.glob(f"{HERE}/dom0/{'test' if lane == 'functional' else lane}_*.py")):
        module = os.path.basename(path)[:-3]
        with open(path, encoding="utf-8") as source:
            for node in ast.parse(source.read()).body:
                if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                    limit = 90
                    for mark in node.decorator_list:
                        if isinstance(mark, ast.Call) and getattr(mark.func, "id", "") == "limit":
                            limit = ast.literal_eval(mark.args[0])
                    found.append((f"{module}.{node.name}", limit))
    return found


def answer(machine, question):
    try:
        if "disk_sha256" in question:
            return hashlib.sha256(machine.disk_file(question["disk_sha256"])).hexdigest()
        if "seed" in question:
            return int(os.environ.get("LEND_SEED") or time.time())
        return {"error": f"no such question: {question}"}
    except Exception as error:      # dom0 is waiting for a word
        return {"error": str(error)}


def run_one(machine, what, name, limit, on_note):
    """(result, reason, output) of one test or command."""
    machine.send({"do": what, "what": name, "timeout": limit})
    end = time.time() + limit + 90
    result, reason = None, ""
    while time.time() < end:
        message = machine.receive(max(0.1, end - time.time()))
        if message is None:
            break
        if "ask" in message:
            machine.send({"do": "answer", "answer": answer(machine, message["ask"])})
        elif "note" in message:
            on_note(message["note"])
        elif "result" in message:
            result, reason = message["result"], message["reason"]
        elif "done" in message:
            if message["code"] is None:
                result, reason = "fail", f"not done after {limit} s"
            elif result is None:
                result, reason = ("pass", "") if what == "sh" and message["code"] == 0 else \
                    ("fail", f"ended with {message['code']}")
            return result, reason, message["output"]
    raise MachineDied(machine.trouble or f"dom0 does not answer ({name})")


def tail(path, count=30):
    try:
        with open(path, errors="replace") as log:
            lines = log.read().splitlines()[-count:]
    except OSError:
        return
    if lines:
        print(f"      the end of {path}:")
        for line in lines:
            print("      | " + line)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pattern", nargs="?", default="")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--lane", default="functional")
    parser.add_argument("--dir", default=os.environ.get("LANE_DIR"), help="for logs, and the file counts")
    parser.add_argument("--shell", help="one command in dom0 instead of the tests")
    parser.add_argument("--demo", action="store_true", help="the story instead of the tests")
    parser.add_argument("--timeout", type=int, default=300, help="of --shell")
    parser.add_argument("--xen-args", default="")
    parser.add_argument("--cpus", type=int, default=2, help="of the emulated machine")
    options = parser.parse_args()
    tests = [] if options.shell or options.demo else [(n, t) for n, t in discover(options.lane) if matches(n, options.pattern)]
    if options.list:
        for name, _ in tests:
            print(shown(name))
        return 0
    counts = {"pass": 0, "fail": 0, "skip": 0}
    report(options.dir, counts)
    if not tests and not options.shell and not options.demo:
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    end_with_parent(signal.SIGTERM)
    parts = parts_from_environment()
    machine = Machine(parts, options.dir, xen_args=options.xen_args, cpus=options.cpus)
    started = time.time()
    machine.start()
    died = None
    try:
        try:
            machine.wait_ready()
        except MachineDied as error:
            died = str(error)
            tail(machine.serial)
        booted = time.time() - started
        if died and not tests:
            print(died)
            return 1
        if options.demo:
            print(f"   Xen and dom0 are up after {booted:.0f} s\n", flush=True)
            result, reason, output = run_one(machine, "test", "demo.story", 400, lambda line: print(line, flush=True))
            if result != "pass":
                print(f"\nthe demo failed: {reason}\n{output[-3000:]}\nlogs: {options.dir}")
            else:
                print(f"\nevery step was checked; logs: {options.dir}")
            return result != "pass"
        if options.shell:
            result, reason, output = run_one(machine, "sh", options.shell, options.timeout, print)
            sys.stdout.write(output)
            print(f"-- {reason or 'ok'}; logs in {options.dir}", file=sys.stderr)
            return result != "pass"
        print(f"   dom0 is up after {booted:.0f} s; logs in {options.dir}", flush=True)
        for name, limit in tests:
            t0 = time.time()
            notes = []
            output = ""
            if died:
                result, reason = "fail", died
            else:
                try:
                    result, reason, output = run_one(machine, "test", name, limit, notes.append)
                except (MachineDied, OSError) as error:
                    died = machine.trouble or str(error)
                    result, reason = "fail", died
            counts[result] += 1
            report(options.dir, counts)
            print(f"{result.upper():4}  {options.lane}  {shown(name)}  {time.time() - t0:.1f} s"
                  + (f"  {reason}" if reason else ""), flush=True)
            for line in notes:
                print("      " + line, flush=True)
            if result == "fail":
                for line in output.splitlines()[-30:]:
                    print("      | " + line)
                if died and output == "":
                    tail(machine.serial)
                sys.stdout.flush()
    finally:
        machine.power_off()
    return counts["fail"] > 0


def report(directory, counts):
    with open(os.path.join(directory, "counts"), "w") as out:
        out.write(f"{counts['pass']} {counts['fail']} {counts['skip']}\n")


def shown(name):
    """test_module.test_name as module.name"""
    return ".".join(part.removeprefix("test_") for part in name.split("."))


def matches(name, patterns):
    """-k: a part of the name, or a shell pattern; several with commas."""
    names = name, shown(name)
    return not patterns or any(p in n or fnmatch.fnmatch(n, p) for p in patterns.split(",") for n in names)


if __name__ == "__main__":
    sys.exit(main())
