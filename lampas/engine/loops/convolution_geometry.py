"""Where a convolution reads and writes: lines of positions, the taps that each meets, and classes of positions.

Along one dimension, output j = 0 … count - 1 lies at `start + j·out_step` and meets tap t at input
`j·in_step + offset[t]`, if that is inside [0, size).  A forward convolution has in_step = stride and
offset = r·dilation - padding; the derivative by the input is such a convolution too, one for each residue of the
positions modulo the stride (a *phase*; Shi et al., 2016, read a transposed convolution so): no zero is multiplied.

Positions that meet the same taps form a class, a box of positions.  Kernels work class by class, so nothing is ever
padded: where a 3×3 window hangs over the edge of a 2×2 map, four of its nine taps are met and four are computed.

    line 4 positions, taps at -1 0 1   =>   [0, 1) taps 1 2    [1, 3) taps 0 1 2    [3, 4) taps 0 1
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

Shape = tuple[int, ...]


class Line(NamedTuple):
    """One dimension; `taps` are (offset, number of the tap) pairs, offsets ascending."""

    size: int
    positions: int
    in_step: int
    taps: tuple[tuple[int, int], ...]
    start: int = 0
    out_step: int = 1

    def met(self, position: int) -> tuple[int, int]:
        """The first tap that a position meets and how many it meets from there."""
        place = position * self.in_step
        inside = [i for i, (o, _) in enumerate(self.taps) if 0 <= place + o < self.size]
        return (inside[0], len(inside)) if inside else (0, 0)

    def stretches(self) -> list[Stretch]:
        """Neighbouring positions that meet the same taps."""
        found: list[Stretch] = []
        for position in range(self.positions):
            first, taps = self.met(position)
            last = found[-1] if found else None
            if last is not None and (last.tap, last.taps) == (first, taps):
                found[-1] = Stretch(last.first, last.length + 1, first, taps)
            else:
                found.append(Stretch(position, 1, first, taps))
        return found

    def margins(self) -> tuple[int, int]:
        """How far taps reach out before the first place and beyond the last one."""
        if not self.taps or not self.positions:
            return 0, 0
        last = (self.positions - 1) * self.in_step + self.taps[-1][0]
        return max(0, -self.taps[0][0]), max(0, last - self.size + 1)

    def widened(self) -> Line:
        """The same line over an input with these margins: every position meets every tap."""
        low, high = self.margins()
        taps = tuple([(offset + low, number) for offset, number in self.taps])
        return self._replace(size=low + self.size + high, taps=taps)


class Stretch(NamedTuple):
    """Positions `first` … `first + length - 1`, which meet taps `tap` … `tap + taps - 1`."""

    first: int
    length: int
    tap: int
    taps: int


def forward_line(
    size: int, count: int, width: int, stride: int, padding: int, dilation: int
) -> Line:
    """The line of a convolution's dimension with `width` taps."""
    taps = tuple((r * dilation - padding, r) for r in range(width))
    return Line(size, count, stride, taps)


def phase_lines(
    size: int, count: int, width: int, stride: int, padding: int, dilation: int
) -> list[Line]:
    """The lines of the derivative by the input: `size` inputs, `count` positions of the forward output.

    Input i meets tap r at the output q with q·stride = i + padding - r·dilation.  Taps are numbered from
    the far end (the weight is turned), so that both offsets and numbers ascend.
    """
    found: list[Line] = []
    for residue in range(stride):
        first = (residue - padding) % stride
        if first >= size:
            continue
        met = [r for r in reversed(range(width)) if r * dilation % stride == residue]
        taps = tuple(((first + padding - r * dilation) // stride, width - 1 - r) for r in met)
        positions = -(-(size - first) // stride)
        found.append(Line(count, positions, 1, taps, first, stride))
    return found


class Box(NamedTuple):
    """A class: one stretch of each line (three of them)."""

    stretches: tuple[Stretch, Stretch, Stretch]

    @property
    def sizes(self) -> tuple[int, int, int]:
        d, h, w = self.stretches
        return d.length, h.length, w.length

    @property
    def positions(self) -> int:
        d, h, w = self.sizes
        return d * h * w

    @property
    def taps(self) -> int:
        d, h, w = self.stretches
        return d.taps * h.taps * w.taps


@functools.lru_cache(maxsize=1 << 8)
def boxes(lines: tuple[Line, ...]) -> tuple[Box, ...]:
    """The classes of all positions of three lines."""
    listed = [line.stretches() for line in lines]
    return tuple([Box((d, h, w)) for d, h, w in product(*listed)])


def three_lines(lines: Sequence[Line]) -> list[Line]:
    """Lines of sizes 1 in front of fewer than three."""
    single = Line(1, 1, 1, ((0, 0),))
    return [single] * (3 - len(lines)) + list(lines)
