"""Writes the zip files that checkpoints are: stored records whose data begins at multiples of 64."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any

_ALIGNMENT = 64
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_FULL32, _FULL16 = 0xFFFFFFFF, 0xFFFF
# Version 2.0 for plain records, 4.5 where 64-bit fields are used; 1980-01-01, so that equal data
# gives equal files.
_VERSION, _VERSION64 = 20, 45
_TIME, _DATE = 0, 0x21
_PADDING = struct.Struct("<2sH")
_UTF8 = 0x0800


@dataclass(frozen=True, slots=True)
class _Entry:
    name: bytes
    crc: int
    size: int
    header: int


class ZipWriter:
    """Writes records to `stream`, which needs only `write`; `close` writes the directory."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.place = 0
        self.entries: list[_Entry] = []

    def _write(self, data: Any) -> None:
        view = memoryview(data)
        self.place += view.nbytes
        while view:
            written = self.stream.write(view)
            # Raw files may take only a part; other writers return nothing or everything.
            if not isinstance(written, int) or written >= len(view):
                return
            view = view[written:]

    def add(self, name: str, data: Any) -> None:
        """Writes one record."""
        content = memoryview(data).cast("B") if memoryview(data).nbytes else memoryview(b"")
        raw_name = name.encode("utf-8")
        size, header = content.nbytes, self.place
        wide = b""
        if size >= _FULL32:
            wide = struct.pack("<HHQQ", 1, 16, size, size)
        fixed = header + _LOCAL.size + len(raw_name) + len(wide) + _PADDING.size
        gap = -fixed % _ALIGNMENT
        extra = wide + _PADDING.pack(b"FB", gap) + bytes(gap)
        crc = zlib.crc32(content)
        shown = _FULL32 if wide else size
        version = _VERSION64 if wide else _VERSION
        lengths = (len(raw_name), len(extra))
        stamp = (version, _UTF8, 0, _TIME, _DATE)
        self._write(_LOCAL.pack(b"PK\3\4", *stamp, crc, shown, shown, *lengths))
        self._write(raw_name + extra)
        self._write(content)
        self.entries.append(_Entry(raw_name, crc, size, header))

    def close(self) -> None:
        """Writes the directory."""
        start = self.place
        for entry in self.entries:
            self._write(_central(entry))
        size, count = self.place - start, len(self.entries)
        if count >= _FULL16 or start + size >= _FULL32:
            end64 = self.place
            record = struct.pack(
                "<4sQ2H2I4Q",
                b"PK\6\6",
                44,
                _VERSION64,
                _VERSION64,
                0,
                0,
                count,
                count,
                size,
                start,
            )
            self._write(record + struct.pack("<4sIQI", b"PK\6\7", 0, end64, 1))
            count, size, start = min(count, _FULL16), min(size, _FULL32), min(start, _FULL32)
        self._write(struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, size, start, 0))


def _central(entry: _Entry) -> bytes:
    wide = [value for value in (entry.size, entry.size, entry.header) if value >= _FULL32]
    extra = struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
    version = _VERSION64 if wide else _VERSION
    size, header = min(entry.size, _FULL32), min(entry.header, _FULL32)
    fields = _CENTRAL.pack(
        b"PK\1\2",
        version,
        version,
        _UTF8,
        0,
        _TIME,
        _DATE,
        entry.crc,
        size,
        size,
        len(entry.name),
        len(extra),
        0,
        0,
        0,
        0,
        header,
    )
    return fields + entry.name + extra
