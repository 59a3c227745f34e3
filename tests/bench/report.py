#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""report.py FIGURES DIRECTORY [--about FILE] [--before JSON] [--remarks FILE]: what the lane bench has counted, as bench.md,
bench.svg and bench.json in DIRECTORY; the table on stdout. report.py --list: the cases. ./lend bench runs it.

FIGURES has a JSON object a line, one for each run of something that was measured:

    {"case": "touch", "what": "memfd, in order", "on": "xen", "run": 0, "units": 65536, "unit": "page", "seconds": 1.23,
     "counts": {"guest": I, "xen": I, "kernel": I, "user": I, "exits": N, "hypercalls": N, "upcalls": N, "syscalls": N, "ipis": N},
     "lease": {"faults": N, "installs": N, "revokes": N, "revoked": N, "flushes": N, "retries": N}}

on is xen, kvm, or ioreq (Xen without lending). Counts are of the whole run, and any of them may be missing. guest, xen, kernel and
user are instructions. A line {"about": {KEY: VALUE}} says more of the machine."""

import argparse
import fnmatch
import json
import math
import os
import statistics
import sys
import xml.sax.saxutils

CASES = {
    "touch": "first touch of a BAR, by order and by what is behind it",
    "one": "one fault alone",
    "revoke": "taking pages away, by size and number of vCPUs",
    "steady": "a pass over pages that are all there",
    "copy": "a small BAR copied, and the same BAR emulated",
    "writeback": "write, fsync, write again",
    "pieces": "regions that are mapped, written, read and unmapped",
    "vcpus": "vCPUs that fault at once, and another device's delay meanwhile",
    "pressure": "a working set larger than the host's memory",
    "race": "faults while other pages of the same lease are taken away",
}
SIDES = "xen", "kvm", "ioreq"
NAMES = {"xen": "Xen", "kvm": "KVM", "ioreq": "Xen, emulated"}
WHERE = "guest", "xen", "kernel", "user"            # instructions
COUNTS = "exits", "other_exits", "hypercalls", "upcalls", "syscalls", "ipis"
BESIDE = {"revoke"}                                 # cases in which the guest does something else meanwhile
LEASE = "faults", "installs", "revokes", "revoked", "flushes", "retries"


class BadFigures(Exception):
    pass


# ---- figures -----------------------------------------------------------------

def read(path):
    """(figures, about)"""
    figures, about = [], {}
    try:
        with open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    figure = json.loads(line)
                    if "about" in figure:
                        about.update(figure["about"])
                        continue
                    for key, kind in (("case", str), ("what", str), ("on", str), ("units", (int, float)),
                                      ("seconds", (int, float, type(None)))):
                        if not isinstance(figure.get(key), kind):
                            raise BadFigures(f"{path}, line {number}: '{key}' is missing or wrong")
                    if figure["on"] not in SIDES or figure["units"] <= 0:
                        raise BadFigures(f"{path}, line {number}: on is one of {', '.join(SIDES)}, and units are more than 0")
                except (ValueError, TypeError, AttributeError) as error:
                    raise BadFigures(f"{path}, line {number}: {error}") from None
                figures.append(figure)
    except OSError as error:
        raise BadFigures(f"{path}: {error.strerror}; has the lane bench run?") from None
    if not figures:
        raise BadFigures(f"{path} has no figures; has the lane bench run?")
    return figures, about


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


class Side:
    """The runs of one thing on one side: medians, per unit."""

    def __init__(self, runs):
        self.runs = len(runs)
        self.unit = runs[0].get("unit", "unit")
        self.seconds = median(run["seconds"] / run["units"] if run["seconds"] is not None else None for run in runs)
        self.totals = list(map(total, runs))
        self.instructions = median(self.totals)
        for group, names in (("counts", WHERE + COUNTS), ("lease", LEASE)):
            for name in names:
                values = [(run.get(group) or {}).get(name) for run in runs]
                setattr(self, name, median(value / run["units"] if value is not None else None
                                           for value, run in zip(values, runs)))

    def spread(self):
        """By how much the instructions of the runs differ, as a part of the median."""
        totals = [value for value in self.totals if value is not None]
        return (max(totals) - min(totals)) / self.instructions if len(totals) > 1 and self.instructions else None

    def figures(self):
        names = ("seconds", "instructions") + WHERE + COUNTS + LEASE
        found = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return {"runs": self.runs, "unit": self.unit, **found}


def total(run):
    """Instructions per unit in all; None if those of one kind were not counted."""
    counts = run.get("counts") or {}
    without = {"xen"} if run["on"] == "kvm" else set()
    if run["case"] in BESIDE:
        without.add("guest")
    wanted = [counts.get(name) for name in WHERE if name not in without]
    return sum(wanted) / run["units"] if None not in wanted else None


def over(value, by):
    return value / by if value is not None and by else None


class Row:
    def __init__(self, case, what):
        self.case, self.what, self.sides = case, what, {}

    def value(self, on, name):
        return getattr(self.sides[on], name, None) if on in self.sides else None

    def ratio(self, name, on="xen", by="kvm"):
        return over(self.value(on, name), self.value(by, name))

    @property
    def unit(self):
        return next(iter(self.sides.values())).unit


class Table(dict):
    """{(case, what): Row}, in the order of CASES and then of the figures."""

    def __init__(self, figures):
        super().__init__()
        order = list(CASES)
        runs = {}
        for figure in sorted(figures, key=lambda f: order.index(f["case"]) if f["case"] in order else len(order)):
            runs.setdefault((figure["case"], figure["what"]), {}).setdefault(figure["on"], []).append(figure)
        for key, sides in runs.items():
            row = self[key] = Row(*key)
            row.sides = {on: Side(sides[on]) for on in SIDES if on in sides}

    def spread(self):
        found = [side.spread() for row in self.values() for side in row.sides.values()]
        return max((value for value in found if value is not None), default=None)

    def other(self, row, what):
        return self.get((row.case, what))


# ---- goals -------------------------------------------------------------------

def same_case(name, what, on="xen"):
    """Of this row by that of another row of the case."""
    def value(table, row):
        other = table.other(row, what)
        return over(row.value(on, name), other.value(on, name)) if other else None
    return value


def faster_than(what):
    def value(table, row):
        other = table.other(row, what)
        return over(other.value("xen", "seconds"), row.value("xen", "seconds")) if other else None
    return value


def per_entry(table, row):
    """Instructions per entry taken out, by those of the row for 2 MiB with as many vCPUs."""
    other = table.other(row, "2 MiB" + row.what[row.what.index(","):]) if "," in row.what else None
    ours = over(row.value("xen", "instructions"), row.value("xen", "revoked"))
    return over(ours, over(other.value("xen", "instructions"), other.value("xen", "revoked"))) if other else None


def off_by(table, row):
    ratio = row.ratio("instructions")
    return abs(ratio - 1) if ratio is not None else None


def of_row(name, on="xen", by="kvm"):
    return lambda table, row: row.ratio(name, on, by)


def each(name):
    return lambda table, row: row.value("xen", name)


# (case, what, what is compared, how, limit, its value); what are shell patterns, limits are shown as written here. Without a limit
# it is no goal, and worth a look
GOALS = (
    ("touch", "memory file, order", "exits", "<=", "1/256", of_row("exits")),
    ("touch", "memory file*, order", "time", "<=", "0.5", of_row("seconds")),
    ("touch", "page cache, warm, order", "time", "<=", "0.5", of_row("seconds")),
    ("touch", "video memory, order", "time", "<=", "0.5", of_row("seconds")),
    ("touch", "holes, order", "time", "<=", "1", of_row("seconds")),
    ("touch", "*, order", "installs a page", "<=", "1.1", each("installs")),
    ("touch", "*, back", "installs a page", "<=", "1.1", each("installs")),
    ("touch", "*, random", "installs a page", "<=", "1.0", each("installs")),
    ("one", "*", "time", "<=", "8", of_row("seconds")),
    ("one", "*", "instructions", "<=", "3", of_row("instructions")),
    ("revoke", "2 MiB*", "flush rounds", "<=", "1", each("flushes")),
    ("revoke", "[0-9]* GiB*", "instructions an entry, by those of 2 MiB", "<=", "1.25", per_entry),
    ("revoke", "[0-9][0-9]* MiB*", "instructions an entry, by those of 2 MiB", "<=", "1.25", per_entry),
    ("steady", "a pass*", "exits a page", "<=", "0.001", each("exits")),
    ("steady", "a pass*", "instructions off by", "<=", "0.01", off_by),
    ("copy", "*", "emulated by lent, time", ">=", "1000", of_row("seconds", "ioreq", "xen")),
    ("writeback", "*", "time", "<=", "3", of_row("seconds")),
    ("vcpus", "4 vCPUs", "speed, by that of 1 vCPU", ">=", "3", faster_than("1 vCPU")),
    ("pressure", "*", "time", "<=", "5", of_row("seconds")),
    ("vcpus", "another device, a vCPU faults", "time, by that of quiet", "", "", same_case("seconds", "another device, quiet")),
    ("race", "revokes elsewhere", "time, by that of quiet", "<=", "1.2", same_case("seconds", "quiet")),
)


def goals(table, row):
    """[(text, value, met)]; met is None where the value is missing, or there is no goal"""
    found = []
    for case, what, text, how, limit, value in GOALS:
        if case == row.case and fnmatch.fnmatchcase(row.what, what):
            number = value(table, row)
            met = None
            if number is not None and limit:
                top, _, bottom = limit.partition("/")
                bound = float(top) / float(bottom or 1)
                shown = float(f"{number:.3g}")      # as the table does
                met = shown <= bound if how == "<=" else shown >= bound
            found.append((f"{text} {how} {limit}".strip(), number, met))
    return found


def goals_text(table, row):
    said = []
    for text, number, met in goals(table, row):
        said.append(f"{text}: {'' if met is None else 'yes, ' if met else 'no, '}{show(number)}")
    return "; ".join(said)


# ---- text --------------------------------------------------------------------

def show(value):
    """Three digits; large numbers whole."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    if value >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    digits = max(0, 2 - math.floor(math.log10(abs(float(f"{value:.3g}")))))
    return f"{value:.{digits}f}"


def markdown(head, rows, words):
    """A table; the columns in words are text, the others numbers. The last one is not filled up."""
    widths = [max(3, *(len(line[i]) for line in [head, *rows])) for i in range(len(head))]
    if len(head) - 1 in words:
        widths[-1] = 0

    def line(cells):
        return "| " + " | ".join(cell.ljust(width) if i in words else cell.rjust(width)
                                 for i, (cell, width) in enumerate(zip(cells, widths))) + " |"

    rule = "|" + "|".join("-" * max(4, width + 1) + ("-" if i in words else ":") for i, width in enumerate(widths)) + "|"
    return "\n".join([line(head), rule, *map(line, rows)])


def main_table(table, before):
    emulated = any("ioreq" in row.sides for row in table.values())
    head = ["case", "what", "time", "instructions", "exits, Xen", "exits, KVM", "installs"]
    head += ["time, emulated / lent"] if emulated else []
    head += ["time before", "instructions before"] if before else []
    rows = []
    for row in table.values():
        cells = [row.case, f"{row.what}, a {row.unit}", show(row.ratio("seconds")), show(row.ratio("instructions")),
                 show(row.value("xen", "exits")), show(row.value("kvm", "exits")), show(row.value("xen", "installs"))]
        cells += [show(row.ratio("seconds", "ioreq", "xen"))] if emulated else []
        cells += [show(before.get((row.case, row.what), {}).get(name)) for name in ("time", "instructions")] if before else []
        rows.append(cells + [goals_text(table, row)])
    return markdown(head + ["goal, and whether it is met"], rows, (0, 1, len(head)))


def counts_table(table):
    head = ["case", "what", "on", "runs", "guest", "Xen", "kernel", "user", *(name.replace("_", " ") for name in COUNTS + LEASE)]
    rows = [[row.case, f"{row.what}, a {row.unit}", NAMES[on], str(side.runs),
             *(show(getattr(side, name)) for name in WHERE + COUNTS + LEASE)]
            for row in table.values() for on, side in row.sides.items()]
    return markdown(head, rows, (0, 1, 2))


PAGE = """# Benchmark

Made by `{command}`: do not edit.
{setting}

Each line compares a guest on Xen, which uses memory that is lent to it, with the same guest, device and work under KVM in the same
emulated machine. time and instructions are Xen's by KVM's: 1 is the same, less is better. Exits and installs are per unit, which
the second column names. A dash is a figure that there is none of.

{table}

![time and instructions, Xen's by KVM's](bench.svg)

## How to read it
- Counts are what matters. {spread}
- Time is that of an emulator on processors which others use as well: a median of the runs, of use only as a ratio. In this
  emulator a change between domains takes milliseconds.
- Instructions are those of all processors of the emulated machine, from begin to end of what is measured. Those of the guest are
  left out where it does something else meanwhile (`revoke`). A processor that spins until another has flushed its TLB executes
  instructions for as long as that takes.
- Installs are pages that Xen was given, for each page that the guest needed: more than 1 is work done twice or in advance.
{remarks}
## Counts
Per unit. guest, Xen, kernel and user are instructions: of the guest, of the hypervisor, of dom0's kernel (KVM: of the host's) and
of its programs. Exits are those of the guest's user space, other exits those of its kernel, such as timer ticks. faults to retries
are what the lease counted.

{counts}
"""


def page(table, about, before, remarks):
    versions = ", ".join(f"{name} {about[name]}" for name in ("Xen", "Linux", "QEMU") if about.get(name))
    machine = f"The machine is emulated: an AMD processor with SVM by QEMU's TCG, {about.get('processors') or 'some'} of them"
    setting = (f"Commit {about['commit']}. " if about.get("commit") else "") + (f"{versions}. " if versions else "") + machine + \
        (f", on a host with {about['host']}." if about.get("host") else ".")
    spread = table.spread()
    said = f"Those of instructions differ by at most {show(spread * 100)} % from one run to the next, where there were several." \
        if spread is not None else "Nothing was repeated with instructions counted, so this run does not say how exact they are."
    return PAGE.format(command=about.get("command", "report.py"), setting=wrap(setting), table=main_table(table, before),
                       spread=wrap(said, 2), remarks=f"\n{remarks.strip()}\n" if remarks else "", counts=counts_table(table))


def wrap(text, indent=0):
    lines, line = [], ""
    for word in text.split():
        if len(line) + len(word) + 1 > 128 - indent and line:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return ("\n" + " " * indent).join([*lines, line])


# ---- plot --------------------------------------------------------------------

STYLE = """
  text { font: 12px sans-serif; fill: #1f2328; }
  .small { font-size: 10px; }
  .paper { fill: #ffffff; } .grid { stroke: #d0d7de; } .one { stroke: #1f2328; stroke-width: 1.5; }
  .time { fill: #0969da; } .instructions { fill: #bc4c00; } .before { fill-opacity: 0.35; }
  .goal { stroke: #1a7f37; stroke-width: 3; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .paper { fill: #0d1117; } .grid { stroke: #30363d; } .one { stroke: #e6edf3; }
    .time { fill: #58a6ff; } .instructions { fill: #f0883e; }
    .goal { stroke: #3fb950; }
  }
"""
LEFT, WIDE, RIGHT, TOP, BAR = 330, 520, 60, 60, 11


def bars_of(table, before):
    """[(label, [(class, value)], goal for time)] of the rows that have a ratio"""
    found = []
    for row in table.values():
        bars = []
        for kind, name in (("time", "seconds"), ("instructions", "instructions")):
            bars.append((kind, row.ratio(name)))
            bars.append((f"{kind} before", before.get((row.case, row.what), {}).get(kind)))
        bars = [(kind, value) for kind, value in bars if value]
        limit = next((float(limit) for case, what, text, _, limit, _ in GOALS
                      if case == row.case and text == "time" and fnmatch.fnmatchcase(row.what, what)), None)
        if bars:
            found.append((f"{row.case}: {row.what}", bars, limit))
    return found


def plot(table, before):
    rows = bars_of(table, before)
    values = [value for _, bars, limit in rows for _, value in [*bars, ("goal", limit)] if value] or [1]
    low, high = math.floor(min(0, *map(math.log10, values))), math.ceil(max(1, *map(math.log10, values)))

    def x(value):
        return LEFT + WIDE * (math.log10(value) - low) / (high - low)

    out, y = [], TOP
    for label, bars, limit in rows:
        out.append(f'<text x="{LEFT - 8}" y="{y + BAR * len(bars) / 2 + 4:.1f}" text-anchor="end">'
                   f'{xml.sax.saxutils.escape(label)}</text>')
        for number, (kind, value) in enumerate(bars):
            start, end = sorted((x(1), x(value)))
            at = y + number * BAR
            out.append(f'<rect class="{kind}" x="{start:.1f}" y="{at}" width="{max(1, end - start):.1f}" height="{BAR - 1}"/>')
            out.append(f'<text class="small" x="{max(end, x(1)) + 3:.1f}" y="{at + BAR - 2}">{show(value)}</text>')
        if limit:
            out.append(f'<line class="goal" x1="{x(limit):.1f}" x2="{x(limit):.1f}" y1="{y - 1}" y2="{y + BAR * len(bars)}"/>')
        y += BAR * len(bars) + 7
    grid = []
    for power in range(low, high + 1):
        at = x(10 ** power)
        grid.append(f'<line class="{"one" if power == 0 else "grid"}" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 8}" y2="{y}"/>')
        grid.append(f'<text class="small" x="{at:.1f}" y="{TOP - 12}" text-anchor="middle">{10 ** power:g}</text>')
    legend = [f'<text x="8" y="18">Xen by KVM (log scale): less is better, 1 is the same</text>',
              f'<rect class="time" x="{LEFT}" y="9" width="14" height="10"/><text x="{LEFT + 19}" y="18">time</text>',
              f'<rect class="instructions" x="{LEFT + 70}" y="9" width="14" height="10"/>'
              f'<text x="{LEFT + 89}" y="18">instructions</text>',
              f'<line class="goal" x1="{LEFT + 190}" x2="{LEFT + 190}" y1="8" y2="20"/>'
              f'<text x="{LEFT + 198}" y="18">goal for time</text>']
    if before:
        legend.append(f'<rect class="time before" x="{LEFT + 300}" y="9" width="14" height="10"/>'
                      f'<text x="{LEFT + 319}" y="18">before</text>')
    width, height = LEFT + WIDE + RIGHT, y + 12
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
                      'role="img">', "<title>Time and instructions, Xen's by KVM's</title>", f"<style>{STYLE}</style>",
                      f'<rect class="paper" width="{width}" height="{height}"/>', *legend, *grid, *out, "</svg>", ""])


# ---- files -------------------------------------------------------------------

def as_json(table, about):
    rows = [{"case": row.case, "what": row.what, "unit": row.unit,
             "time": row.ratio("seconds"), "instructions": row.ratio("instructions"),
             "goals": [{"goal": text, "value": value, "met": met} for text, value, met in goals(table, row)],
             **{on: side.figures() for on, side in row.sides.items()}} for row in table.values()]
    return json.dumps({"about": about, "per": "unit", "rows": rows}, indent=1) + "\n"


def earlier(path):
    """{(case, what): {"time": ratio, "instructions": ratio}} of a bench.json"""
    if not path:
        return {}
    try:
        with open(path, encoding="utf-8") as data:
            return {(row["case"], row["what"]): row for row in json.load(data)["rows"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadFigures(f"{path} is no bench.json: {error}") from None


def text_of(path):
    if not path or not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as text:
        return text.read()


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("figures", nargs="?")
    parser.add_argument("directory", nargs="?")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--about", metavar="FILE", help="what was measured: lines KEY=VALUE")
    parser.add_argument("--before", metavar="JSON", help="a bench.json to compare with")
    parser.add_argument("--remarks", metavar="FILE", help="Markdown for the page")
    options = parser.parse_args()
    if not options.list and not options.directory:
        parser.error("FIGURES and DIRECTORY are wanted")
    return options


def main():
    options = arguments()
    if options.list:
        for name, text in CASES.items():
            print(f"{name:12}{text}")
        return 0
    try:
        figures, about = read(options.figures)
        before = earlier(options.before)
    except BadFigures as error:
        print(f"report: {error}", file=sys.stderr)
        return 1
    about = {**dict(line.split("=", 1) for line in text_of(options.about).splitlines()), **about}
    remarks = text_of(options.remarks)
    table = Table(figures)
    for name, text in (("bench.md", page(table, about, before, remarks)), ("bench.svg", plot(table, before)),
                       ("bench.json", as_json(table, about))):
        with open(os.path.join(options.directory, name), "w", encoding="utf-8") as out:
            out.write(text)
    print(main_table(table, before))
    return 0


if __name__ == "__main__":
    sys.exit(main())
