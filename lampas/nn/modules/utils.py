"""Numbers repeated for every spatial dimension, under the names that other people's layers import."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

__all__ = ["_list_with_default", "_ntuple", "_pair", "_quadruple", "_single", "_triple"]


def _ntuple(count: int, name: str = "parse") -> Callable[[Any], tuple[Any, ...]]:
    """A function that makes `count` copies of a number and a tuple of an iterable."""

    def parse(value: Any) -> tuple[Any, ...]:
        if isinstance(value, Iterable):
            return tuple(value)
        return (value,) * count

    parse.__name__ = name
    return parse


_single = _ntuple(1, "_single")
_pair = _ntuple(2, "_pair")
_triple = _ntuple(3, "_triple")
_quadruple = _ntuple(4, "_quadruple")


def _reverse_repeat_tuple(values: Sequence[Any], times: int) -> tuple[Any, ...]:
    """The values in reverse order, each repeated: what `pad` wants of a convolution's padding."""
    return tuple(value for value in reversed(values) for _ in range(times))


def _list_with_default(out_size: Any, defaults: Sequence[int]) -> list[int]:
    """`out_size` with None replaced by the trailing defaults."""
    if isinstance(out_size, int | str):
        return out_size  # type: ignore[return-value]
    if len(defaults) <= len(out_size):
        raise ValueError(f"Input dimension should be at least {len(out_size) + 1}")
    last = defaults[-len(out_size) :]
    return [default if size is None else size for size, default in zip(out_size, last)]
