# SPDX-License-Identifier: GPL-2.0-or-later
"""The test agent: dom0's side of the harness, started by dom0's init. Runs tests by name and shell commands, one at a
time, each in a child process that is killed when its time is over; sends results and growing logs to the host."""

import glob
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
LOGS = ("/var/log/xen/*", "/var/log/xen/console/*")


def find_port():
    """A descriptor for talking to the host: a virtio-serial port, or a connection to the address in the kernel's command line."""
    with open("/proc/cmdline", encoding="utf-8") as line:
        wire = re.search(r" lend_wire=(\S+):(\d+)", line.read())
    if wire:
        return socket.create_connection((wire[1], int(wire[2]))).detach()
    for _ in range(100):
        for name in glob.glob("/sys/class/virtio-ports/*/name"):
            if open(name).read().strip() == "lend.agent":
                return os.open("/dev/" + name.split("/")[-2], os.O_RDWR)
        time.sleep(0.1)
    sys.exit("agent: no virtio-serial port")


class Nursery:
    """A process without threads, which has loaded what tests share: a test is a fork of it. Starting Python takes a second here."""

    def __init__(self):
        self.sock, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            self.sock.close()
            self.serve(other)
            os._exit(0)
        other.close()

    # the agent's side: one child at a time

    def start(self, work, stdin, output, out):
        socket.send_fds(self.sock, [json.dumps(work).encode()], [stdin, output, out])
        return int(self.sock.recv(100))

    def wait(self, timeout):
        """The exit code; None if the time is over before."""
        self.sock.settimeout(timeout)
        try:
            return int(self.sock.recv(100))
        except TimeoutError:
            return None
        finally:
            self.sock.settimeout(None)

    # the nursery's

    def serve(self, sock):
        sys.path.insert(0, HERE)
        import lendlab
        import lendvmm          # noqa: F401
        import scenario         # noqa: F401
        while True:
            data, fds, _, _ = socket.recv_fds(sock, 65536, 3)
            if not data:
                return
            pid = os.fork()
            if pid == 0:
                self.become(json.loads(data), fds, sock, lendlab)
            for fd in fds:
                os.close(fd)
            sock.send(str(pid).encode())
            _, status = os.waitpid(pid, 0)
            sock.send(str(os.waitstatus_to_exitcode(status)).encode())

    @staticmethod
    def become(work, fds, sock, lendlab):
        """The child: a test, or a shell."""
        code = 1
        try:
            os.setsid()
            sock.close()
            for fd, standard in ((fds[0], 0), (fds[1], 1), (fds[1], 2)):
                os.dup2(fd, standard)
            for fd, inheritable in zip(fds, (False, False, True)):
                os.set_inheritable(fd, inheritable)
            os.environ["LEND_FD"] = str(fds[2])
            if "shell" in work:
                os.execvp("sh", ["sh", "-c", work["shell"]])
            lendlab.main(work["test"])
            code = 0
        except BaseException:       # the host must hear of it
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


class Agent:
    def __init__(self):
        self.nursery = Nursery()
        self.port = find_port()
        self.lock = threading.Lock()
        self.offsets = {}

    def send(self, message):
        data = (json.dumps(message) + "\n").encode()
        with self.lock:
            while data:
                data = data[os.write(self.port, data):]

    def lines(self):
        pending = b""
        while True:
            data = os.read(self.port, 65536)
            if not data:            # the host is not connected yet
                time.sleep(0.1)
                continue
            *lines, pending = (pending + data).split(b"\n")
            yield from (json.loads(line) for line in lines)

    # ---- logs ----

    def ship_logs(self):
        for pattern in LOGS:
            for name in glob.glob(pattern):
                try:
                    size = os.path.getsize(name)
                    at = self.offsets.get(name, 0)
                    if not os.path.isfile(name) or size <= at:
                        continue
                    with open(name, "rb") as log:
                        log.seek(at)
                        data = log.read(65536)
                    self.offsets[name] = at + len(data)
                    self.send({"file": name, "data": data.decode(errors="replace")})
                except OSError:
                    pass

    def logs_forever(self):
        while True:
            self.ship_logs()
            time.sleep(0.5)

    # ---- work ----

    def child(self, work, timeout, to_child):
        """A child process that does work(); its lines of JSON on LEND_FD go to the host, answers of the host to its stdin."""
        out_r, out_w = os.pipe()
        text_r, text_w = os.pipe()
        in_r, in_w = os.pipe()
        pid = self.nursery.start(work, in_r, text_w, out_w)
        for fd in (in_r, text_w, out_w):
            os.close(fd)
        stdin = os.fdopen(in_w, "wb")
        to_child.append(stdin)
        tail = bytearray()

        def output():
            while data := os.read(text_r, 65536):
                tail.extend(data)
                del tail[:-1000000]

        def forward():
            with os.fdopen(out_r, "rb") as pipe:
                for line in pipe:
                    self.send(json.loads(line))

        threads = [threading.Thread(target=f, daemon=True) for f in (output, forward)]
        for thread in threads:
            thread.start()
        code = self.nursery.wait(timeout)
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        if code is None:
            self.nursery.wait(None)
        for thread in threads:
            thread.join(2)
        to_child.clear()
        stdin.close()
        if not threads[0].is_alive():
            os.close(text_r)
        return code, tail.decode(errors="replace")

    def run_test(self, name, timeout, to_child):
        code, text = self.child({"test": name}, timeout, to_child)
        cleaned, why = self.child({"test": "--clean"}, 60, [])
        if cleaned != 0:
            code, text = None, f"{text}\ncleaning up: {why}"
        return {"done": name, "code": code, "output": text}

    def run_shell(self, command, timeout, to_child):
        code, text = self.child({"shell": command}, timeout, to_child)
        return {"done": "sh", "code": code, "output": text}

    def hello(self, message):
        """A machine that goes on from a snapshot has yesterday's time and the random numbers of all others."""
        time.clock_settime(time.CLOCK_REALTIME, message["now"])
        with open("/dev/urandom", "wb") as pool:
            pool.write(bytes.fromhex(message["random"]))
        self.send({"ready": True})

    def main(self):
        threading.Thread(target=self.logs_forever, daemon=True).start()
        self.send({"ready": True})
        to_child = []
        for message in self.lines():
            what = message["do"]
            if what == "poweroff":
                self.ship_logs()
                return
            if what == "hello":
                self.hello(message)
                continue
            if what == "answer":
                for pipe in to_child:
                    pipe.write((json.dumps(message) + "\n").encode())
                    pipe.flush()
                continue
            work = self.run_test if what == "test" else self.run_shell
            args = (message["what"], message["timeout"], to_child)

            def job():
                try:
                    answer = work(*args)
                except Exception as error:      # the host must hear of it
                    answer = {"done": args[0], "code": None, "output": f"agent: {error!r}"}
                self.ship_logs()
                self.send(answer)
            threading.Thread(target=job, daemon=True).start()


if __name__ == "__main__":
    Agent().main()
