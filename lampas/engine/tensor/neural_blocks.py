"""Sliding blocks of a plane as columns (unfold), and columns summed back into a plane (fold).

Each is the other's derivative.  A plane that blocks are summed into is found by its phases: places that are
equal modulo the stride are reached by the same elements of the blocks, so that a phase is a sum of shifted
blocks, and the plane is its phases interleaved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.graph import build as g
from lampas.engine.tensor.door import record

if TYPE_CHECKING:
    from lampas.engine.graph.node import Node
    from lampas.engine.tensor.core import Tensor

Pair = tuple[int, int]


class Blocks(NamedTuple):
    """The plane's size, and how blocks lie in it."""

    plane: Pair
    kernel: Pair
    dilation: Pair
    padding: Pair
    stride: Pair

    @property
    def padded(self) -> Pair:
        """The plane's size with its padding."""
        return self.plane[0] + 2 * self.padding[0], self.plane[1] + 2 * self.padding[1]

    @property
    def counts(self) -> Pair:
        """How many blocks there are, down and across."""
        places = (
            (self.padded[d] - self.dilation[d] * (self.kernel[d] - 1) - 1) // self.stride[d] + 1
            for d in (0, 1)
        )
        return next(places), next(places)


def _unfold(x: Node, *sizes: Pair) -> Node:
    blocks = Blocks(*sizes)
    edge = (0, 0, *blocks.padding)
    x = g.pad(x, edge, edge, g.like(x, 0))
    batch, channels = x.shape[:2]
    height, width = blocks.padded
    down, across = blocks.counts
    shape = (batch, channels, *blocks.kernel, down, across)
    strides = (
        channels * height * width,
        height * width,
        blocks.dilation[0] * width,
        blocks.dilation[1],
        blocks.stride[0] * width,
        blocks.stride[1],
    )
    rows = channels * blocks.kernel[0] * blocks.kernel[1]
    return g.reshape(g.as_strided(x, shape, strides, 0), (batch, rows, down * across))


def _fold(x: Node, *sizes: Pair) -> Node:
    blocks = Blocks(*sizes)
    area = blocks.kernel[0] * blocks.kernel[1]
    parts = g.reshape(x, (x.shape[0], x.shape[1] // area, *blocks.kernel, *blocks.counts))
    if blocks.kernel == blocks.stride and blocks.dilation == (1, 1):
        plane = _tiled(parts)
        missing = [max(n - m, 0) for n, m in zip(blocks.padded, plane.shape[2:], strict=True)]
        plane = g.pad(plane, (0,) * 4, (0, 0, *missing), g.like(plane, 0))
    else:
        plane = _interleaved(parts, blocks)
    for d in (0, 1):
        plane = g.narrow(plane, 2 + d, blocks.padding[d], blocks.plane[d])
    return plane


def _tiled(parts: Node) -> Node:
    """Blocks (N, C, Kh, Kw, rows, columns) side by side."""
    *lead, tall, wide, down, across = parts.shape
    return g.reshape(g.permute(parts, (0, 1, 4, 2, 5, 3)), (*lead, down * tall, across * wide))


def _interleaved(parts: Node, blocks: Blocks) -> Node:
    """Blocks summed, phase by phase; the plane may be longer than asked for by part of a stride."""
    tall, wide = blocks.stride
    lead = parts.shape[:2]
    size = (-(-blocks.padded[0] // tall), -(-blocks.padded[1] // wide))
    rows = []
    for down in range(tall):
        phases = [_phase(parts, blocks, (down, across), size) for across in range(wide)]
        columns = [g.reshape(each, (*each.shape, 1)) for each in phases]
        row = g.concatenate(columns, 4)
        rows.append(g.reshape(row, (*lead, size[0], 1, size[1] * wide)))
    return g.reshape(g.concatenate(rows, 3), (*lead, size[0] * tall, size[1] * wide))


def _phase(parts: Node, blocks: Blocks, phase: Pair, size: Pair) -> Node:
    """The places that are `phase` modulo the stride."""
    total: Node | None = None
    for down in range(blocks.kernel[0]):
        for across in range(blocks.kernel[1]):
            gaps = (
                down * blocks.dilation[0] - phase[0],
                across * blocks.dilation[1] - phase[1],
            )
            if gaps[0] % blocks.stride[0] or gaps[1] % blocks.stride[1]:
                continue
            low = tuple(gap // step for gap, step in zip(gaps, blocks.stride, strict=True))
            part = g.narrow(g.narrow(parts, 2, down, 1), 3, across, 1)
            part = g.reshape(part, (*parts.shape[:2], *parts.shape[4:]))
            high = tuple(size[d] - low[d] - part.shape[2 + d] for d in (0, 1))
            shifted = g.pad(part, (0, 0, *low), (0, 0, *high), g.like(part, 0))
            total = shifted if total is None else g.add(total, shifted)
    return g.full((*parts.shape[:2], *size), 0, parts.dtype) if total is None else total


def _unfold_vjp(saved: Saved, ct: Node) -> tuple[Node]:
    return (_fold(ct, *saved.attributes),)


def _fold_vjp(saved: Saved, ct: Node) -> tuple[Node]:
    return (_unfold(ct, *saved.attributes),)


UNFOLD = Operation("im2col", _unfold, vjp=_unfold_vjp, grad_name="Im2ColBackward0", saves="none")
FOLD = Operation("col2im", _fold, vjp=_fold_vjp, grad_name="Col2ImBackward0", saves="none")


def unfold(x: Tensor, blocks: Blocks) -> Tensor:
    """(N, C, H, W) -> (N, C·Kh·Kw, blocks)."""
    return record(UNFOLD, (x,), tuple(blocks))


def fold(x: Tensor, blocks: Blocks) -> Tensor:
    """(N, C·Kh·Kw, blocks) -> (N, C, H, W)."""
    return record(FOLD, (x,), tuple(blocks))
