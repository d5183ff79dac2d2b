"""Planning Winograd's convolution F(4×4, 3×3): transforms and 36 products, a few images at a time.

    sizes = WinogradSizes(images, channels, filters, height, width)     # of the result
    if sizes.pays():
        plan = plan_winograd(sizes, threads)        # operands: "a" weight, "b" padded images, "c" result

The images have to be padded to `sizes.padded`: whole tiles, with zeros where the convolution pads and behind.  Images
go through the three passes in groups whose transforms stay in the caches.
"""

from __future__ import annotations

from dataclasses import dataclass

from lampas.engine.dtype import float32
from lampas.engine.llvm.target import Target, host
from lampas.engine.loops.brgemm import GemmPlan, KernelCall, plan_gemm
from lampas.engine.loops.winograd import WinogradKernel
from lampas.engine.loops.winograd_matrices import INPUTS, OUTPUTS, TAPS

ELEMENTS = INPUTS * INPUTS
LEAST_CHANNELS = 32
LEAST_ACROSS = 2
LEAST_TILES = 64
MOST_WASTE = 1.4  # elements of the tiles for one of the result
CACHED = 1 << 21  # bytes of transforms of one group of images
FLOAT = float32.itemsize
NANOSECONDS_A_TILE = 60


@dataclass(frozen=True)
class WinogradSizes:
    """One convolution by 3×3 filters without stride; height and width are those of the result."""

    images: int
    channels: int
    filters: int
    height: int
    width: int

    @property
    def down(self) -> int:
        return -(-self.height // OUTPUTS)

    @property
    def across(self) -> int:
        return -(-self.width // OUTPUTS)

    @property
    def tiles(self) -> int:
        """Tiles of one image."""
        return self.down * self.across

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width that the images must have."""
        more = TAPS - 1
        return OUTPUTS * self.down + more, OUTPUTS * self.across + more

    def pays(self) -> bool:
        """Whether the transforms cost less than the multiplications that they save."""
        if min(self.channels, self.filters) < LEAST_CHANNELS or self.across < LEAST_ACROSS:
            return False
        if self.images * self.tiles < LEAST_TILES:
            return False
        return self.tiles * OUTPUTS * OUTPUTS <= MOST_WASTE * self.height * self.width

    @property
    def group(self) -> int:
        """How many images go through the passes together."""
        each = ELEMENTS * self.tiles * (self.channels + self.filters) * FLOAT
        most = max(1, CACHED // each, -(-LEAST_TILES // self.tiles))
        groups = -(-self.images // most)
        return -(-self.images // groups)


def lanes_for(target: Target, count: int) -> int:
    """As many lanes as there are neighbours."""
    lanes = target.lanes("float")
    while lanes > count:
        lanes //= 2
    return lanes


def plan_winograd(
    sizes: WinogradSizes,
    threads: int = 1,
    target: Target | None = None,
    strides: tuple[int, ...] | None = None,
) -> GemmPlan:
    """Plan the whole convolution; `strides` are the weight's, row-major if not given."""
    taps = TAPS * TAPS
    walked = strides or (sizes.channels * taps, taps, TAPS, 1)
    return WinogradPlanner(sizes, threads, target or host(), walked).plan()


class WinogradPlanner:
    """Collects the calls."""

    def __init__(
        self, sizes: WinogradSizes, threads: int, target: Target, strides: tuple[int, ...]
    ) -> None:
        self.sizes, self.threads, self.target, self.strides = sizes, threads, target, strides
        tiles = sizes.group * sizes.tiles
        self.filters_at = 0
        self.images_at = ELEMENTS * sizes.filters * sizes.channels * FLOAT
        self.results_at = self.images_at + ELEMENTS * sizes.channels * tiles * FLOAT
        self.scratch_at = self.results_at + ELEMENTS * sizes.filters * tiles * FLOAT
        self.scratch_at = -(-self.scratch_at // 64) * 64
        self.scratch_bytes = self.scratch_at
        self.calls: list[KernelCall] = []

    def plan(self) -> GemmPlan:
        sizes = self.sizes
        lanes = lanes_for(self.target, sizes.channels)
        plane = sizes.filters * sizes.channels
        self.add(
            WinogradKernel(self.target, "filter", lanes),
            (("a", 0), ("scratch", self.filters_at)),
            (*self.strides[:2], sizes.channels, *self.strides[2:], 0, plane),
            sizes.filters,
            sizes.channels * 8,
        )
        for first in range(0, sizes.images, sizes.group):
            self.pass_group(first, min(sizes.group, sizes.images - first))
        return GemmPlan(tuple(self.calls), self.scratch_bytes)

    def add(
        self,
        kernel: WinogradKernel,
        operands: tuple[tuple[str, int], ...],
        integers: tuple[int, ...],
        extent: int,
        work: int,
    ) -> None:
        self.calls.append(
            KernelCall(kernel, operands, integers, extent, extent * work, kernel.name)
        )

    def pass_group(self, first: int, images: int) -> None:
        """Transform some images, multiply, transform back."""
        sizes = self.sizes
        tiles = images * sizes.tiles
        lanes = lanes_for(self.target, sizes.across)
        height, width = sizes.padded
        work = sizes.tiles * NANOSECONDS_A_TILE
        cut = (sizes.down, sizes.across)
        start = first * sizes.channels * height * width * FLOAT
        self.add(
            WinogradKernel(self.target, "image", lanes),
            (("b", start), ("scratch", self.images_at)),
            (*cut, sizes.channels, height, width, tiles, sizes.channels * tiles),
            images * sizes.channels,
            work,
        )
        self.multiply(tiles)
        start = first * sizes.filters * sizes.height * sizes.width * FLOAT
        self.add(
            WinogradKernel(self.target, "result", lanes),
            (("scratch", self.results_at), ("c", start)),
            (*cut, sizes.filters, sizes.height, sizes.width, tiles, sizes.filters * tiles),
            images * sizes.filters,
            work,
        )

    def multiply(self, tiles: int) -> None:
        """M[e] = U[e] · V[e] for each of the 36 elements of the transforms."""
        filters, channels = self.sizes.filters, self.sizes.channels
        plan = plan_gemm(
            float32, filters, tiles, channels, (channels, 1), (tiles, 1), (tiles, 1),
            batch=(ELEMENTS,), a_batch=(filters * channels,), b_batch=(channels * tiles,),
            c_batch=(filters * tiles,), threads=self.threads, target=self.target,
        )  # fmt: skip
        starts = {
            "a": self.filters_at,
            "b": self.images_at,
            "c": self.results_at,
            "scratch": self.scratch_at,
        }
        for call in plan.calls:
            operands = tuple([("scratch", starts[name] + offset) for name, offset in call.operands])
            self.calls.append(
                KernelCall(
                    call.kernel,
                    operands,
                    call.integers,
                    call.extent,
                    call.work,
                    call.name,
                    call.grain,
                )
            )
        self.scratch_bytes = max(self.scratch_bytes, self.scratch_at + plan.scratch_bytes)
