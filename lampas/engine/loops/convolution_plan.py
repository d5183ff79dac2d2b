"""Planning convolutions: sizes of windows to calls of kernels.

    windows = Windows(groups, channels, image, kernel, stride, dilation)        # the image is already padded
    plan = plan_forward(float32, windows, images, out_channels)
    plan = plan_weight(float32, windows, images, out_channels)

The operands' names are those of `plan_gemm`: forward, "a" is the weight (out channels, taps) and "b" the padded images;
for the derivative by the weight, "a" is the gradient of the output.  All operands lie row-major.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from lampas.engine.dtype import dtype
from lampas.engine.llvm.target import Target, host
from lampas.engine.loops.brgemm import GemmPlan, Kernel, PlanBuilder
from lampas.engine.loops.brgemm_arguments import Integer
from lampas.engine.loops.brgemm_batch import fold_batches
from lampas.engine.loops.brgemm_epilogue import NestEpilogue
from lampas.engine.loops.brgemm_plan import (
    Matrix,
    Problem,
    choice,
    cut_of,
    depth_block,
    estimate,
    plain_element,
    shape_for,
)
from lampas.engine.loops.brgemm_tile import MOST_WIDE_ROWS, Access
from lampas.engine.loops.convolution import WindowKernel
from lampas.engine.loops.convolution_windows import Columns, WindowInteger, step_word
from lampas.engine.loops.emit_types import memory_type
from lampas.engine.shape import contiguous_strides

Shape = tuple[int, ...]
FEW_UNITS = 4
POSITIONS_BLOCK = 512  # positions of one image between two visits of the results


@dataclass(frozen=True)
class Windows:
    """Windows over padded images (groups · channels, *image) with 1 to 3 spatial dimensions."""

    groups: int
    channels: int
    image: Shape
    kernel: Shape
    stride: Shape
    dilation: Shape

    @property
    def places(self) -> Shape:
        """How many places the window has along each dimension."""
        sizes = zip(self.image, self.kernel, self.stride, self.dilation, strict=True)
        return tuple([(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in sizes])

    @property
    def taps(self) -> int:
        return self.channels * prod(self.kernel)

    @property
    def positions(self) -> int:
        return prod(self.places)

    @property
    def image_numel(self) -> int:
        """Elements of one image with the channels of all groups."""
        return self.groups * self.channels * prod(self.image)

    @property
    def jump(self) -> int:
        """Elements between neighbouring positions."""
        return self.stride[-1]

    def integers(self) -> list[int]:
        """The windows' integers; those of images are for the derivative to fill in."""
        lead = 3 - len(self.kernel)
        ones = (1,) * lead
        places, kernel = ones + self.places, ones + self.kernel
        steps = contiguous_strides(ones + self.image)
        strides, gaps = ones + self.stride, ones + self.dilation
        jumps = [s * n for s, n in zip(strides, steps, strict=True)]
        tap_steps = [d * n for d, n in zip(gaps, steps, strict=True)]
        return [*places, self.image_numel, *jumps, *kernel, *tap_steps, prod(self.image), 1, 0, 0]


def plan_forward(
    kind: dtype,
    windows: Windows,
    images: int,
    filters: int,
    *,
    merged: bool = False,
    epilogue: NestEpilogue | None = None,
    extras: Sequence[Sequence[int]] = (),
    threads: int = 1,
    target: Target | None = None,
) -> GemmPlan:
    """Plan C[n, g] = epilogue(A[g] · windows[n, g]); C is (images, groups, filters, positions).

    With `merged`, C is (groups, filters, images · positions): one product for all images, if they are small.
    `filters` is the number of filters of one group; `extras` has the strides of the epilogue's operands.
    """
    count, taps = windows.positions * (images if merged else 1), windows.taps
    own = windows.channels * prod(windows.image)
    a = Matrix(taps, 1, kind=kind)
    b, c = Matrix(count, 1, kind=kind), Matrix(count, 1, kind=epilogue.kind if epilogue else kind)
    walked = (
        (0, filters * taps),
        (windows.image_numel, own),
        (windows.groups * filters * count, filters * count),
    )
    problem = problem_of((filters, count, taps), (a, b, c), kind, epilogue)
    batch: Shape = (images, windows.groups)
    if merged:
        walked, batch = tuple([each[1:] for each in walked]), batch[1:]
    return plan_windows(
        problem, batch, walked, extras, windows, "positions", windows.integers(),
        threads, target or host(),
    )  # fmt: skip


def plan_weight(
    kind: dtype,
    windows: Windows,
    images: int,
    filters: int,
    *,
    merged: bool = False,
    epilogue: NestEpilogue | None = None,
    extras: Sequence[Sequence[int]] = (),
    threads: int = 1,
    target: Target | None = None,
) -> GemmPlan:
    """Plan C[g] = epilogue(Σₙ A[n, g] · windows[n, g]ᵀ); C is (groups, filters, taps).

    With `merged`, A is (groups, filters, images · positions).
    """
    count, taps = windows.positions * (images if merged else 1), windows.taps
    passes = 1 if merged else images
    own = windows.channels * prod(windows.image)
    a, b = Matrix(count, 1, kind=kind), Matrix(1, 1, kind=kind)
    c = Matrix(taps, 1, kind=epilogue.kind if epilogue else kind)
    walked = ((filters * count,), (own,), (filters * taps,))
    problem = problem_of((filters, taps, passes * count), (a, b, c), kind, epilogue)
    integers = windows.integers()
    integers[WindowInteger.IMAGES] = passes
    integers[WindowInteger.A_IMAGE] = windows.groups * filters * count
    integers[WindowInteger.B_IMAGE] = windows.image_numel
    return plan_windows(
        problem, (windows.groups,), walked, extras, windows, "taps", integers, threads,
        target or host(),
    )  # fmt: skip


def problem_of(
    sizes: Shape,
    matrices: tuple[Matrix, Matrix, Matrix],
    kind: dtype,
    epilogue: NestEpilogue | None,
) -> Problem:
    (m, n, k), (a, b, c) = sizes, matrices
    assert c.kind is not None
    element = plain_element(kind)
    return Problem(m, n, k, a, b, c, (1, 1), element, memory_type(c.kind), epilogue)


def plan_windows(
    problem: Problem,
    batch: Shape,
    walked: Sequence[Shape],
    extras: Sequence[Sequence[int]],
    windows: Windows,
    columns: Columns,
    integers: list[int],
    threads: int,
    target: Target,
) -> GemmPlan:
    """Choose among the ways to read A, and build the calls."""
    listed = [tuple(extra) for extra in extras]
    (part,) = fold_batches(problem, batch, walked, listed)
    ways: list[Access] = ["row"]
    if columns == "positions" and windows.groups == 1:
        ways.append("packed")
    made = [choice(part.problem, False, "across", way, "copy", target) for way in ways]
    tiles = tiles_of_unit(part.problem, target)
    if columns == "taps":
        most = part.problem.k // integers[WindowInteger.IMAGES]
        block = min(most, max(POSITIONS_BLOCK, depth_block(target)))
        made = [replace(each, depth_block=block, unit_tiles=tiles) for each in made]
    else:  # whole lines of a window
        line = windows.kernel[-1]
        blocks = [-(-each.depth_block // line) * line for each in made]
        made = [
            replace(each, depth_block=block, unit_tiles=tiles)
            for each, block in zip(made, blocks, strict=True)
        ]
    best = min(made, key=lambda each: estimate(part.problem, each, target))
    builder = WindowPlanBuilder(part, best, target, threads)
    builder.columns, builder.windows, builder.listed = columns, windows, integers
    return builder.build()


def tiles_of_unit(problem: Problem, target: Target) -> int:
    """Tiles that share the copy of a panel: all, if there are enough panels for some threads."""
    cut = cut_of(problem, shape_for(problem, target))
    groups = -(-FEW_UNITS // (cut.panels * problem.batches))
    return max(1, -(-cut.tiles // groups))


class WindowPlanBuilder(PlanBuilder):
    """Collects the calls of a product with windows."""

    columns: Columns
    windows: Windows
    listed: list[int]

    def kernel(self) -> Kernel:
        turned, made = self.turned, self.made
        return WindowKernel(
            self.target, turned.element, self.cut.height, made.access, "across", turned.c_element,
            turned.epilogue, self.copied()[0], lone=self.cut.tiles == 1,
            wide=self.shape.rows <= MOST_WIDE_ROWS, columns=self.columns,
            step=step_word(self.windows.jump),
        )  # fmt: skip

    def thread_bytes(self) -> int:
        """A panel, and what its copy may write behind it."""
        kernel = self.kernel()
        assert isinstance(kernel, WindowKernel)
        elements = self.made.depth_block * kernel.panel.pitch + kernel.panel.slack
        return -(-elements * self.bytes // 64) * 64

    def integers(self, a_strides: tuple[int, int], b_strides: tuple[int, int]) -> tuple[int, ...]:
        found = list(super().integers(a_strides, b_strides))
        found[Integer.SCRATCH_STRIDE] = self.thread_bytes() // self.bytes
        return (*found, *self.listed)
