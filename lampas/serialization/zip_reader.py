"""A strict reader of the zip files that checkpoints are (APPNOTE 6.3; stored records only).

What other readers differ about is refused: compression, encryption, duplicate or overlapping records,
names or sizes that differ between the two headers, wrong checksums, several disks. The central
directory decides; local headers must agree with it.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np

from lampas.serialization.limits import RECORDS
from lampas.serialization.machine import refuse, shown
from lampas.serialization.sources import Source

_END = struct.Struct("<4s4H2IH")
_END64_PLACE = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQ2H2I4Q")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_FULL32, _FULL16 = 0xFFFFFFFF, 0xFFFF
_ENCRYPTED, _HAS_DESCRIPTOR = 0x0001, 0x0008


@dataclass(frozen=True, slots=True)
class Record:
    """One file in the archive: its bytes are `data[start : start + size]`."""

    name: str
    start: int
    size: int
    crc: int


class ZipReader:
    """The records of an archive by name."""

    def __init__(self, data: Source) -> None:
        self.data = data
        count, size, offset, end = self._directory_place()
        if count > RECORDS or offset + size > end:
            refuse("its directory does not fit into the file")
        self.records: dict[str, Record] = {}
        place = offset
        for _ in range(count):
            place = self._read_entry(place, offset + size)
        if place != offset + size:
            refuse("its directory has bytes that belong to no record")
        self._refuse_overlaps(offset)

    def _directory_place(self) -> tuple[int, int, int, int]:
        """How many records, the directory's size and place, and where what follows it begins."""
        data = self.data
        place = len(data) - _END.size
        if place < 0:
            refuse("it is too short for a zip archive")
        if bytes(data.part(place, place + 4)) != b"PK\5\6":
            refuse("its zip directory's end is missing: the file is cut off, or no zip archive")
        fields = _END.unpack(data.part(place, len(data)))
        _, disk, first_disk, here, count, size, offset, comment = fields
        if disk or first_disk or here != count or comment:
            refuse("its zip directory spans disks or has a comment")
        if _FULL16 in (count, here) or _FULL32 in (size, offset):
            return self._directory_place_64(place)
        return count, size, offset, place

    def _directory_place_64(self, end: int) -> tuple[int, int, int, int]:
        pointer = end - _END64_PLACE.size
        if pointer < 0 or bytes(self.data.part(pointer, pointer + 4)) != b"PK\6\7":
            refuse("its zip directory has sizes that it does not give")
        _, disk, place, disks = _END64_PLACE.unpack(self.data.part(pointer, end))
        if disk or disks != 1 or place + _END64.size > pointer:
            refuse("its zip directory spans disks")
        fields = _END64.unpack(self.data.part(place, place + _END64.size))
        signature, _, _, _, disk, first_disk, here, count, size, offset = fields
        if signature != b"PK\6\6" or disk or first_disk or here != count:
            refuse("its zip directory is malformed")
        return count, size, offset, place

    def _read_entry(self, place: int, end: int) -> int:
        """Reads one record's entry in the directory; returns where the next one begins."""
        if place + _CENTRAL.size > end:
            refuse("its zip directory is cut off")
        fields = _CENTRAL.unpack(self.data.part(place, place + _CENTRAL.size))
        signature, _, _, flags, method, _, _, crc, packed, size = fields[:10]
        name_size, extra_size, comment_size, disk, _, _, header = fields[10:]
        following = place + _CENTRAL.size + name_size + extra_size + comment_size
        if signature != b"PK\1\2" or following > end:
            refuse("its zip directory is malformed")
        start = place + _CENTRAL.size
        raw_name = bytes(self.data.part(start, start + name_size))
        extra = bytes(self.data.part(start + name_size, start + name_size + extra_size))
        name = _decode_name(raw_name)
        size, packed, header = _wide_values(extra, size, packed, header)
        if flags & _ENCRYPTED or method != 0 or packed != size or disk:
            refuse(f"its record {shown(name)} is compressed, encrypted or on another disk")
        if name in self.records:
            refuse(f"it has two records named {shown(name)}")
        data_start = self._check_local(header, raw_name, flags, crc, size)
        self.records[name] = Record(name, data_start, size, crc)
        return following

    def _check_local(self, place: int, raw_name: bytes, flags: int, crc: int, size: int) -> int:
        """Compares the header in front of the data with the directory; returns where data begins."""
        if place + _LOCAL.size > len(self.data):
            refuse("it has a record outside of the file")
        fields = _LOCAL.unpack(self.data.part(place, place + _LOCAL.size))
        signature, _, local_flags, method, _, _, local_crc, packed, local_size = fields[:9]
        name_size, extra_size = fields[9:]
        name_start = place + _LOCAL.size
        data_start = name_start + name_size + extra_size
        local_name = bytes(self.data.part(name_start, name_start + name_size))
        if signature != b"PK\3\4" or local_name != raw_name or method != 0:
            refuse("it has a record whose two headers differ")
        if (local_flags & ~_HAS_DESCRIPTOR) != (flags & ~_HAS_DESCRIPTOR):
            refuse("it has a record whose two headers differ")
        if not local_flags & _HAS_DESCRIPTOR:
            extra = bytes(self.data.part(name_start + name_size, data_start))
            local_size, packed, _ = _wide_values(extra, local_size, packed, 0)
            if (local_crc, local_size, packed) != (crc, size, size):
                refuse("it has a record whose two headers differ")
        if data_start + size > len(self.data):
            refuse("it has a record that reaches beyond the file")
        return data_start

    def _refuse_overlaps(self, directory: int) -> None:
        end = 0
        for record in sorted(self.records.values(), key=lambda record: record.start):
            if record.start < end:
                refuse(f"its record {shown(record.name)} overlaps another")
            end = record.start + record.size
        if end > directory:
            refuse("it has a record that overlaps the directory")

    def _record(self, name: str) -> Record:
        record = self.records.get(name)
        if record is None:
            refuse(f"it has no record {shown(name)}")
        return record

    def read(self, name: str) -> bytes:
        """A record's bytes, checksum verified. Refuses a name that is not there."""
        record = self._record(name)
        content = bytes(self.data.part(record.start, record.start + record.size))
        _check_sum(record, content)
        return content

    def read_array(self, name: str, size: int) -> np.ndarray:
        """A record as memory for a tensor, if it has `size` bytes; checksum verified."""
        record = self._record(name)
        if record.size != size:
            refuse(
                f"its record {shown(name)} has {record.size} bytes where its pickle declares {size}"
            )
        array = self.data.array(record.start, size)
        _check_sum(record, array.data)
        return array


def _check_sum(record: Record, content: bytes | memoryview) -> None:
    if len(content) != record.size or zlib.crc32(content) != record.crc:
        refuse(f"its record {shown(record.name)} is damaged: the checksum differs")


def _decode_name(raw: bytes) -> str:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        refuse("it has a record whose name is no text")
    if not name or "\0" in name or "\\" in name or name.startswith("/") or ".." in name.split("/"):
        refuse(f"it has a record with the bad name {shown(name)}")
    return name


def _wide_values(extra: bytes, size: int, packed: int, header: int) -> tuple[int, int, int]:
    """Sizes and place with those replaced that are given in the 64-bit field."""
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, place)
        body = extra[place + 4 : place + 4 + length]
        place += 4 + length
        if kind != 1:
            continue
        wide = iter(struct.unpack(f"<{len(body) // 8}Q", body[: len(body) // 8 * 8]))
        size = next(wide, size) if size == _FULL32 else size
        packed = next(wide, packed) if packed == _FULL32 else packed
        header = next(wide, header) if header == _FULL32 else header
    return size, packed, header
