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


class Agent:
    def __init__(self):
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

    def child(self, argv, timeout, to_child):
        """Run argv; its lines of JSON on fd 3 go to the host; answers of the host go to its stdin."""
        out_r, out_w = os.pipe()
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   pass_fds=(out_w,), env=dict(os.environ, LEND_FD=str(out_w)), start_new_session=True)
        os.close(out_w)
        to_child.append(process.stdin)
        tail = bytearray()

        def output():
            while data := os.read(process.stdout.fileno(), 65536):
                tail.extend(data)
                del tail[:-1000000]

        def forward():
            with os.fdopen(out_r, "rb") as pipe:
                for line in pipe:
                    self.send(json.loads(line))

        threads = [threading.Thread(target=f, daemon=True) for f in (output, forward)]
        for thread in threads:
            thread.start()
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        for thread in threads:
            thread.join(2)
        to_child.clear()
        return code, tail.decode(errors="replace")

    def run_test(self, name, timeout, to_child):
        code, text = self.child([sys.executable, HERE + "/lendlab.py", name], timeout, to_child)
        subprocess.run([sys.executable, HERE + "/lendlab.py", "--clean"], timeout=60, stdin=subprocess.DEVNULL)
        return {"done": name, "code": code, "output": text}

    def run_shell(self, command, timeout, to_child):
        code, text = self.child(["sh", "-c", command], timeout, to_child)
        return {"done": "sh", "code": code, "output": text}

    def main(self):
        threading.Thread(target=self.logs_forever, daemon=True).start()
        self.send({"ready": True})
        to_child = []
        for message in self.lines():
            what = message["do"]
            if what == "poweroff":
                self.ship_logs()
                return
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
