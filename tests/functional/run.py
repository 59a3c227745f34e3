#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The functional lane: boots the machine once, runs the tests in its dom0, prints one line for each.

Started in the build root by ./lend test (tests/lanes/map), and by ./lend shell -c (one command)."""

import ast
import base64
import glob
import hashlib
import json
import os
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lanes")]
import tcg                                              # noqa: E402
from bochs import Bochs                                 # noqa: E402
from lane import lane_arguments, matches                # noqa: E402
from machine import Machine, MachineDied, end_with_parent, parts_from_environment     # noqa: E402


def torture_seconds():
    return int(os.environ.get("LEND_TORTURE_SECONDS") or 1200)


def discover(lane):
    """[(module.test, limit, cases, kind of machine)] without importing: the modules only run in dom0. The kind is "" for the usual
    one, "pvh", "debug", "debug_pv" or "kvm" by the decorator of that name, or what the module calls MACHINE."""
    found = []
    for path in sorted(glob.glob(f"{HERE}/dom0/{'test' if lane == 'functional' else lane}_*.py")):
        module = os.path.basename(path)[:-3]
        with open(path, encoding="utf-8") as source:
            tables, machine = {}, ""
            for node in ast.parse(source.read()).body:
                if isinstance(node, ast.Assign) and isinstance(node.value, (ast.Dict, ast.Tuple)) and \
                        isinstance(node.targets[0], ast.Name):
                    tables[node.targets[0].id] = getattr(node.value, "keys", None) or node.value.elts
                if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "MACHINE":
                    machine = ast.literal_eval(node.value)
                if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                    limit, cases, kind, timed = 90, [], machine, False
                    for mark in node.decorator_list:
                        if isinstance(mark, ast.Call) and getattr(mark.func, "id", "") == "limit":
                            limit = ast.literal_eval(mark.args[0])
                        if getattr(mark, "id", "") in ("pvh", "debug", "debug_pv", "kvm"):
                            kind = mark.id
                        timed = timed or getattr(mark, "id", "") == "timed"
                        if isinstance(mark, ast.Call) and getattr(mark.func, "id", "") == "cases":
                            for arg in mark.args:       # names, or *TABLE for the keys of a table of the module
                                keys = tables[arg.value.id] if isinstance(arg, ast.Starred) else [arg]
                                cases += map(ast.literal_eval, keys)
                    found.append((f"{module}.{node.name}", limit + (torture_seconds() if timed else 0), cases, kind))
    return sorted(found, key=lambda test: test[3])


def select(lane, patterns):
    """What the pattern wants of it: a test with cases runs with those of them whose names match."""
    for name, limit, cases, kind in discover(lane):
        wanted = [case for case in cases if matches(patterns, f"{name}.{case}", shown(name, case))]
        if wanted or (not cases and matches(patterns, name, shown(name))):
            yield name, limit, wanted, kind


KEPT = {}       # what tests have left for others, which may run in another machine


def answer(machine, question):
    try:
        if "keep" in question:
            return KEPT.update(question["keep"])
        if "kept" in question:
            return KEPT.get(question["kept"])
        if "marks" in question:
            return machine.new_marks()
        if "figure" in question:
            return keep_figure(question["figure"])
        if "store" in question:         # a file for the run's directory; its path
            path = os.path.join(machine.dir, os.path.basename(question["store"]))
            with open(path, "wb") as out:
                out.write(base64.b64decode(question["data"]))
            return path
        if "disk_sha256" in question:
            return hashlib.sha256(machine.disk_file(question["disk_sha256"])).hexdigest()
        if "seed" in question:
            return int(os.environ.get("LEND_SEED") or time.time())
        if "quick" in question:         # ./lend bench --quick
            return bool(os.environ.get("LEND_QUICK"))
        if "seconds" in question:
            return torture_seconds()
        if "tcg" in question:
            return tcg.run(question["tcg"])
        if "flask_policy" in question:
            with open(f"{os.environ['FLASK_DIR']}/policy-{question['flask_policy']}", "rb") as policy:
                return base64.b64encode(policy.read()).decode()
        if "kselftest" in question:
            return kselftest()
        if "power_cut" in question:
            return first_words(machine.power_cut(question["power_cut"], question.get("image")))
        return {"error": f"no such question: {question}"}
    except Exception as error:      # dom0 is waiting for a word
        return {"error": str(error)}


def keep_figure(figure):
    """One of the lane bench, for tests/bench/report.py."""
    with open(os.path.join(os.environ["LANE_DIR"], "figures.json"), "a", encoding="utf-8") as out:
        out.write(json.dumps(figure) + "\n")


def kselftest():
    """The program for Linux' own tree. Not in the payload, as building it wants some of the kernel's source."""
    with tempfile.TemporaryDirectory() as place:
        done = subprocess.run(["sh", os.environ["TOP"] + "/scripts/build-kselftest.sh", place], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        if done.returncode:
            raise RuntimeError("the kselftest did not build: " + done.stdout[-600:])
        with open(place + "/xen_lend_test", "rb") as built:
            return base64.b64encode(built.read()).decode()


def first_words(data):
    """The first word of each page."""
    return [struct.unpack_from("<Q", data, at)[0] for at in range(0, len(data) - 7, 4096)]


class PowerCut(Exception):
    """The machine was killed on purpose; the arguments are result and reason."""


def power_cut(machine, doom, acks, on_note):
    """SIGKILL for the machine; then every write that was acknowledged has to be in the file on its disk, or in some pages of it."""
    machine.kill()
    while (message := machine.receive_left()) is not None:
        acks.append(message["ack"]) if "ack" in message else None
    first, count = doom.get("pages", (1, None))
    words = first_words(machine.disk_file(doom["doom"], doom.get("image")))[first:][:count]
    last = acks[-1] if acks else 0
    on_note(f"killed after round {last} was acknowledged; the {len(words)} pages on the disk have {min(words)} to {max(words)}")
    good = acks and all(last <= word <= last + 1 for word in words)
    raise PowerCut("pass" if good else "fail", "" if good else f"round {last} was acknowledged, the disk has {words}")


def run_one(machine, what, name, limit, on_note, on_case=None):
    """(result, reason, output) of one test or command."""
    machine.send({"do": what, "what": name, "timeout": limit})
    end = time.time() + (limit + 90) * machine.PATIENCE
    result, reason = None, ""
    doom, acks = None, []       # when and for what to kill the machine
    while time.time() < end:
        message = machine.receive(max(0.01, min(end, doom[0] if doom else end) - time.time()))
        if doom and time.time() >= doom[0]:
            if message and "ack" in message:
                acks.append(message["ack"])
            power_cut(machine, doom[1], acks, on_note)
        if message is None:
            if doom:
                continue
            break
        if "ask" in message:
            machine.send({"do": "answer", "answer": answer(machine, message["ask"])})
        elif "ack" in message:
            acks.append(message["ack"])
        elif "doom" in message:
            doom = time.time() + random.uniform(*message["within"]), message
        elif "note" in message:
            on_note(message["note"])
        elif "progress" in message:
            print("   " + message["progress"], flush=True)
        elif "case" in message:
            on_case(message["case"], message["result"], message["reason"])
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


class Lane:
    """A run: its machine, which is booted anew when it died (DEATHS times) or when tests want another kind;
    results as they come."""

    DEATHS = 3
    REPEATS = 2             # of tests that the emulator has spoilt

    MANY = 20               # with so many tests it pays to have guests that have booted

    def __init__(self, options, kind="", tests=0):
        self.name, self.dir = options.lane, options.dir
        self.many = self.name == "functional" and tests >= self.MANY
        self.xen_args, self.cpus, self.kind = options.xen_args, options.cpus, kind
        self.counter = options.counter
        self.parts = parts_from_environment()
        if "xen" in self.parts:
            self.parts["xen"] = self.parts[options.xen]
        self.counts = {"pass": 0, "fail": 0, "skip": 0}
        self.machine = self.trouble = None
        self.boots = self.deaths = self.repeats = 0
        self.times = Times(options.lane)
        self.write_counts()

    def write_counts(self):
        with open(os.path.join(self.dir, "counts"), "w") as out:
            out.write("{pass} {fail} {skip}\n".format(**self.counts))

    def boot(self):
        """Seconds it took; self.trouble says why the machine is not up if it is not. Each has a directory of its own."""
        where = self.dir + (f"/machine-{self.boots + 1}" if self.boots else "")
        self.boots += 1
        started = time.time()
        self.end()
        if self.kind.startswith("bochs:"):
            _, model, cpus = self.kind.split(":")
            self.machine = Bochs(self.parts, where, model, int(cpus), xen_args=self.xen_args)
        else:
            self.machine = Machine(self.parts, where, xen_args=self.xen_args, cpus=self.cpus, pvh=self.kind in ("pvh", "debug"),
                                   debug=self.kind in ("debug", "debug_pv"), kvm=self.kind == "kvm", ready=self.many,
                                   counter=self.counter)
        try:
            self.machine.up()
            self.trouble = None
        except MachineDied as error:
            self.trouble = str(error)
            tail(self.machine.serial)
        return time.time() - started

    def end(self):
        if self.machine:
            self.machine.power_off()

    def died(self, why):
        """A dead machine has failed the test that ran, and not those to come."""
        tail(self.machine.serial)
        self.deaths += 1
        self.trouble = why
        if self.deaths <= self.DEATHS:
            print(f"   the machine died, its logs are in {self.machine.dir}; booting another one", flush=True)
            self.boot()

    def test(self, name, limit, cases):
        run = TestRun(self, name, cases)
        if self.trouble:
            return run.end("fail", self.trouble)
        while True:
            which = name + ":" + ",".join(run.left) if cases else name
            dead = None
            try:
                result, reason, output = run_one(self.machine, "test", which, limit, run.notes.append, run.case)
            except PowerCut as cut:
                run.end(*cut.args)
                self.boot()
                return None
            except (MachineDied, OSError) as error:
                dead = self.machine.trouble or str(error)
                result, reason, output = "fail", dead, ""
            if (result == "fail" or run.left) and self.repeats < self.REPEATS and self.machine.emulator_fault():
                self.repeats += 1
                print("   the emulator ran a guest with Xen's registers (see docs/testing.md); once more, in another machine",
                      flush=True)
                self.boot()
                if not self.trouble:
                    continue
            run.end(result, reason, output)
            return self.died(dead) if dead else None


class Times:
    """How long the tests of a lane took, of earlier runs (seconds, by name); each minute, what is left."""

    def __init__(self, lane):
        self.path = os.path.join(os.environ["LEND_CACHE"], "times", f"lane-{lane}.json")
        self.told = time.time()
        try:
            with open(self.path, encoding="utf-8") as known:
                self.known = json.load(known)
        except (OSError, ValueError):
            self.known = {}

    def note(self, name, seconds):
        self.known[name] = round(seconds, 1)
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        with open(self.path + ".part", "w", encoding="utf-8") as out:
            json.dump(self.known, out, indent=0)
        os.rename(self.path + ".part", self.path)

    def tell_rest(self, done, tests):
        if time.time() < self.told + 60 or not tests:
            return
        self.told = time.time()
        minutes = sum(self.known.get(test[0], 15) for test in tests) / 60
        print(f"   {done} results, {sum(len(test[2]) or 1 for test in tests)} to come, about {minutes:.0f} min", flush=True)


class TestRun:
    """The results of one test: one, or one for each of its cases."""

    def __init__(self, lane, name, cases):
        self.lane, self.name, self.left, self.has_cases = lane, name, list(cases), bool(cases)
        self.notes, self.since = [], time.time()

    def judge(self, result, reason, case=None):
        self.lane.counts[result] += 1
        self.lane.write_counts()
        print(f"{result.upper():4}  {self.lane.name}  {shown(self.name, case)}  {time.time() - self.since:.1f} s"
              + (f"  {reason}" if reason else ""), flush=True)
        for line in self.notes:
            print("      " + line, flush=True)
        self.notes.clear()
        self.since = time.time()

    def case(self, case, result, reason):
        if result == "fail" and self.lane.machine.emulator_fault():
            return          # it stays with those left
        self.left.remove(case)
        self.judge(result, reason, case)

    def end(self, result, reason, output=""):
        """What is said of the whole test goes for the cases that nothing was said of."""
        for case in self.left:
            self.judge(result if result != "pass" else "fail", reason or "the test ended without a word on it", case)
        if not self.has_cases or (result == "fail" and not self.left):
            self.judge(result, reason)
        if result == "fail":
            for line in output.splitlines()[-30:]:
                print("      | " + line, flush=True)


def arguments():
    parser = lane_arguments()
    parser.add_argument("--parts", action="store_true", help="what they need built besides: the debug kernels, or nothing")
    parser.add_argument("--lane", default="functional", help="whose tests: those in dom0/LANE_*.py (functional: test_*.py)")
    parser.add_argument("--dir", default=os.environ.get("LANE_DIR"), help="for logs, and the file counts")
    parser.add_argument("--shell", help="one command in dom0 instead of the tests")
    parser.add_argument("--demo", const="demo", nargs="?", help="the story instead of the tests, or that of another module")
    parser.add_argument("--timeout", type=int, default=300, help="of --shell")
    parser.add_argument("--xen", default="xen", help="the part whose Xen it is")
    parser.add_argument("--xen-args", default="")
    parser.add_argument("--cpus", type=int, default=2, help="of the emulated machine")
    parser.add_argument("--counter", action="store_true", help="with the plugin that counts instructions (tests/bench)")
    parser.add_argument("--machine", default="",
                        help='of --shell: "pvh" for a PVH dom0, "debug" and "debug_pv" for the debug kernels, '
                             '"bochs:MODEL:CPUS" for Bochs')
    return parser.parse_args()


def main():
    options = arguments()
    tests = [] if options.shell or options.demo else list(select(options.lane, options.pattern))
    if options.parts:
        if any(kind.startswith("debug") for *_, kind in tests):
            print("debugkernel")
        return 0
    if options.list:
        for name, _, cases, _ in tests:
            for case in cases or [None]:
                print(shown(name, case))
        return 0
    lane = Lane(options, kind=tests[0][3] if tests else options.machine, tests=len(tests))
    if not tests and not options.shell and not options.demo:
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    end_with_parent(signal.SIGTERM)
    try:
        booted = lane.boot()
        if lane.trouble and not tests:
            print(lane.trouble)
            return 1
        if options.demo:
            return demo(lane, booted, options.demo)
        if options.shell:
            return shell(lane, options)
        if not lane.trouble:
            print(f"   dom0 is up after {booted:.0f} s; logs in {lane.dir}", flush=True)
        for number, (name, limit, cases, kind) in enumerate(tests):
            if kind != lane.kind:
                lane.kind = kind
                print(f"   another machine ({kind}): dom0 is up after {lane.boot():.0f} s", flush=True)
            since = time.time()
            lane.test(name, limit, cases)
            lane.times.note(name, time.time() - since)
            lane.times.tell_rest(sum(lane.counts.values()), tests[number + 1:])
    finally:
        lane.end()
    return lane.counts["fail"] > 0


def demo(lane, booted, module):
    print(f"   Xen and dom0 are up after {booted:.0f} s{' (from a snapshot)' if lane.machine.from_snapshot else ''}\n", flush=True)
    try:
        result, reason, output = run_one(lane.machine, "test", module + ".story", 600, lambda line: print(line, flush=True))
    except MachineDied as error:
        result, reason, output = "fail", str(error), ""
        tail(lane.machine.serial)
    if result != "pass":
        print(f"\nthe demo failed: {reason}\n{output[-3000:]}\nlogs: {lane.dir}")
    else:
        print(f"\nevery step was checked; logs: {lane.dir}")
    return result != "pass"


def shell(lane, options):
    result, reason, output = run_one(lane.machine, "sh", options.shell, options.timeout, print)
    sys.stdout.write(output)
    print(f"-- {reason or 'ok'}; logs in {lane.dir}", file=sys.stderr)
    return result != "pass"


def shown(name, case=None):
    """test_module.test_name (or ept_module.test_name, ...) as module.name, and the case"""
    return re.sub(r"\b(test|ept|differential|flask|bench|gpu)_", "", name) + (f".{case}" if case else "")


if __name__ == "__main__":
    sys.exit(main())
