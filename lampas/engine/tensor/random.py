"""Random tensors, and the default generator's seed and state.

The numbers are PyTorch's CPU numbers (see `distributions`). They are drawn when the function is
called.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.dtype import bool_, get_default_dtype, int64
from lampas.engine.tensor import choices, distributions
from lampas.engine.tensor.conversion import array_of
from lampas.engine.tensor.core import Tensor, share
from lampas.engine.tensor.creation import empty, parse_size
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.device import META, resolve_device
from lampas.engine.tensor.generator import Generator, default_generator, engine_of
from lampas.engine.tensor.random_fill import (
    Draw,
    connected,
    draw_like,
    fill,
    flat_draw,
    leaf,
    normal_draw,
    uniform_draw,
    whole_draw,
)

if TYPE_CHECKING:
    from lampas.engine.dtype import dtype

# Seed and state -----------------------------------------------------------------------------------


@public()
def manual_seed(seed: Any) -> Generator:
    """Seed the default generator with int(seed) and return it."""
    return default_generator.manual_seed(int(seed))


@public()
def seed() -> int:
    """Seed the default generator from the operating system's randomness; returns the seed."""
    return default_generator.seed()


@public()
def initial_seed() -> int:
    """The default generator's seed."""
    return default_generator.initial_seed()


@public()
def get_rng_state() -> Tensor:
    """The default generator's state, a uint8 tensor."""
    return default_generator.get_state()


@public()
def set_rng_state(new_state: Tensor) -> None:
    """Set the default generator's state."""
    default_generator.set_state(new_state)


@contextlib.contextmanager
def fork_rng(
    devices: Any = None, enabled: bool = True, *_names: Any, **_options: Any
) -> Iterator[None]:
    """Restore the default generator's state after a `with` block."""
    if not enabled:
        yield
        return
    state = default_generator.engine.state_bytes()
    try:
        yield
    finally:
        default_generator.engine.load_state_bytes(state)


# Of a given shape ---------------------------------------------------------------------------------


@public()
def rand(
    *size: Any,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    **named: Any,
) -> Tensor:
    """Uniform numbers in [0, 1) of a shape: `rand(2, 3)` or `rand((2, 3))`."""
    kind = dtype or get_default_dtype()
    drawn = uniform_draw(generator)
    return _made("rand", size, named, drawn, kind, out, device, requires_grad)


@public()
def randn(
    *size: Any,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    **named: Any,
) -> Tensor:
    """Standard normal numbers of a shape: `randn(2, 3)` or `randn((2, 3))`."""
    kind = dtype or get_default_dtype()
    drawn = normal_draw(generator, out.dtype if out is not None else kind)
    return _made("randn", size, named, drawn, kind, out, device, requires_grad)


@public()
def randint(
    *arguments: Any,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    **named: Any,
) -> Tensor:
    """Whole numbers in [low, high): `randint(high, size)` or `randint(low, high, size)`."""
    low, high, size = _randint_arguments("randint", arguments, named)
    drawn = whole_draw(generator, low, high)
    return _made("randint", (size,), {}, drawn, dtype or int64, out, device, requires_grad)


def _randint_arguments(
    name: str, arguments: tuple[Any, ...], named: dict[str, Any]
) -> tuple[int, int, Any]:
    places = ("high", "size") if len(arguments) + len(named) == 2 else ("low", "high", "size")
    free = [place for place in places if place not in named]
    found = {**dict(zip(free, arguments, strict=False)), **named}
    low, high = _whole(found.get("low", 0)), _whole(found.get("high"))
    size = found.get("size")
    if low is None or high is None or set(found) - {"low"} != {"high", "size"}:
        raise _bad_arguments(name, arguments, "(int high, tuple of ints size, *, ...)")
    if len(arguments) > len(free) or not isinstance(size, Sequence):
        raise _bad_arguments(name, arguments, "(int low, int high, tuple of ints size, *, ...)")
    return low, high, size


def _whole(value: Any) -> int | None:
    if isinstance(value, Tensor):
        return value.item() if not value.dtype.is_floating_point else None  # type: ignore[attr-defined]
    return value.__index__() if hasattr(value, "__index__") else None


def _bad_arguments(name: str, arguments: tuple[Any, ...], wanted: str) -> TypeError:
    kinds = ", ".join(type(each).__name__ for each in arguments)
    return TypeError(
        f"{name}() received an invalid combination of arguments - got ({kinds}), but expected "
        f"one of: {wanted}"
    )


@public()
def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """The numbers below n in random order, int64 unless `dtype` says otherwise."""
    count = _whole(n)
    if count is None:
        raise TypeError(
            f"randperm(): argument 'n' (position 1) must be int, not {type(n).__name__}"
        )
    if count < 0:
        raise RuntimeError(f"n must be non-negative, got {count}")
    kind = (out.dtype if out is not None else dtype) or int64
    if kind.is_complex or kind is bool_:
        raise distributions.not_implemented("randperm", kind)
    _require_room(kind, count)
    engine = engine_of(generator)

    def draw(count: int, kind: dtype, _: bool) -> np.ndarray[Any, Any]:
        return choices.permutation(engine, count).astype(kind.numpy, copy=False)

    return _made("randperm", (count,), {}, draw, kind, out, device, requires_grad)


def _require_room(kind: dtype, count: int) -> None:
    """RuntimeError unless the type holds all numbers below `count`."""
    if kind.is_floating_point:
        room = 2 ** distributions.DIGITS[kind]
    else:
        room = int(np.iinfo(kind.numpy).max)
    if count > room:
        raise RuntimeError(
            f"randperm: value {count} cannot be converted to {kind} without overflow"
        )


def _made(
    name: str,
    size: tuple[Any, ...],
    named: dict[str, Any],
    draw: Draw,
    kind: dtype,
    out: Tensor | None,
    place: Any,
    requires_grad: bool,
) -> Tensor:
    """A tensor of a size, drawn; or `out` in that size, overwritten."""
    shape = _shape(name, size, named)
    if out is not None:
        resized = out if out._shape == shape else out.resize_(shape)  # type: ignore[attr-defined]
        return fill(resized, name, draw)
    if resolve_device(place) is META:
        return empty(shape, dtype=kind, device=META, requires_grad=requires_grad)
    return leaf(flat_draw(draw, prod(shape), kind).reshape(shape), kind, requires_grad)


def _shape(name: str, size: tuple[Any, ...], named: dict[str, Any]) -> tuple[int, ...]:
    if "size" in named:
        size = (*size, named["size"])
    if set(named) - {"size", "names"} or len(size) == 0:
        raise _bad_arguments(name, size, "(tuple of ints size, *, ...)")
    return parse_size(name, size)


# Like another tensor ------------------------------------------------------------------------------


def _drawn_like(input: Tensor, draw: Draw, kind: dtype, place: Any, requires_grad: bool) -> Tensor:
    target = input._storage.device if place is None else resolve_device(place)
    if target is META:
        return empty(input._shape, dtype=kind, device=META, requires_grad=requires_grad)
    return leaf(draw_like(input, kind, draw), kind, requires_grad)


@public()
def rand_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """`rand` with the shape and dtype of input, drawn in the order of its memory."""
    drawn = uniform_draw(generator)
    return _drawn_like(input, drawn, dtype or input.dtype, device, requires_grad)


@public()
def randn_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """`randn` with the shape and dtype of input, drawn in the order of its memory."""
    kind = dtype or input.dtype
    return _drawn_like(input, normal_draw(generator, kind), kind, device, requires_grad)


@public()
def randint_like(
    input: Tensor,
    *bounds: Any,
    generator: Generator | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
    **named: Any,
) -> Tensor:
    """`randint_like(input, high)` or `randint_like(input, low, high)`."""
    low, high, _ = _randint_arguments("randint_like", bounds, {**named, "size": ()})
    drawn = whole_draw(generator, low, high)
    return _drawn_like(input, drawn, dtype or input.dtype, device, requires_grad)


# Of given parameters ------------------------------------------------------------------------------


@public()
def normal(
    mean: Any,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Normal numbers: `mean` and `std` are tensors that broadcast, or numbers with a `size`."""
    tensors = [each for each in (mean, std) if isinstance(each, Tensor)]
    if not tensors:
        if size is None:
            raise _bad_arguments(
                "normal", (mean, std), "(float mean, float std, tuple of ints size)"
            )
        kind = dtype or get_default_dtype()
        drawn = normal_draw(generator, out.dtype if out is not None else kind, mean, std)
        return _made("normal", (size,), {}, drawn, kind, out, device, requires_grad)
    mean, std = (share(each) if isinstance(each, Tensor) else each for each in (mean, std))
    made = connected("normal", _normal_of_tensors(mean, std, tensors, generator), *tensors)
    return made if out is None else out.resize_(made._shape).copy_(made)  # type: ignore[attr-defined]


def _normal_of_tensors(
    mean: Any, std: Any, tensors: list[Tensor], generator: Generator | None
) -> Tensor:
    kind = tensors[0].dtype
    shape = np.broadcast_shapes(*[each._shape for each in tensors])
    draw = normal_draw(generator, kind, 0.0, 1.0 if isinstance(std, Tensor) else std)
    made = leaf(flat_draw(draw, prod(shape), kind).reshape(shape), kind)
    if not isinstance(std, Tensor):
        return made.add_(mean)  # type: ignore[attr-defined]
    if std.dtype.is_complex:
        raise RuntimeError("normal expects standard deviation to be non-complex")
    if not np.all(array_of(std) >= 0):
        raise RuntimeError("normal expects all elements of std >= 0.0")
    return made.mul_(std).add_(mean)  # type: ignore[attr-defined]
