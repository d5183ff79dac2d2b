"""Padding with a constant, and with values of the tensor itself: the runs of places that go there, joined."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lampas.engine.derive.operation import Operation
from lampas.engine.graph import build as g
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.door import record
from lampas.engine.tensor.operands import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.graph.node import Node
    from lampas.engine.tensor.core import Tensor

PAD = Operation(
    "constant_pad_nd",
    lambda x, value, low, high: g.pad(x, low, high, g.cast(value, x.dtype)),
    saves="none",
)


@public()
def constant_pad_nd(input: Tensor, pad: Sequence[int], value: Any = 0) -> Tensor:
    """`value` around the input: `pad` = (low, high) of the last dimension, then the one before, …

    Negative widths crop.  RuntimeError for an odd count, too many pairs or a negative result.
    """
    rank = len(input._shape)
    if len(pad) % 2:
        raise RuntimeError(f"Length of pad must be even but instead it equals {len(pad)}")
    if len(pad) > 2 * rank:
        raise RuntimeError(
            "Length of pad should be no more than twice the number of dimensions of the input. "
            f"Pad length is {len(pad)} while the input has {rank} dimensions."
        )
    pairs = len(pad) // 2
    low = [0] * rank
    high = [0] * rank
    for place in range(pairs):
        dim = rank - 1 - place
        low[dim], high[dim] = int(pad[2 * place]), int(pad[2 * place + 1])
        size = input._shape[dim] + low[dim] + high[dim]
        if size < 0:
            raise RuntimeError(
                f"The input size {input._shape[dim]}, plus negative padding {low[dim]} and "
                f"{high[dim]}, resulted in a negative output size, which is invalid. Check "
                f"dimension {dim} of your input."
            )
    return record(PAD, (input, number(value)), (tuple(low), tuple(high)))


# With values of the tensor ------------------------------------------------------------------------


def _reflected(size: int, before: int, after: int) -> list[int]:
    last = size - 1
    return [last - abs(last - abs(place)) for place in range(-before, size + after)]


def _replicated(size: int, before: int, after: int) -> list[int]:
    return [min(max(place, 0), size - 1) for place in range(-before, size + after)]


def _wrapped(size: int, before: int, after: int) -> list[int]:
    kept = range(max(-before, 0), size - max(-after, 0))
    length = len(kept)
    return [kept[place % length] for place in range(-max(before, 0), length + max(after, 0))]


PLACES = {"reflect": _reflected, "replicate": _replicated, "circular": _wrapped}
NAMES = {"reflect": "reflection_pad", "replicate": "replication_pad", "circular": "circular_pad"}


def runs(places: Sequence[int]) -> list[tuple[int, int, int]]:
    """(first, count, step) of stretches of places that rise, fall (by 1) or stay."""
    found: list[list[int]] = []
    for place in places:
        if found:
            first, count, step = found[-1]
            gap = place - (first + step * (count - 1))
            if gap == step or (count == 1 and gap in (-1, 0, 1)):
                found[-1] = [first, count + 1, gap]
                continue
        found.append([place, 1, 1])
    return [(first, count, step) for first, count, step in found]


def _run(x: Node, dim: int, first: int, count: int, step: int) -> Node:
    if step == 1:
        return g.narrow(x, dim, first, count)
    if step == 0:
        shape = (*x.shape[:dim], count, *x.shape[dim + 1 :])
        return g.expand(g.narrow(x, dim, first, 1), shape)
    return g.flip(g.narrow(x, dim, first - count + 1, count), (dim,))


def _pad_from_itself(x: Node, mode: str, amounts: tuple[tuple[int, int, int], ...]) -> Node:
    for dim, before, after in amounts:
        places = PLACES[mode](x.shape[dim], before, after)
        if places:
            x = g.concatenate([_run(x, dim, *run) for run in runs(places)], dim)
        else:
            x = g.narrow(x, dim, 0, 0)
    return x


PADS = {
    (mode, rank): Operation(f"{name}{rank}d", _pad_from_itself, saves="none")
    for mode, name in NAMES.items()
    for rank in (1, 2, 3)
}


def pad_from_itself(
    input: Tensor, mode: str, rank: int, amounts: tuple[tuple[int, int, int], ...]
) -> Tensor:
    """The input with its own values around it: `amounts` = (dimension, before, after) each, of `rank`.

    Modes: "reflect" (without the edge), "replicate" (the edge), "circular".  Negative amounts crop.
    """
    return record(PADS[mode, rank], (input,), (mode, amounts))
