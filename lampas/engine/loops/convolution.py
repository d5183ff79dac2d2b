"""Convolutions as matrix products whose right operand is windows over an image, read as they are needed.

    forward     out[n, g] (K, P)        =      weight[g] (K, T) · windows[n, g] (T, P)
    weight      grad_weight[g] (K, T)   = Σₙ   grad[n, g] (K, P) · windows[n, g]ᵀ (P, T)

T counts the taps (channels of the group × kernel), P the positions of the window.  The kernel is the product's macro
kernel; each thread copies one panel of windows into its own scratch memory ("implicit im2col") and lets all tiles
of its unit pass over it.  Images are parallel units in the forward product and follow each other in the derivative, so
sums do not depend on the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass

from lampas.engine.llvm.text import Module, Value
from lampas.engine.loops.brgemm_arguments import FIRST_INTEGER, Integer
from lampas.engine.loops.brgemm_kernel import GemmKernel, MacroWriter
from lampas.engine.loops.brgemm_store import FIRST, LAST
from lampas.engine.loops.convolution_windows import (
    Columns,
    PanelKind,
    PanelWriter,
    Step,
    WindowInteger,
)


@dataclass(frozen=True)
class WindowKernel(GemmKernel):
    """The macro kernel of a product with windows; it takes the windows' integers after the epilogue's."""

    columns: Columns = "positions"
    step: Step = "one"

    @property
    def panel(self) -> PanelKind:
        return PanelKind(self.target, self.element, self.shape.columns, self.columns, self.step)

    @property
    def first_integer(self) -> int:
        """Where the windows' integers begin."""
        return FIRST_INTEGER + (self.epilogue.integers if self.epilogue else 0)

    @property
    def name(self) -> str:
        return f"windows_{self.columns}_{self.step}_{super().name}"

    def module(self) -> Module:
        """Return the module with the kernel, its tile functions and the copy of panels."""
        module = Module()
        WindowWriter(module, self).write()
        return module


class WindowWriter(MacroWriter):
    """Writes the macro kernel: every panel is copied, images may follow each other along the depth."""

    def __init__(self, module: Module, kernel: WindowKernel) -> None:
        super().__init__(module, kernel)
        self.windows = kernel
        self.panel = PanelWriter(module, kernel.panel)
        self.panel.write()

    def window(self, place: WindowInteger) -> Value:
        return self.integer(self.windows.first_integer + place)

    def walk(self, first_tile: Value, last_tile: Value, panels: tuple[Value, Value]) -> None:
        """Walk images, blocks of depth and panels of one unit."""
        b = self.b
        images = self.window(WindowInteger.IMAGES)
        depth = b.divide(self.integer(Integer.DEPTH), images)
        a, image = self.a, self.bb
        with b.loop(0, images) as number:
            a_step = b.multiply(number, self.window(WindowInteger.A_IMAGE))
            b_step = b.multiply(number, self.window(WindowInteger.B_IMAGE))
            self.a = b.element_pointer(a, a_step, self.shape.element)
            self.bb = b.element_pointer(image, b_step, self.shape.element)
            self.number, self.depth, self.images = number, depth, images
            block = self.integer(Integer.DEPTH_BLOCK)
            with b.loop(0, depth, block) as k, b.loop(*panels) as panel:
                self.write_panel(k, panel, first_tile, last_tile)

    def write_panel(self, k: Value, panel: Value, first_tile: Value, last_tile: Value) -> None:
        """Copy one panel of windows and let the tiles pass over it."""
        b, shape = self.b, self.shape
        inside = b.minimum(b.subtract(self.depth, k), self.integer(Integer.DEPTH_BLOCK))
        starts = b.bit_and(b.compare("eq", k, 0), b.compare("eq", self.number, 0))
        final = b.compare("eq", b.add(self.number, 1), self.images)
        ends = b.bit_and(b.compare("sge", b.add(k, inside), self.depth), final)
        flags = b.add(
            b.multiply(b.cast("zext", starts, "i64"), FIRST),
            b.multiply(b.cast("zext", ends, "i64"), LAST),
        )
        column = b.multiply(panel, shape.columns)
        columns = b.subtract(self.integer(Integer.COLUMNS), column)
        sizes = b.element_pointer(self.integers, self.windows.first_integer, "i64")
        valid = b.minimum(columns, shape.columns)
        values = [self.bb, sizes, column, valid, k, inside, self.scratch]
        b.call(self.panel.name, "void", values)
        c = b.element_pointer(
            self.c, b.multiply(panel, self.integer(Integer.C_PANEL)), self.kernel.c_element
        )
        with b.loop(first_tile, last_tile) as tile:
            pitch = b.value(self.windows.panel.pitch)
            rows = (self.scratch, pitch, inside, c, columns, flags, column)
            self.write_tile(tile, k, rows)
