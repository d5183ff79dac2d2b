"""What a program is made of, as plain data: from a schedule (`building`), or from the disk (`program_store`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, final

from lampas.engine.device.launch import Record
from lampas.engine.device.pool import get_num_threads
from lampas.engine.realize.cost import Cost
from lampas.engine.realize.hosts import HostCall
from lampas.engine.realize.index_check import IndexCheck
from lampas.engine.settings import settings

if TYPE_CHECKING:
    from lampas.engine.graph.layout import Layout
    from lampas.engine.graph.linear import LinearGraph


@final
@dataclass(frozen=True, slots=True, eq=False)
class Blueprint:
    """What a schedule follows from, so that it can be made again."""

    graph: LinearGraph
    fused: bool
    verified: bool
    threads: int


def blueprint_of(graph: LinearGraph) -> Blueprint:
    """What programs of a graph follow from under the present settings."""
    return Blueprint(graph, settings.fuse, settings.verify, get_num_threads())


Part = list[Record] | HostCall | IndexCheck


@final
class PreparationParts(NamedTuple):
    """Records that make what outlives a run: of which leaf (its position), and how many bytes."""

    leaf: int
    nbytes: int
    records: list[Record]


@final
class ProgramParts(NamedTuple):
    """Everything that runs need.

    slots         how many pointers the records know: leaves, outputs, arena, the cells of scalars and of numbers, flags,
                  what is kept from run to run
    kinds         dtypes of the scalars among the leaves
    output_bytes  of each output
    donations     output position -> position of the leaf whose memory it may take
    layouts       of the outputs
    flags         how many guards write one
    cells         numbers that kernels read, 8 bytes each
    segments      native records, with host calls and looks at flags between them
    costs         of each segment's records
    checked       (leaf, size) of each early guard, if each checks what a leaf holds
    """

    slots: int
    kinds: tuple[str, ...]
    output_bytes: list[int]
    donations: dict[int, int]
    layouts: tuple[Layout | None, ...]
    arena_bytes: int
    flags: int
    cells: bytes
    segments: list[Part]
    costs: list[list[Cost]]
    preparations: list[PreparationParts]
    checked: tuple[tuple[int, int], ...]
