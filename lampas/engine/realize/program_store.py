"""Programs kept on disk: a process that meets a graph again schedules nothing, and loads no scheduler.

Beside the kernels' objects (`llvm.cache`, the same private directory) lies, for each graph that was built, what its program
consists of (`parts`), with the keys of its kernels' objects in place of addresses.  The key is everything that a schedule
follows from: the graph, the settings, the machine, the engine's sources and LLVM's version.  Programs with host steps are not
kept, nor is anything that is to be shown or verified.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple, final

from lampas.engine.device.launch import Record
from lampas.engine.dtype import dtype
from lampas.engine.graph.layout import Layout
from lampas.engine.llvm.cache import disk_cache, key_of
from lampas.engine.llvm.compiler import Code, codes, stored_function, versions
from lampas.engine.llvm.target import host
from lampas.engine.realize.cost import Cost
from lampas.engine.realize.hosts import HostCall
from lampas.engine.realize.index_check import Flag, IndexCheck
from lampas.engine.realize.parts import PreparationParts, ProgramParts
from lampas.engine.realize.sources import fingerprint
from lampas.engine.realize.statistics import count_kernel, statistics
from lampas.engine.settings import settings

if TYPE_CHECKING:
    from lampas.engine.realize.parts import Blueprint, Part

SOURCES = (".", "graph", "schedule", "loops", "llvm", "device", "realize")
PLAIN = (bool, int, float, complex, str, dtype, Layout, type(None))
LEAST_ENTRIES = 1  # of a graph whose program is kept
LEVEL = 1  # of compression


@final
class Stored(NamedTuple):
    """What is kept of a graph: where its leaves had better lie, and the program, if one was built."""

    wanted: dict[int, Layout]
    parts: ProgramParts | None


def find_stored(blueprint: Blueprint) -> tuple[str | None, Stored | None]:
    """The key under which a graph's program is kept, if it may be, and what is there."""
    key = store_key(blueprint)
    disk = disk_cache()
    if key is None or disk is None:
        return None, None
    payload = disk.read(key)
    return key, None if payload is None else decode(payload)


def keep_stored(key: str | None, stored: Stored) -> None:
    """Keep what was made of a graph."""
    disk = disk_cache()
    if key is None or disk is None:
        return
    if stored.parts is None or is_storable(stored.parts):
        disk.write(key, encode(stored))


def store_key(blueprint: Blueprint) -> str | None:
    """Everything that a program depends on in one word; None where it is not to be kept."""
    graph = blueprint.graph
    if settings.debug or blueprint.verified or len(graph.entries) < LEAST_ENTRIES:
        return None
    lines: list[str] = []
    for entry in graph.entries:
        if not is_plain(entry.attributes):
            return None
        words = entry.op.name, entry.attributes, entry.sources, entry.shape, entry.dtype
        lines.append(repr(words))
    options = blueprint.fused, blueprint.threads, settings.convolution, host(), versions()
    places = graph.leaves, graph.outputs
    return key_of("program", fingerprint(*SOURCES), repr(options), repr(places), "\n".join(lines))


def is_plain(value: Any) -> bool:
    """Whether a value's `repr` says all about it, in every process."""
    if isinstance(value, tuple):
        return all(map(is_plain, value))
    return isinstance(value, PLAIN)


def is_storable(parts: ProgramParts) -> bool:
    """Whether parts are plain data: no host steps, and kernels that are on disk."""
    if any(isinstance(segment, HostCall) for segment in parts.segments):
        return False
    return all(record.kernel in codes for record in records_of(parts))


def records_of(parts: ProgramParts) -> list[Record]:
    """All records, those of preparations too."""
    found = [record for part in parts.segments if isinstance(part, list) for record in part]
    return found + [record for each in parts.preparations for record in each.records]


# ---- as bytes -----------------------------------------------------------------------------------------------


def encode(stored: Stored) -> bytes:
    """The bytes that are kept."""
    wanted = [(position, told(layout)) for position, layout in stored.wanted.items()]
    made = None if stored.parts is None else Encoder().encode(stored.parts)
    text = json.dumps([wanted, made], separators=(",", ":"))
    return zlib.compress(text.encode(), LEVEL)


def told(layout: Layout | None) -> Any:
    return None if layout is None else (layout.groups, layout.order)


class Encoder:
    """Writes parts as lists and numbers; kernels are numbered."""

    def __init__(self) -> None:
        self.kernels: dict[int, int] = {}

    def encode(self, parts: ProgramParts) -> list[Any]:
        """All fields in their order, and the kernels' codes at the end."""
        plain = parts._replace(
            layouts=tuple(map(told, parts.layouts)),
            cells=parts.cells.hex(),
            donations=list(parts.donations.items()),
            segments=[self.segment(part) for part in parts.segments],
            preparations=[
                (each.leaf, each.nbytes, self.records(each.records)) for each in parts.preparations
            ],
        )  # pyright: ignore[reportArgumentType] (plain data in place of each field)
        return [*plain, [codes[address] for address in self.kernels]]

    def segment(self, part: Part) -> Any:
        """Records, or the flags of a look at them."""
        if isinstance(part, IndexCheck):
            return {"flags": part.flags}
        assert isinstance(part, list), "host calls are not kept"
        return self.records(part)

    def records(self, records: list[Record]) -> list[Any]:
        """Records with a number for their kernel."""
        numbers = self.kernels
        return [(numbers.setdefault(each[0], len(numbers)), *each[1:]) for each in records]


def decode(payload: bytes) -> Stored:
    """What `encode` was given; without the program where an object of its kernels is gone."""
    wanted, made = json.loads(zlib.decompress(payload))
    layouts = {position: layout_of(layout) for position, layout in wanted}
    return Stored(
        {position: layout for position, layout in layouts.items() if layout is not None},
        None if made is None else decode_parts(made),
    )


def layout_of(found: Any) -> Layout | None:
    if found is None:
        return None
    groups, order = found
    return Layout(tuple(map(tuple, groups)), tuple(order))


def decode_parts(made: list[Any]) -> ProgramParts | None:
    """Parts with the addresses of their kernels."""
    *fields, listed = made
    kernels = [stored_function(Code(*each)) for each in listed]
    known = [address for address in kernels if address is not None]
    if len(known) < len(kernels):
        return None
    for address in known:
        count_kernel(address)
    statistics.loaded += 1
    parts = ProgramParts(*fields)
    return parts._replace(
        kinds=tuple(parts.kinds),
        donations=dict(parts.donations),
        layouts=tuple(map(layout_of, parts.layouts)),
        cells=bytes.fromhex(str(parts.cells)),
        segments=[segment_of(each, known) for each in parts.segments],
        costs=[[Cost(*cost) for cost in own] for own in parts.costs],
        preparations=[
            PreparationParts(leaf, nbytes, records_from(records, known))
            for leaf, nbytes, records in parts.preparations
        ],
        checked=tuple([(leaf, size) for leaf, size in parts.checked]),
    )


def segment_of(found: Any, kernels: list[int]) -> Part:
    if isinstance(found, dict):
        return IndexCheck(tuple([Flag(*flag) for flag in found["flags"]]))
    return records_from(found, kernels)


def records_from(found: list[Any], kernels: list[int]) -> list[Record]:
    return [
        Record(kernels[number], tuple(map(tuple, operands)), tuple(integers), *rest)
        for number, operands, integers, *rest in found
    ]
