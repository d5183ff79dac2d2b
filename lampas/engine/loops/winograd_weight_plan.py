"""Planning Winograd's derivative by the weight.

plan = plan_winograd_weight(float32, sizes, way=4)      # operands: "a" image, "b" gradient, "c" blocked result

`sizes` are those of the forward convolution (winograd_plan.py).
"""

from __future__ import annotations

from lampas.engine.dtype import dtype
from lampas.engine.llvm.target import Target, host
from lampas.engine.loops.brgemm import GemmPlan, Kernel, KernelCall
from lampas.engine.loops.convolution_weight_plan import even
from lampas.engine.loops.winograd import SKEW
from lampas.engine.loops.winograd_filter import WinogradFilterKernel
from lampas.engine.loops.winograd_matrices import elements_of
from lampas.engine.loops.winograd_plan import (
    Operands,
    Planner,
    WinogradSizes,
    row_of,
    suits_panels,
)
from lampas.engine.loops.winograd_weight import WinogradProductKernel
from lampas.engine.loops.winograd_weight_panel import (
    WinogradWeightPanelKernel,
    columns_of,
    own_elements,
)

GROUP_BYTES = 6 << 20  # of the transforms of one group of tiles, which lie in the third cache
SLICES_BYTES = 3 << 20  # of sums that are kept apart, lest chains of groups grow long
TILES_OF_SPAN = 9
TILES_OF_GROUP = 128  # at most, where units bring their sums back: each group does it again


def plan_winograd_weight(
    kind: dtype,
    sizes: WinogradSizes,
    way: int,
    *,
    threads: int = 1,
    target: Target | None = None,
) -> GemmPlan:
    """Plan the derivative by the weight."""
    planner = WeightPlanner(kind, sizes, way, threads, target or host())
    return planner.by_panels() if planner.panels else planner.by_elements()


def group_of(sizes: WinogradSizes, way: int, nbytes: int) -> int:
    """Tiles of a group, even ones."""
    most = TILES_OF_GROUP
    if not suits_panels(sizes, way, nbytes):
        each = elements_of(way) ** 2 * (sizes.channels + sizes.filters) * nbytes
        most = max(1, GROUP_BYTES // each)
    count = sizes.count(way)
    return -(-count // -(-count // most))


class WeightPlanner(Planner):
    """Collects the calls of a derivative by the weight."""

    def __init__(
        self, kind: dtype, sizes: WinogradSizes, way: int, threads: int, target: Target
    ) -> None:
        super().__init__(kind, sizes, way, threads, target)
        self.group = group_of(sizes, way, self.nbytes)
        self.spans = even(sizes.channels, TILES_OF_SPAN * self.shape.rows, self.shape.rows)
        self.panels = suits_panels(sizes, way, self.nbytes)
        filters = -(-sizes.filters // self.shape.columns) * self.shape.columns
        self.plane = sizes.channels * sizes.filters + SKEW
        self.groups = -(-sizes.count(way) // self.group)
        most = max(SLICES_BYTES // (self.elements * self.plane * self.nbytes), 1)
        self.slices = -(-self.groups // -(-self.groups // most))
        sums = self.slices * self.elements * self.plane
        if self.panels:
            sums = threads * own_elements(self.shape, way, self.spans[0][1])
        room = [
            self.elements * (self.group * sizes.channels + SKEW),
            self.elements * (self.group * filters + SKEW),
            sums,
            threads * row_of(sizes, way),
        ]
        self.places = [sum(room[:n]) * self.nbytes for n in range(5)]
        self.calls: list[KernelCall] = []

    def transform_group(self, first: int) -> int:
        """Transform inputs and gradient of the group that begins at a tile; return how many tiles it has."""
        tiles = min(self.group, self.sizes.count(self.way) - first)
        image, grad, _, zeros, _ = self.places
        self.calls.append(self.transform("image", (first, tiles), image, zeros))
        self.calls.append(self.transform("grad", (first, tiles), grad, zeros))
        return tiles

    def by_panels(self) -> GemmPlan:
        """A unit brings the sums of a group back."""
        image, grad, sums, _, end = self.places
        own = own_elements(self.shape, self.way, self.spans[0][1])
        units = len(self.spans) * -(-self.sizes.filters // columns_of(self.shape))
        operands = (("scratch", image), ("scratch", grad), ("c", 0), ("scratch", sums))
        for first in range(0, self.sizes.count(self.way), self.group):
            kernel = WinogradWeightPanelKernel(self.target, self.element, self.way, first > 0)
            self.multiply_group(first, kernel, operands, own, units)
        return GemmPlan(tuple(self.calls), end)

    def by_elements(self) -> GemmPlan:
        """The sums of all groups, some together for each slice of them; then the way back."""
        image, grad, sums, _, end = self.places
        kernel = WinogradProductKernel(self.target, self.element)
        units = self.elements * len(self.spans)
        count = self.sizes.count(self.way)
        of_slice = self.group * -(-self.groups // self.slices)
        for first in range(0, count, self.group):
            place = sums + first // of_slice * self.plane * self.elements * self.nbytes
            operands = (("scratch", image), ("scratch", grad), ("scratch", place))
            self.multiply_group(first, kernel, operands, int(first % of_slice == 0), units)
        self.calls.append(self.way_back(sums))
        return GemmPlan(tuple(self.calls), end)

    def multiply_group(
        self, first: int, kernel: Kernel, operands: Operands, last: int, units: int
    ) -> None:
        """Transform the group that begins at a tile and multiply it; `last` is the kernel's last integer."""
        sizes, tiles = self.sizes, self.transform_group(first)
        integers = tiles, sizes.channels, self.spans[0][1], len(self.spans), sizes.filters, last
        work = self.elements * tiles * sizes.channels * sizes.filters // 100
        self.calls.append(KernelCall(kernel, operands, integers, units, work, kernel.name))

    def way_back(self, sums: int) -> KernelCall:
        """The call that transforms the sums of all tiles."""
        sizes = self.sizes
        kernel = WinogradFilterKernel(self.target, self.element, self.way, "back")
        extent = sizes.filters // self.shape.lanes * sizes.channels
        integers = sizes.channels, self.plane, self.slices
        operands = (("scratch", sums), ("c", 0))
        return KernelCall(kernel, operands, integers, extent, extent * 20, kernel.name, 16)
