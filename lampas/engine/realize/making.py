"""A program for a graph: taken from the disk where it was built before, else built.

making = Making(graph)
making.wanted           # leaf position -> the layout in which that leaf had better lie
making.program()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from lampas.engine.realize.parts import blueprint_of
from lampas.engine.realize.program import Program, building
from lampas.engine.realize.program_store import Stored, find_stored, keep_stored

if TYPE_CHECKING:
    from lampas.engine.graph.layout import Layout
    from lampas.engine.graph.linear import LinearGraph
    from lampas.engine.realize.parts import ProgramParts


@final
class Making:
    """How a graph's program comes about; nothing is built before it has to be."""

    def __init__(self, graph: LinearGraph) -> None:
        self.blueprint = blueprint_of(graph)
        self.arrangement: Any = None
        self.key, stored = find_stored(self.blueprint)
        if stored is None:
            self.arrange()
            stored = Stored(self.arrangement.wanted, None)
            if stored.wanted:  # it may be all that is ever asked for
                keep_stored(self.key, stored)
        self.stored = stored

    @property
    def wanted(self) -> dict[int, Layout]:
        """Position of a leaf -> the layout in which it had better lie."""
        return self.stored.wanted

    def arrange(self) -> None:
        """Choose the layouts, where the disk does not tell."""
        self.arrangement = building().arrange(self.blueprint.graph)

    def program(self) -> Program:
        """The program."""
        parts = self.stored.parts
        if parts is None:
            parts = self.build()
        return Program(parts, self.blueprint)

    def build(self) -> ProgramParts:
        """Build the program's parts, and keep them."""
        if self.arrangement is None:
            self.arrange()
        parts = building().make_parts(self.blueprint, self.arrangement)
        keep_stored(self.key, Stored(self.stored.wanted, parts))
        return parts
