# SPDX-License-Identifier: GPL-2.0-or-later
"""The lane flask: a Xen with Flask that enforces its example policy. Policy decides who lends, and not who takes back."""

import base64
import contextlib
import errno
import fcntl
import os
import re
import struct

from lendlab import Guest, ask, backing, ivshmem, limit, run, xen_log
from lendvmm import GFN, Paused, Server, no_kernel_complaints, program, tap

MIB = 1 << 20
FD, WB = 4, 6        # XEN_LEND_FD, XEN_LEND_MEMTYPE_WB
DENIED = re.compile(r"avc: +denied +\{ mem_lend \} for .*?scontext=system_u:system_r:dom0_t "
                    r"tcontext=system_u:system_r:domU_t\S* tclass=hvm")


def load(name):
    path = f"/tmp/policy-{name}"
    with open(path, "wb") as out:
        out.write(base64.b64decode(ask(flask_policy=name)))
    run("xl", "loadpolicy", path)


@contextlib.contextmanager
def audited(policy):
    """That policy is in force; what Flask denies meanwhile comes in a list at the end."""
    found = []
    run("xl", "dmesg", "-c")
    load(policy)
    try:
        yield found
        found += [line for line in xen_log().splitlines() if re.search(r"avc: +denied", line)]
    finally:
        load("allow")


def of_lending(denials, least=1):
    """So many denials at the least, and none but of the permission to lend."""
    assert len(denials) >= least and all(map(DENIED.search, denials)), denials


def refused(what, *args):
    try:
        said = what(*args)
    except (AssertionError, OSError) as error:
        assert getattr(error, "errno", None) == errno.EACCES or "Permission denied" in str(error), error
        return
    raise AssertionError(f"{args} was allowed: {said}")


def call(fd, number, data):
    """An ioctl of the driver's (_IOWR) on a structure that begins with its size."""
    data = struct.pack("<I", len(data) + 4) + data
    fcntl.ioctl(fd, 3 << 30 | len(data) << 16 | ord("L") << 8 | number, data)


def bind(fd, domid):
    call(fd, 0x60, struct.pack("<IIIQ", domid, 0, 0, 0))


def lease(fd, memfd, pages, gfn):
    """By descriptor, write-back, to the first ioreq server."""
    call(fd, 0x61, struct.pack("<IQQQIIIIiIQ", FD, 0, pages << 12, gfn, WB, 0, 0, 0, memfd, 0, 0))


@contextlib.contextmanager
def file_and_memfd(pages):
    fd, memfd = os.open("/dev/xen/lend", os.O_RDWR | os.O_CLOEXEC), os.memfd_create("lent")
    os.truncate(memfd, pages << 12)
    try:
        yield fd, memfd
    finally:
        os.close(fd)
        os.close(memfd)


def installed(server):
    return server.stats()["installed"]


@contextlib.contextmanager
def lending(present=64):
    """A guest, and a server that lends 64 pages to it, so many of which are there."""
    with Paused() as guest, Server(guest.domid) as server:
        server.do("lease memfd 64 fd")
        server.do(f"prefault 0 {present}")
        yield guest, server


def test_allowed():
    """Flask is there and enforces; with the policy that is built in (build-flask.sh compares), dom0 lends."""
    assert run("xl", "getenforce", check=False).strip() == "Enforcing"
    with audited("allow") as denials, lending() as (_, server):
        assert installed(server) == 64
        server.do("unlease")
    assert not denials, denials
    no_kernel_complaints()


def test_denied():
    """No lease and no page more."""
    with lending(16) as (guest, server), file_and_memfd(64) as (fd, memfd):
        bind(fd, guest.domid)
        with audited("deny") as denials:
            refused(lease, fd, memfd, 64, GFN + 512)
            refused(server.do, "prefault 16 16")
        of_lending(denials, 2)
        # it was the policy
        lease(fd, memfd, 64, GFN + 512)
        server.do("prefault 16 16")
        assert installed(server) == 32
    no_kernel_complaints()


def test_bind_denied():
    with Paused() as guest, file_and_memfd(1) as (fd, _):
        with audited("deny") as denials:
            refused(bind, fd, guest.domid)
        of_lending(denials)
        bind(fd, guest.domid)


def test_taken_back():
    """A revoke and the end of a lease need no permission: the lender's memory is its own."""
    with lending() as (guest, server):
        with audited("deny") as denials:
            server.do("punch 0 32")
            server.do("unlease")
        assert not denials, denials
        with Server(guest.domid) as again:
            again.do("lease memfd 64 fd")
            again.do("prefault 0 64")
            assert installed(again) == 64
    no_kernel_complaints()


def test_revoked():
    """What was taken back while the policy forbade lending is gone from the borrower, and comes again when it allows it."""
    with lending() as (guest, server):
        with audited("deny"):
            server.do("punch 0 32")
        assert installed(server) == 32, server.stats()
        server.do("prefault 0 64")
        assert installed(server) == 64
    no_kernel_complaints()


def test_guest_gone():
    """A guest and its lender end under the policy that denies."""
    with lending() as (guest, server):
        with audited("deny"):
            guest.destroy()
    with Paused() as guest:
        server = Server(guest.domid)
        server.do("lease memfd 64 fd")
        server.do("prefault 0 64")
        with audited("deny"):
            server.close()
        with Server(guest.domid) as again:
            again.do("lease memfd 64 fd")
    no_kernel_complaints()


@limit(300)
def test_qemu():
    """A device model's BAR is lent if the policy has it, and else emulated, with a word in its log."""
    path = backing("lent", MIB)
    with Guest(args=ivshmem(path, "1M")) as guest:
        assert guest.must("bar size") == str(MIB)
        guest.must(f"bar cat 0 {MIB} | sha256sum")
        assert guest.lease()["installed"] == MIB, guest.lease()
    with audited("deny") as denials, Guest("other", args=ivshmem(path, "1M")) as guest:
        assert guest.must("bar size") == str(MIB)
        guest.must("bar cat 0 4096 | sha256sum")
        refused(guest.leases)
    of_lending(denials)


def test_op():
    """Which calls ask the policy: all numbers of a call, known or not, but for a lender's that takes back; and none about a domain
    that is not the one that was meant."""
    def calls(what, *args):
        return len(tap("lend_flask", guest.domid, 20, what, number, *args))

    with Paused() as guest:
        number = run(program("lend_flask"), str(guest.domid), hex(GFN), "number").strip()
        calls("allowed")
        with Server(guest.domid) as server:         # who has never lent has nothing to take back, and is asked about that, too
            server.do("lease memfd 64 fd")
        with audited("deny") as denials:
            asked = calls("asked")
        of_lending(denials, asked)
        with audited("deny") as denials:
            calls("silent")
        assert not denials, denials
        with Server(guest.domid) as server:
            server.do("lease memfd 64 fd")
            server.do("prefault 0 64")
            lent = re.search(r"lease (\d+): gfns", xen_log("B"))[1]
            with audited("deny") as denials:
                calls("lender", lent)
            of_lending(denials, 5)
    no_kernel_complaints()
