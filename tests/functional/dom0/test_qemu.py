# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU as the lender, on the real stack: what the qtest lane checks against a stand-in for Xen, once more where it matters."""

import contextlib
import fcntl
import hashlib
import os
import re
import time

import scenario
from lendlab import DATA, QEMU, Guest, ask, backing, domains, ivshmem, limit, note, pattern, wait_for
from lendvmm import Paused, reclaims, tap

MIB = 1 << 20
PAGE = 4096
FIFREEZE, FITHAW = 0xC0045877, 0xC0045878


def sha256_file(path, length):
    with open(path, "rb") as data:
        return hashlib.sha256(data.read(length)).hexdigest()


def of_guest(guest, offset, length, timeout=60):
    return guest.must(f"bar cat {offset} {length} | sha256sum", timeout=timeout).split()[0]


@limit(150)
def test_monitor():
    """Both monitors tell the same, and their figures fit what the guest did."""
    path = backing("lent", MIB)
    with Guest(args=ivshmem(path, "1M")) as guest:
        before = guest.lease()
        assert before["size"] == MIB and not before["readonly"] and before["policy"] == "fault", before
        assert of_guest(guest, 0, MIB) == sha256_file(path, MIB)
        after = guest.lease()
        assert after["installed"] == MIB and after["installs"] >= MIB // PAGE, after
        assert after["answered"] >= 1 and after["answered"] == after["faults"], after
        assert after["waiting"] == 0 and after["failed"] == 0 and after["slowest-answer"] > 0, after
        text = guest.hmp("info xen-lend")
        assert "lending: on" in text and f"gfn {after['gfn']:#x} " in text, text
        note(f"1 MiB read with {after['faults']} faults, slowest answer {after['slowest-answer']} us")
    scenario.healthy()


@limit(150)
def test_lend_off():
    """Switched off by the toolstack's means: no lease, the same bytes, one emulated access each."""
    path = backing("lent", MIB)
    with Guest(args=ivshmem(path, "1M") + ["-machine", "xen-lend=off"]) as guest:
        info = guest.qmp("query-xen-lend")
        assert not info["available"] and "lend=off" in info["reason"] and not info["leases"], info
        assert scenario.leases_in_xen() == []
        assert of_guest(guest, 0, PAGE, 100) == sha256_file(path, PAGE)
        guest.must("bar write 4096 'by hand'")
        assert scenario.read_file(path, 4096, 7) == b"by hand"
    scenario.healthy()


def any_backend(backend):
    """Memory of QEMU's that has no file: what the guest writes stays, and is the same for QEMU's own eyes."""
    device = ["-object", f"{backend},id=lm,size=1M", "-device", "ivshmem-plain,memdev=lm"]
    with Guest(args=device) as guest:
        gpa = guest.lease()["gfn"] * PAGE
        guest.must("bar write 12288 'kept here'")
        assert guest.must("bar cat 12288 9") == "kept here"
        text = guest.hmp(f"xp /9cb {gpa + 12288:#x}")
        assert "'k'" in text and "'p'" in text, text
        assert guest.lease()["installs"] > 0
    scenario.healthy()


@limit(150)
def test_backend_memfd():
    any_backend("memory-backend-memfd")


@limit(150)
def test_backend_ram_private():
    any_backend("memory-backend-ram,share=off")


@limit(150)
def test_backend_ram_shared():
    any_backend("memory-backend-ram,share=on")


@limit(150)
def test_backend_file_private():
    """A private mapping of a file: copied on write, page by page, under the guest."""
    path = backing("lent", MIB)
    whole = sha256_file(path, MIB)
    args = ["-object", f"memory-backend-file,id=lm,size=1M,mem-path={path},share=off", "-device", "ivshmem-plain,memdev=lm"]
    with Guest(args=args) as guest:
        assert of_guest(guest, 0, MIB) == whole
        guest.must("bar write 8192 'mine alone'")
        assert guest.must("bar cat 8192 10") == "mine alone"
        assert sha256_file(path, MIB) == whole
        assert of_guest(guest, 16384, MIB - 16384) == hashlib.sha256(scenario.read_file(path, 16384)).hexdigest()
    scenario.healthy()


@limit(150)
def test_readonly():
    """A read-only file: the guest's writes are dropped, as with any ROM, and the file stays as it is."""
    path = backing("lent", MIB)
    whole = sha256_file(path, MIB)
    os.chmod(path, 0o444)
    args = ["-object", f"memory-backend-file,id=lm,size=1M,mem-path={path},share=on,readonly=on",
            "-device", "ivshmem-plain,memdev=lm"]
    with Guest(args=args) as guest:
        assert guest.lease()["readonly"]
        assert of_guest(guest, 0, MIB) == whole
        guest.run("bar write 8192 'not here'")
        assert of_guest(guest, 0, MIB) == whole
        assert sha256_file(path, MIB) == whole
    scenario.healthy()


@contextlib.contextmanager
def frozen(path=DATA):
    """The file system accepts no writes meanwhile: whoever makes a clean page writable waits."""
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, FIFREEZE, 0)
        try:
            yield
        finally:
            fcntl.ioctl(fd, FITHAW, 0)
    finally:
        os.close(fd)


def percentiles(times):
    times = sorted(times)
    return times[len(times) // 2], times[int(len(times) * 0.99)]


def monitor_times(guest, seconds):
    """How long QEMU's main loop takes to answer, in milliseconds; one connection, many questions."""
    import json
    import socket
    times = []
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as sock:
        sock.settimeout(20)
        sock.connect(guest.qmp_path)
        with sock.makefile("rw", encoding="utf-8") as pipe:
            pipe.readline()
            for request in ["qmp_capabilities"] + ["query-status"] * 100000:
                start = time.monotonic()
                pipe.write(json.dumps({"execute": request}) + "\n")
                pipe.flush()
                while "return" not in json.loads(pipe.readline()):
                    pass
                times.append((time.monotonic() - start) * 1000)
                seconds -= time.monotonic() - start + 0.005
                if seconds < 0:
                    break
                time.sleep(0.005)
    return times


# a vCPU that waits for a page does nothing else: keep everything the guest needs off the second one
TWO = {"vcpus": 2, "cmdline": "isolcpus=1 irqaffinity=0"}


def waits_for_page(guest):
    """The guest starts to write to a clean page, on its second vCPU, and waits."""
    guest.must("(taskset 2 bar write 8192 'thawed' && echo done >/tmp/wrote) >/dev/null 2>&1 </dev/null &")
    wait_for("the guest waiting for a page", lambda: guest.lease()["waiting"] == 1, 20)


def exits_per_second(guest, seconds):
    """How often the guest's first vCPU gets through QEMU's main loop: reads of a configuration space, counted in the guest."""
    guest.must("rm -f /tmp/stop; (exits /tmp/stop >/tmp/count) >/dev/null 2>&1 </dev/null &")
    start = time.monotonic()
    time.sleep(seconds)
    guest.must("touch /tmp/stop")
    seconds = time.monotonic() - start
    return int(wait_for("the count", lambda: guest.run("cat /tmp/count")[1].strip(), 20)) / seconds


@limit(240)
def test_slow_page():
    """A page takes more than 5 s: the main loop does not feel it, the other vCPU goes on with devices and pages of its own."""
    path = backing("lent", MIB)
    with Guest(args=ivshmem(path, "1M"), **TWO) as guest:
        guest.must("bar touch 0 1048576")
        before, rate_before = percentiles(monitor_times(guest, 3)), exits_per_second(guest, 3)
        with frozen():
            waits_for_page(guest)
            start = time.monotonic()
            during, rate_during = percentiles(monitor_times(guest, 3)), exits_per_second(guest, 3)
            guest.must("bar cat 65536 8 >/dev/null")        # a page that is there
            time.sleep(max(0, 5 - (time.monotonic() - start)))
            assert guest.lease()["waiting"] == 1
        wait_for("the guest's write", lambda: guest.run("test -e /tmp/wrote")[0] == 0, 20)
        assert scenario.read_file(path, 8192, 6) == b"thawed"
        rate_after = exits_per_second(guest, 3)
        slowest = guest.lease()["slowest-answer"]
        note(f"during a fault of {slowest / 1e6:.1f} s (and before): main loop's answers {during[0]:.1f} ms in the median "
             f"({before[0]:.1f}), 99 % in {during[1]:.1f} ms ({before[1]:.1f}); the other vCPU gets "
             f"through QEMU {rate_during:.0f} times a second ({rate_before:.0f} before, {rate_after:.0f} afterwards)")
        assert slowest > 4_000_000, slowest
        assert during[1] < 1000 and rate_during > min(rate_before, rate_after) / 4, (before, during)
    scenario.healthy()


@limit(200)
def test_bar_moves_while_waiting():
    """The guest switches the BAR off while one of its vCPUs waits for a page of it. Nobody waits for the page any more."""
    path = backing("lent", MIB)
    with Guest(args=ivshmem(path, "1M"), **TWO) as guest:
        guest.must("bar touch 0 1048576")
        dev = guest.must("grep -l 0x1110 /sys/bus/pci/devices/*/device").rsplit("/", 1)[0]
        with frozen():
            waits_for_page(guest)
            # command register: memory decoding off
            guest.must(f"printf '\\000\\000' | dd of={dev}/config bs=1 seek=4 conv=notrunc 2>/dev/null", 10)
            wait_for("the lease to end", lambda: not guest.leases(), 10)
            assert scenario.leases_in_xen() == []
            wait_for("the guest's write, which nobody takes", lambda: guest.run("test -e /tmp/wrote")[0] == 0, 10)
            guest.must(f"printf '\\003\\000' | dd of={dev}/config bs=1 seek=4 conv=notrunc 2>/dev/null", 10)
            wait_for("a new lease", lambda: len(guest.leases()) == 1, 10)
            assert scenario.read_file(path, 8192, 6) != b"thawed"
            # the same vCPU again, on the new lease, while the old page has not come
            guest.must("rm /tmp/wrote")
            waits_for_page(guest)
        wait_for("the guest's write", lambda: guest.run("test -e /tmp/wrote")[0] == 0, 20)
        assert scenario.read_file(path, 8192, 6) == b"thawed"
    scenario.healthy()


def octal(number, size):
    """For printf: the bytes of a number."""
    return "".join(f"\\{byte:03o}" for byte in number.to_bytes(size, "little"))


@limit(200)
def test_covered_while_running():
    """Another device's BAR comes and goes over the middle of lent memory. What a vCPU does to the rest all the time is not lost."""
    path = backing("lent", 4 * MIB)
    args = ivshmem(path, "4M") + ["-device", "xen-lend-testdev,kind=fd"]
    with Guest(args=args, **TWO) as guest:
        lent = guest.must("grep -l 0x1110 /sys/bus/pci/devices/*/device").rsplit("/", 1)[0]
        other = guest.must("grep -l 0x0005 /sys/bus/pci/devices/*/device").rsplit("/", 1)[0]
        base = int(guest.must(f"sed -n 3p {lent}/resource").split()[0], 16)

        def config(offset, text):
            return f"printf '{text}' | dd of={other}/config bs=1 seek={offset} conv=notrunc 2>/dev/null"

        guest.must(config(4, octal(0, 2)))
        guest.must(config(16, octal(base + MIB, 8)))
        guest.must("(taskset 2 bar count 0 /tmp/stop >/tmp/count) >/dev/null 2>&1 </dev/null &")
        guest.must(f"bar touch {3 * MIB} 8192")
        assert len(guest.leases()) == 1, guest.leases()
        guest.must(config(4, octal(2, 2)))
        assert len(guest.leases()) == 3, guest.leases()
        # as often as 40 s allow: beside a vCPU that never rests, once takes from a tenth of a second to three
        guest.must(f"end=$(($(cut -d. -f1 /proc/uptime) + 40)); i=0; while [ $i -lt 50 -a $(cut -d. -f1 /proc/uptime) -lt $end ]; "
                   f"do {config(4, octal(0, 2))}; {config(4, octal(2, 2))}; i=$((i + 1)); done; echo $i >/tmp/times", 100)
        guest.must("touch /tmp/stop")
        text = wait_for("the count", lambda: guest.run("grep wrong /tmp/count")[1].strip(), 20)
        times = int(guest.must("cat /tmp/times"))
        note(f"{text}, in {times + 1} times there and back")
        assert times >= 5, times
        assert text.startswith("0 wrong"), guest.must("cat /tmp/count")
    scenario.healthy()


@limit(300)
def test_end_of_large_lease():
    """A lease of 512 MiB, all of it installed in pages of 4 KiB, ends: how long QEMU's main loop does nothing else."""
    args = ["-object", "memory-backend-ram,id=lm,size=512M,share=off,prealloc=on", "-device", "ivshmem-plain,memdev=lm",
            "-trace", "xen_lend_unleased"]
    with Guest(args=args, extra="shadow_memory = 16") as guest:
        dev = guest.must("grep -l 0x1110 /sys/bus/pci/devices/*/device").rsplit("/", 1)[0]
        ends = []
        for length in 4096, 64 << 20, 512 << 20:    # a fault brings its neighbours along
            guest.must(f"bar touch 0 {length}", timeout=150)
            installed = guest.lease()["installed"] >> 20
            for command in ("\\000", "\\003"):
                guest.must(f"printf '{command}\\000' | dd of={dev}/config bs=1 seek=4 conv=notrunc 2>/dev/null", 60)
            took = [int(us) / 1000 for us in re.findall(r"xen_lend_unleased id \d+ us (\d+)", guest.dm_log())]
            ends.append((installed, took[-1]))
            wait_for("a new lease", lambda: len(guest.leases()) == 1, 10)
        note("; ".join(f"{mib} MiB installed: {ms:.1f} ms" for mib, ms in ends))
        assert ends[0][0] <= 2 and ends[-1][0] == 512, ends
        # some 131,000 pages; a wait for anything but the work would be longer
        assert all(ms < 10_000 for _, ms in ends), ends
    scenario.healthy()


@limit(200)
def test_paused_while_waiting():
    """The domain is paused, and QEMU stopped, while a page is on its way."""
    path = backing("lent", MIB)
    with Guest(args=ivshmem(path, "1M"), **TWO) as guest:
        guest.must("bar touch 0 1048576")
        with frozen():
            waits_for_page(guest)
            scenario.run("xl", "pause", guest.name)
            guest.qmp("stop")
        wait_for("the answer", lambda: guest.lease()["waiting"] == 0, 20)
        guest.qmp("cont")
        scenario.run("xl", "unpause", guest.name)
        wait_for("the guest's write", lambda: guest.run("test -e /tmp/wrote")[0] == 0, 20)
        assert scenario.read_file(path, 8192, 6) == b"thawed"
    scenario.healthy()


@limit(200)
def test_quit_while_waiting():
    """QEMU ends in an orderly way although a page is on its way."""
    path = backing("lent", MIB)
    with Guest(args=ivshmem(path, "1M"), **TWO) as guest:
        guest.must("bar touch 0 1048576")
        pid = guest.dm_pid()
        with frozen():
            waits_for_page(guest)
            with contextlib.suppress(AssertionError, ValueError, OSError):
                guest.qmp("quit")
            # a task in the middle of a page fault cannot die before that ends, but the leases can
            wait_for("the leases to end", lambda: scenario.leases_in_xen() == [], 10)
        wait_for("the end of QEMU", lambda: not os.path.exists(f"/proc/{pid}/status")
                 or "Z" in open(f"/proc/{pid}/stat").read().split()[2], 20)
        guest.destroy()
    scenario.healthy()



@limit(200)
def test_reset_while_waiting():
    """The guest reboots while one of its vCPUs waits for a page."""
    path = backing("lent", MIB)
    with Guest(args=ivshmem(path, "1M"), **TWO) as guest:
        guest.must("bar touch 0 1048576")
        with frozen():
            waits_for_page(guest)
            # by hand, as a kernel would want to hear from all its CPUs before
            guest.send("printf '\\376' | dd of=/dev/port bs=1 seek=100 conv=notrunc")
            wait_for("the leases to end", lambda: scenario.leases_in_xen() == [], 60)
        wait_for("the end of the guest", lambda: guest.name not in domains(), 30)
    scenario.healthy()


@limit(150)
def test_restricted():
    """As libxl runs an untrusted device model: no root, no way to other domains. Leases come and go all the same."""
    path = backing("lent", MIB)
    with open("/etc/passwd", "r+", encoding="ascii") as users:
        if "xen-qemuuser-range-base" not in users.read():
            users.write("xen-qemuuser-range-base:x:65536:65536::/:/bin/false\n")
    # libxl allows files of 256 KiB, and QEMU 10.0 has the pixels of a screen in a memfd: a larger limit, with or without lending
    # Before it starts QEMU, libxl asks another one (machine "none") for its options, and does not wait for its end. That one
    # removes its socket when it ends, by the name, which may be the next one's by then: it gets another /run/xen
    wrapper = "/run/qemu-restricted"
    with open(wrapper, "w", encoding="ascii") as script:
        script.write(f"""#!/bin/sh
ulimit -f 4096
case " $* " in
*" none,accel=xen "*) exec unshare --mount sh -c 'mount -t tmpfs none /run/xen && exec "$0" "$@"' {QEMU} "$@" ;;
esac
exec {QEMU} "$@"
""")
    os.chmod(wrapper, 0o755)
    restricted = Guest(args=ivshmem(path, "1M"), extra="dm_restrict = 1\nvnc = 0")
    restricted.config = restricted.config.replace(f'"{QEMU}"', f'"{wrapper}"')
    with restricted as guest:
        with open(f"/proc/{guest.dm_pid()}/status", encoding="ascii") as status:
            text = status.read()
        assert f"Uid:\t{65536 + guest.domid}\t" in text and "CapEff:\t0000000000000000" in text, text
        with open(f"/proc/{guest.dm_pid()}/cmdline", encoding="utf-8") as words:
            assert "-xen-domid-restrict" in words.read().split("\0")
        assert of_guest(guest, 0, MIB) == sha256_file(path, MIB)
        first = guest.lease()["id"]
        dev = guest.must("grep -l 0x1110 /sys/bus/pci/devices/*/device").rsplit("/", 1)[0]
        for command in ("\\000", "\\003"):
            guest.must(f"printf '{command}\\000' | dd of={dev}/config bs=1 seek=4 conv=notrunc 2>/dev/null", 10)
        second = wait_for("a new lease", guest.leases, 10)[0]
        assert second["id"] != first and second["installed"] == 0, second
        guest.must("bar write 8192 'without privilege'")
        assert scenario.read_file(path, 8192, 17) == b"without privilege"
    scenario.healthy()


@limit(300)
def test_same_as_tcg():
    """The same device lines, kernel and programs, under Xen with lending and under TCG: the guest finds the same."""
    devices = []
    for name, options in (("a", "share=on"), ("b", "share=off"), ("c", "share=on,readonly=on")):
        devices += ["-object", f"memory-backend-file,id={name},size=1M,mem-path={{dir}}/{name},{options}",
                    "-device", f"ivshmem-plain,memdev={name}"]
    devices += ["-object", "memory-backend-memfd,id=d,size=2M", "-device", "ivshmem-plain,memdev=d"]
    ids = "class vendor device subsystem_vendor subsystem_device revision"
    commands = [f"for d in /sys/bus/pci/devices/*; do [ $(cat $d/device) != 0x1110 ] || for f in {ids}; do cat $d/$f; done; done"]
    for number in range(4):
        bar = f"bar -d {number}"
        commands += [f"{bar} size", f"{bar} cat | sha256sum", f"{bar} write 8192 'the same everywhere'", f"{bar} read 8192",
                     f"{bar} write 65530 'over a page border'", f"{bar} cat 65520 40 | sha256sum", f"{bar} cat | sha256sum"]
    files = {name: [f"same {name}", MIB] for name in "abc"}
    tcg = ask(tcg={"args": devices, "files": files, "commands": commands})

    for name, (seed, size) in files.items():
        with open(f"{DATA}/{name}", "wb") as out:
            out.write(pattern(size, seed=seed))
    with Guest(args=[arg.format(dir=DATA) for arg in devices]) as guest:
        assert len(guest.leases()) == 4
        for command, (code, text) in zip(commands, tcg["outputs"]):
            assert guest.run(command, 60) == (code, text), (command, code, text)
        assert all(lease["faults"] for lease in guest.leases())
    for name in files:
        assert sha256_file(f"{DATA}/{name}", MIB) == tcg["files"][name], name
    assert tcg["files"]["b"] == hashlib.sha256(pattern(MIB, seed="same b")).hexdigest()
    assert tcg["files"]["a"] != hashlib.sha256(pattern(MIB, seed="same a")).hexdigest()
    note(f"{len(commands)} commands on 4 devices, same output and same files under Xen and under TCG")
    scenario.healthy()


def test_stand_in():
    """What the stand-in of the qtest lane answers to QEMU, asked of Xen; the driver's calls are in test_driver."""
    with Paused() as guest:
        tap("lend_asks", guest.domid, 60)


@limit(400)
def test_paging_pool():
    """More page tables wanted than the paging pool has room for: the guest takes its time, and gets all pages."""
    path = "/dev/shm/lent"
    every = f"bar touch 0 {1 << 30} {2 << 20}"
    with open(path, "wb") as sparse:
        sparse.truncate(1 << 30)
    try:
        for pool in 2, 6:
            with Guest(args=ivshmem(path, "1G"), extra=f"shadow_memory = {pool}") as guest:
                for _ in range(2):
                    guest.must(every, timeout=100)
                lease = guest.lease()
                taken = reclaims()
                note(f"{pool} MiB: {lease['faults']} faults for 512 pages touched twice, {taken} page tables reclaimed")
                assert lease["failed"] == 0 and lease["waiting"] == 0 and "shadow_memory" not in guest.dm_log(), lease
                assert (taken > 0) == (pool == 2) and (lease["faults"] > 512) == (taken > 0), (taken, lease)
    finally:
        os.unlink(path)
    scenario.healthy()
