# SPDX-License-Identifier: GPL-2.0-or-later
"""What is in a core that xl has dumped of an HVM or PVH guest: an ELF file with a section of pages and one of their numbers."""

import struct


class Core:
    """The guest's pages: .pages tells where in the file each is, by its number."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as self.file:
            head = self.read(0, 64)
            assert head[:5] == b"\x7fELF\2", "no core"
            table, = struct.unpack_from("<Q", head, 40)
            size, count, names = struct.unpack_from("<HHH", head, 58)
            sections = [struct.unpack("<IIQQQQIIQQ", self.read(table + i * size, 64)) for i in range(count)]
            text = self.read(*sections[names][4:6])
            where = {text[section[0]:].split(b"\0")[0].decode(): section[4:6] for section in sections}
            (begin, length), (numbers, bytes_) = where[".xen_pages"], where[".xen_pfn"]
            found = struct.unpack(f"<{bytes_ // 8}Q", self.read(numbers, bytes_))
        assert length == len(found) * 4096, "as many pages as numbers"
        self.pages = {gfn: begin + i * 4096 for i, gfn in enumerate(found) if gfn != (1 << 64) - 1}

    def read(self, at, length):
        self.file.seek(at)
        data = self.file.read(length)
        assert len(data) == length, f"the core ends at {self.file.tell()}"
        return data

    def page(self, gfn):
        with open(self.path, "rb") as self.file:
            return self.read(self.pages[gfn], 4096)
