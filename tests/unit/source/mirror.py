#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""mirror.py DIRECTORY PORT-FILE: a mirror on the loopback interface that behaves badly, for tests of scripts/lib/source.sh.

The first part of the path says how: good, wrong (other bytes of the same length), short (ends early, as if that were all), dies
(closes the connection in the middle), slow (100 bytes a second), hangs (says nothing); the rest is a file below DIRECTORY. Each
request is a line in DIRECTORY/requests. Ends after two minutes, whatever happens."""

import http.server
import os
import sys
import threading
import time

ROOT = sys.argv[1]


class Mirror(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        with open(os.path.join(ROOT, "requests"), "a", encoding="utf-8") as log:
            log.write(self.path + "\n")
        _, how, path = self.path.split("/", 2)
        try:
            with open(os.path.join(ROOT, path.replace("%2b", "+")), "rb") as source:
                data = source.read()
        except OSError:
            self.send_error(404)
            return
        if how == "hangs":
            time.sleep(120)
        if how == "wrong":
            data = bytes(byte ^ 1 for byte in data)
        if how == "short":
            data = data[:len(data) // 2]
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if how == "slow":
            for at in range(0, len(data), 100):
                self.wfile.write(data[at:at + 100])
                self.wfile.flush()
                time.sleep(1)
        elif how == "dies":
            self.wfile.write(data[:len(data) // 2])
            self.wfile.flush()
            self.close_connection = True
        else:
            self.wfile.write(data)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
server.daemon_threads = True
with open(sys.argv[2] + ".part", "w", encoding="utf-8") as port:
    port.write(str(server.server_address[1]))
os.rename(sys.argv[2] + ".part", sys.argv[2])
threading.Timer(120, lambda: os._exit(1)).start()
server.serve_forever()
