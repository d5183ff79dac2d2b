"""The tensor methods that overwrite a tensor with random numbers.

Numbers are drawn when the method is called, in the order in which the elements lie in memory, as
PyTorch does; a tensor with gaps or out of row-major order takes PyTorch's slower normal numbers.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.derive.operation import Operation, zeros_for
from lampas.engine.tensor import distributions
from lampas.engine.tensor.conversion import array_of
from lampas.engine.tensor.core import Tensor, should_record, wrap
from lampas.engine.tensor.declare import check_in_place, method
from lampas.engine.tensor.device import CPU, META
from lampas.engine.tensor.door import record
from lampas.engine.tensor.generator import Generator, engine_of
from lampas.engine.tensor.grad_mode import grad_mode
from lampas.engine.tensor.storage import storage_of_array

if TYPE_CHECKING:
    from lampas.engine.dtype import dtype
    from lampas.engine.graph.node import Node

Array = np.ndarray[Any, Any]
# draw(count, kind, lies in row-major order without gaps) -> a flat array
Draw = Callable[[int, "dtype", bool], Array]

# Told of the node of every array that was drawn in row-major order, and of what draws the next one like it.
DRAWING: list[Callable[[Node, Callable[[], Array]], None]] = []


def memory_order(tensor: Tensor) -> tuple[int, ...]:
    """The dimensions from the one with the widest stride to the one with the narrowest."""
    strides = tensor._layout()
    return tuple(sorted(range(len(strides)), key=lambda dim: -strides[dim]))


def is_row_major(tensor: Tensor) -> bool:
    """Whether the elements lie in row-major order without gaps."""
    return tensor._strides is None or tensor.is_contiguous()  # type: ignore[attr-defined]


def uniform_draw(generator: Generator | None, low: float = 0.0, high: float = 1.0) -> Draw:
    """How to draw numbers from [low, high)."""
    engine = engine_of(generator)
    return lambda count, kind, _: distributions.uniform(engine, count, kind, low, high)


def normal_draw(
    generator: Generator | None, kind: dtype, mean: float = 0.0, std: float = 1.0
) -> Draw:
    """How to draw normal numbers; the parts of complex ones have std / sqrt(2)."""
    engine = engine_of(generator)
    mean, std = float(mean), float(std)
    width = std / math.sqrt(2.0) if kind.is_complex else std

    def draw(count: int, kind: dtype, contiguous: bool) -> Array:
        return distributions.normal(engine, count, kind, mean, width, is_contiguous=contiguous)

    return draw


def whole_draw(generator: Generator | None, low: int | None, high: int | None) -> Draw:
    """How to draw whole numbers from [low, high)."""
    engine = engine_of(generator)
    return lambda count, kind, _: distributions.random_integers(engine, count, kind, low, high)


def flat_draw(draw: Draw, count: int, kind: dtype, contiguous: bool = True) -> Array:
    """A flat array of numbers; complex ones are pairs of real ones."""
    if kind.is_complex:
        return draw(2 * count, kind.to_real(), contiguous).view(kind.numpy)
    return draw(count, kind, contiguous)


def draw_like(tensor: Tensor, kind: dtype, draw: Draw) -> Array:
    """Numbers for a tensor's shape, drawn in the order of its memory; real pairs if complex."""
    shape = tensor._shape
    count = tensor._node_count()
    contiguous = is_row_major(tensor)
    flat = flat_draw(draw, count, kind, contiguous)
    if contiguous:
        return flat.reshape(shape)
    order = memory_order(tensor)
    laid = flat.reshape([shape[dim] for dim in order])
    return np.ascontiguousarray(laid.transpose(np.argsort(order)))


def _draw_row_major(draw: Draw, shape: tuple[int, ...], kind: dtype) -> Array:
    return np.ascontiguousarray(flat_draw(draw, math.prod(shape), kind).reshape(shape))


def fill(tensor: Tensor, name: str, draw: Draw) -> Tensor:
    """Overwrite a tensor with what `draw` gives, and return it."""
    check_in_place(tensor, name)
    if tensor._storage.device is META:
        return tensor
    drawn = leaf(draw_like(tensor, tensor.dtype, draw), tensor.dtype)
    if DRAWING and is_row_major(tensor):
        again = functools.partial(_draw_row_major, draw, tensor._shape, tensor.dtype)
        for told in DRAWING:
            told(drawn._node, again)
    result = connected(name.strip("_"), drawn, tensor)
    tensor._write(result._value(), result._tape_edge(), recorded=grad_mode.enabled)
    return tensor


def leaf(array: Array, kind: dtype, requires_grad: bool = False) -> Tensor:
    """A new tensor over an array that nobody else keeps."""
    whole = np.ascontiguousarray(array).reshape(array.shape)
    made = wrap(storage_of_array(whole, kind, CPU).node, CPU)
    if requires_grad:
        made.requires_grad = True
    return made


def connected(name: str, drawn: Tensor, *parameters: Tensor) -> Tensor:
    """`drawn`, with derivatives of zero by its parameters, as PyTorch has it for samples."""
    if not should_record(*parameters):
        return drawn
    return record(_sampling(name), (*parameters, drawn))


@functools.cache
def _sampling(name: str) -> Operation:
    return Operation(
        name,
        lambda *nodes: nodes[-1],
        vjp=lambda saved, flow: tuple([zeros_for(node) for node in saved.inputs]),
        saves="none",
    )


@method()
def uniform_(
    self: Tensor, *bounds: float, generator: Generator | None = None, **named: float
) -> Tensor:
    """Fill with numbers from [from, to), by default [0, 1); complex: each part for itself."""
    low, high = _bounds("uniform_", bounds, named, (0.0, 1.0))
    return fill(self, "uniform_", uniform_draw(generator, low, high))


def _bounds(
    name: str, bounds: tuple[Any, ...], named: dict[str, Any], default: tuple[Any, Any]
) -> tuple[Any, Any]:
    """`from` is a keyword of Python: it can come by name only through `**`."""
    unknown = set(named) - {"from", "to"}
    if unknown or len(bounds) + len(named) > 2:
        raise TypeError(f"{name}() got an unexpected argument {sorted(unknown) or list(bounds)}")
    given = [*bounds, *default[len(bounds) :]]
    return named.get("from", given[0]), named.get("to", given[1])


@method()
def normal_(
    self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with normal numbers; complex: both parts with std / sqrt(2)."""
    return fill(self, "normal_", normal_draw(generator, self.dtype, mean, std))


@method()
def log_normal_(
    self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with exp of normal numbers of this mean and std."""
    engine = engine_of(generator)
    return fill(
        self,
        "log_normal_",
        lambda count, kind, _: distributions.log_normal(engine, count, kind, mean, std),
    )


@method()
def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with exponential numbers of this rate."""
    return _fill_plain(self, "exponential_", distributions.exponential, generator, lambd)


@method()
def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fill with the number of trials up to the first success of probability p."""
    return _fill_plain(self, "geometric_", distributions.geometric, generator, p)


@method()
def cauchy_(
    self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with numbers of the Cauchy distribution."""
    return _fill_plain(self, "cauchy_", distributions.cauchy, generator, median, sigma)


def _fill_plain(
    tensor: Tensor, name: str, function: Any, generator: Generator | None, *parameters: float
) -> Tensor:
    if tensor.dtype.is_complex:  # the function refuses, with PyTorch's words
        function(engine_of(generator), 0, tensor.dtype, *parameters)
    engine = engine_of(generator)
    return fill(tensor, name, lambda count, kind, _: function(engine, count, kind, *parameters))


@method()
def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fill with 1 (probability p, a number or a tensor that broadcasts) or 0."""
    if not isinstance(p, Tensor):
        return _fill_plain(self, "bernoulli_", distributions.bernoulli, generator, p)
    if not p.dtype.is_floating_point:
        raise distributions.not_implemented("bernoulli_tensor_cpu_p_", p.dtype)
    engine = engine_of(generator)
    each = np.broadcast_to(array_of(p), self._shape)
    if not is_row_major(self):
        each = each.transpose(memory_order(self))
    return fill(
        self,
        "bernoulli_",
        lambda count, kind, _: distributions.bernoulli_each(engine, each, kind),
    )


@method()
def random_(self: Tensor, *bounds: int, generator: Generator | None = None, **named: int) -> Tensor:
    """Fill with whole numbers: `random_()`, `random_(to)`, `random_(from, to)`.

    With no bounds, from 0 to the largest that the type holds exactly; `to=None` likewise.
    """
    if len(bounds) == 1 and not named:
        bounds = (0, *bounds)
    low, high = _bounds("random_", bounds, named, (None, None))
    if low is None and high is not None:
        low = 0
    if self.dtype.is_complex:
        raise distributions.not_implemented("random_kernel_cpu", self.dtype)
    return fill(self, "random_", whole_draw(generator, low, high))
