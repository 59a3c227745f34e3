#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The interface between kernel and Xen stands in several files, as each tree needs it in its own form. The first one below is the
one to edit; this says whether the others agree, and writes the part of docs/abi.md that is made of it.

  scripts/abi.py copies    compares numbers and structures, field by field
  scripts/abi.py docs      says whether docs/abi.md is as "write" would leave it
  scripts/abi.py write     writes that part of docs/abi.md"""

import os
import re
import sys

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
SOURCE = "linux/include/xen/interface/lend.h"
DOCS = "docs/abi.md"
BEGIN = f"<!-- scripts/abi.py write makes this of {SOURCE} -->\n"
END = "<!-- up to here -->\n"
CALLS = "create|destroy|install|revoke|query|listen|unlisten|answer"
TYPES = {"domid_t": "u16", "xen_pfn_t": "u64"}


def text(path):
    """A file's, or what a patch adds."""
    with open(os.path.join(TOP, path), encoding="utf-8") as file:
        lines = file.read()
    if path.endswith(".patch"):
        lines = "\n".join(line[1:] for line in lines.splitlines() if line.startswith("+") and not line.startswith("+++"))
    return lines


def only(directory, part):
    found = [name for name in os.listdir(os.path.join(TOP, directory)) if part in name and name.endswith(".patch")]
    if len(found) != 1:
        sys.exit(f"{directory}: {len(found)} patches with '{part}' in their names, not one")
    return f"{directory}/{found[0]}"


def short(type_name):
    match = re.fullmatch(r"(?:__)?u(?:int)?(\d+)(?:_t)?", type_name)
    return f"u{match[1]}" if match else TYPES.get(type_name) or \
        re.sub(r"^(?:struct )?(?:xen_hvm_)?(lend_\w+?)(?:_t)?$", r"\1", type_name)


def structures(source):
    """{"lend_create": [(type, field)]} and {"create": 1, "op": 26}"""
    plain = re.sub(r"/\*.*?\*/", " ", source, flags=re.S)
    numbers = {name.removeprefix("HVMOP_").lower(): int(value)
               for name, value in re.findall(r"^#define (?:XEN_HVM_)?"
                                             r"(HVMOP_lend|LEND_(?:" + CALLS + r"))\s+(\d+)\s*$",
                                             plain, flags=re.M | re.I)}
    found = {}
    for name, body in re.findall(r"struct (?:xen_hvm_)?(lend_(?:" + CALLS + r"|slot|answered|op))\s*\{(.*?)\n\};",
                                 plain, flags=re.S):
        body = re.sub(r"^#.*$", "", body, flags=re.M)
        fields = []
        for type_name, names in re.findall(r"((?:struct )?\w+)\s+([\w\[\], ]+);", body.replace("union {", "").replace("} u;", "")):
            fields += [(short(type_name), field.strip()) for field in names.split(",")]
        found[name] = fields
    return found, numbers


def copies():
    want = structures(text(SOURCE))
    if len(want[0]) != 11 or len(want[1]) != 9:
        sys.exit(f"{SOURCE}: {len(want[0])} structures and {len(want[1])} numbers, not 11 and 9")
    wrong = 0
    for path in (only("xen-patches", "public-interface"), "tests/guest/ring0/lend_op.h"):
        got = structures(text(path))
        for kind, name in ((kind, name) for kind in (0, 1) for name in sorted({*want[kind], *got[kind]})):
            if want[kind].get(name) != got[kind].get(name):
                print(f"{path}: {name} is {got[kind].get(name)}, in {SOURCE} {want[kind].get(name)}")
                wrong += 1
    return wrong


def part():
    """The structures as the documentation has them."""
    source = text(SOURCE)
    lines = source[source.index("#define HVMOP_lend"):source.index("#endif /* __XEN_PUBLIC_LEND_H__ */")].strip()
    lines = re.sub(r"\bu(8|16|32|64)\b", r"uint\1_t", lines)
    out = []
    for line in lines.splitlines():
        code, comment = (line, None) if line.lstrip("\t").startswith("/*") else \
            re.fullmatch(r"(\s*[^\t]*(?:\t[^\t/]+)?)(?:\t+(/\*.*))?", line).groups()
        code = code.rstrip().expandtabs(4)
        code = re.sub(r"^(#define \S+)\s+", r"\1 ", code)
        out.append(f"{code:<33} {comment}" if comment else code)
    return "```c\n" + "\n".join(out) + "\n```\n"


def docs(write):
    path = os.path.join(TOP, DOCS)
    old = text(DOCS)
    if BEGIN not in old or END not in old:
        sys.exit(f"{DOCS} lacks the lines that say where that part begins and ends")
    new = old[:old.index(BEGIN) + len(BEGIN)] + part() + old[old.index(END):]
    if write:
        with open(path, "w", encoding="utf-8") as file:
            file.write(new)
    elif new != old:
        print(f"{DOCS} is not what {SOURCE} says; scripts/abi.py write")
    return 0 if write else new != old


if __name__ == "__main__":
    if sys.argv[1:] not in (["copies"], ["docs"], ["write"]):
        sys.exit(__doc__)
    sys.exit(1 if (copies() if sys.argv[1] == "copies" else docs(sys.argv[1] == "write")) else 0)
