"""A run's own memory: the arena, the table of pointers, the cells of its Python numbers, the guards' flags.

A program keeps a few small workspaces for its next runs, so that a short run does not spend its time on making them.
The pointers and the numbers lie in one block and are written by one `struct` call:

    [pointer of slot 0, slot 1, …][pad to 16 bytes][16-byte cell of number 0, number 1, …]
"""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING, Any, final

from lampas.engine.device.buffer import Buffer

if TYPE_CHECKING:
    from collections.abc import Sequence

SCALAR_FORMATS = {"bool": "?15x", "int64": "q8x", "float64": "d8x", "complex128": "dd"}
KEPT = 2  # workspaces of a program
SMALL_ARENA = 1 << 18  # bytes; a larger one goes back to the allocator after each run


@final
class WorkspaceLayout:
    """What the workspaces of one program have in common."""

    __slots__ = ("arena_bytes", "cells_at", "complex", "flags", "idle", "nbytes", "packing")

    def __init__(self, slots: int, kinds: Sequence[str], arena_bytes: int, flags: int) -> None:
        """`slots` pointers, numbers of `kinds`, and so many flags."""
        self.arena_bytes = arena_bytes
        self.flags = flags
        self.complex = "complex128" in kinds
        pad = slots % 2
        self.cells_at = 8 * (slots + pad)
        numbers = "".join(SCALAR_FORMATS[kind] for kind in kinds)
        self.packing = struct.Struct(f"={slots}Q{8 * pad}x{numbers}")
        self.nbytes = max(self.packing.size, 16)
        self.idle: list[Workspace] = []

    @property
    def is_brief(self) -> bool:
        """Whether workspaces keep all their memory from run to run, and have no flags to clear."""
        return not (self.flags or self.complex) and self.arena_bytes <= SMALL_ARENA

    def take(self) -> Workspace:
        """A workspace for one run."""
        try:
            workspace = self.idle.pop()
        except IndexError:
            workspace = Workspace(self)
        if workspace.arena is None and self.arena_bytes:
            workspace.arena = Buffer.allocate(self.arena_bytes)
        return workspace

    def give_back(self, workspace: Workspace) -> None:
        """The run is over, and nobody uses the workspace any more."""
        workspace.kept = ()
        if self.arena_bytes > SMALL_ARENA:
            workspace.arena = None
        if len(self.idle) < KEPT:
            self.idle.append(workspace)


@final
class Workspace:
    """The memory of one run at a time; `address` is that of the pointers."""

    __slots__ = ("address", "arena", "block", "flags", "flags_pointer", "kept", "layout")

    def __init__(self, layout: WorkspaceLayout) -> None:
        self.layout = layout
        self.arena: Buffer | None = None
        self.kept: Sequence[Buffer] = ()  # alive until the run is over
        self.block = (ctypes.c_uint64 * (-(-layout.nbytes // 8)))()
        self.address = ctypes.addressof(self.block)
        self.flags = (ctypes.c_uint8 * (layout.flags + 1))()
        self.flags_pointer = ctypes.addressof(self.flags)

    def write(
        self, buffers: Sequence[Buffer], kept: Sequence[Buffer], numbers: Sequence[Any], cells: int
    ) -> None:
        """Write the pointers of leaves and outputs, our own, what is kept, and the numbers.

        `cells` is the address of the program's own table.
        """
        layout = self.layout
        self.kept = kept
        if layout.flags:
            ctypes.memset(self.flags_pointer, 0, layout.flags)
        if layout.complex:
            numbers = _flatten(numbers)
        layout.packing.pack_into(
            self.block,
            0,
            *[buffer.pointer for buffer in buffers],
            *self.fixed(cells),
            *[buffer.pointer for buffer in kept],
            *numbers,
        )

    def fixed(self, cells: int) -> tuple[int, int, int, int]:
        """Our own pointers: the arena, the cells of the run's numbers and the program's, the flags."""
        arena = (
            self.address if self.arena is None else self.arena.pointer
        )  # nobody looks into an empty one
        return arena, self.address + self.layout.cells_at, cells, self.flags_pointer


def _flatten(numbers: Sequence[Any]) -> list[Any]:
    """Complex numbers as two."""
    flat: list[Any] = []
    for number in numbers:
        flat.extend((number.real, number.imag) if type(number) is complex else (number,))
    return flat
