# SPDX-License-Identifier: GPL-2.0-or-later
"""A file system of one file whose reads can be held up: FUSE's protocol, as far as that needs it, served by a thread."""

import ctypes
import errno
import os
import stat
import struct
import threading

from lendlab import LIBC, run

LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, WRITE = 1, 2, 3, 4, 14, 15, 16
STATFS, RELEASE, FSYNC, FLUSH, INIT, OPENDIR, INTERRUPT, BATCH_FORGET = 17, 18, 20, 25, 26, 27, 36, 42


class FuseFile:
    """`with FuseFile(data) as f`: f.path is the file; between f.hold() and f.release() nobody gets to read it."""

    def __init__(self, data, where="/tmp/fuse"):
        self.data = bytearray(data)
        self.where = where
        self.path = where + "/data"
        self.free = threading.Event()
        self.free.set()
        self.reads = self.writes = 0
        self.hold, self.release = self.free.clear, self.free.set

    def __enter__(self):
        os.makedirs(self.where, exist_ok=True)
        self.fd = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self.fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
        if LIBC.mount(b"lend", self.where.encode(), b"fuse", ctypes.c_ulong(6), options):
            raise OSError(ctypes.get_errno(), "mounting fuse")
        threading.Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *exc):
        self.release()
        run("umount", "-l", self.where, check=False)
        os.close(self.fd)

    def serve(self):
        while True:
            try:
                request = os.read(self.fd, 1 << 18)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.EAGAIN, errno.ENOENT):
                    continue
                return
            _length, what, unique, node = struct.unpack_from("<IIQQ", request)
            if what == READ:            # in a thread of its own: others may come meanwhile
                threading.Thread(target=self.reply, args=(what, unique, node, request[40:]), daemon=True).start()
            elif what not in (FORGET, BATCH_FORGET, INTERRUPT):
                self.reply(what, unique, node, request[40:])

    def reply(self, what, unique, node, body):
        answer = self.answer(what, node, body)
        error, answer = (0, answer) if isinstance(answer, bytes) else (-answer, b"")
        try:
            os.write(self.fd, struct.pack("<IiQ", 16 + len(answer), error, unique) + answer)
        except OSError:
            pass                        # interrupted meanwhile, or unmounted

    def attr(self, node):
        mode = stat.S_IFDIR | 0o755 if node == 1 else stat.S_IFREG | 0o600
        size = 0 if node == 1 else len(self.data)
        return struct.pack("<QQQQQQIIIIIIIIII", node, size, (size + 511) // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def answer(self, what, node, body):
        """Bytes, or an errno."""
        if what == INIT:
            major, minor, readahead, _flags = struct.unpack_from("<IIII", body)
            return struct.pack("<IIIIHHIIHHI28x", major, min(minor, 31), readahead, 0, 8, 6, 1 << 16, 1, 0, 0, 0)
        if what == LOOKUP:
            return struct.pack("<QQQQII", 2, 0, 1000, 1000, 0, 0) + self.attr(2) if body == b"data\0" else errno.ENOENT
        if what in (GETATTR, SETATTR):
            return struct.pack("<QII", 1000, 0, 0) + self.attr(node)
        if what in (OPEN, OPENDIR):
            return struct.pack("<QII", 1, 0, 0)
        if what in (READ, WRITE):
            _fh, offset, size = struct.unpack_from("<QQI", body)
            if what == READ:
                self.reads += 1
                self.free.wait()
                return bytes(self.data[offset:offset + size])
            self.writes += 1
            self.data[offset:offset + size] = body[40:40 + size]
            return struct.pack("<II", size, 0)
        if what == STATFS:
            return bytes(80)
        return b"" if what in (RELEASE, FSYNC, FLUSH) else errno.ENOSYS
