"""Ranges and the identity: arange, linspace, logspace, eye, computed from an index."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lampas.engine.dtype import dtype, float64, get_default_dtype, int64
from lampas.engine.graph import build as g
from lampas.engine.graph.node import Node, scalar_node
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.creation import make, number_dtype
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.device import resolve_device
from lampas.engine.tensor.operands import plain_number

if TYPE_CHECKING:
    from lampas.engine.tensor.device import device as Device


def _affine(count: int, start: Any, step: Any, kind: dtype, compute: dtype) -> Node:
    """start + i · step for i = 0 … count-1, computed in `compute`."""
    index = g.cast(g.iota(count), compute)
    scaled = g.multiply(index, g.cast(scalar_node(step), compute))
    return g.cast(g.add(scaled, g.cast(scalar_node(start), compute)), kind)


@public()
def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """start, start + step, … below end; integers give int64, floats the default dtype."""
    if end is None:
        start, end = 0, start
    start, end, step = (
        plain_number(each.item() if isinstance(each, Tensor) else each)
        for each in (start, end, step)
    )
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    whole = all(isinstance(each, int) for each in (start, end, step))
    kind = dtype or (int64 if whole else get_default_dtype())
    if not whole and kind.kind in ("signed", "unsigned"):
        start, end, step = _whole_bounds(start, end, step, kind)
        whole = True
    count = -(-(end - start) // step) if whole else math.ceil((end - start) / step)
    compute = int64 if whole and not kind.is_floating_point else float64
    result = make(_affine(int(count), start, step, kind, compute), device, requires_grad)
    return result if out is None else out.resize_(result._shape).copy_(result)  # type: ignore[attr-defined]


def _whole_bounds(start: Any, end: Any, step: Any, kind: dtype) -> tuple[int, int, int]:
    """Bounds of a range of integers given as floats: int64 cuts them off before it counts the places,
    the smaller types after."""
    first, jump = int(start), int(step)
    if kind is int64:
        return first, int(end), jump
    count = math.ceil((end - start) / step)
    return first, first + count * jump, jump


def _spaced(start: Any, end: Any, steps: int, kind: dtype, place: Device) -> Tensor:
    """Evenly spaced: from the start in the first half, from the end in the second, as PyTorch does."""
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    if steps == 1:
        return make(g.reshape(g.cast(scalar_node(start), kind), (1,)), place)
    compute = kind if kind.is_floating_point or kind.is_complex else float64
    first = g.cast(scalar_node(start), compute)
    last = g.cast(scalar_node(end), compute)
    step = g.divide(g.subtract(last, first), g.constant(max(steps - 1, 1), compute))
    index = g.iota(steps)
    forward = g.add(first, g.multiply(step, g.cast(index, compute)))
    back = g.subtract(g.constant(steps - 1, int64), index)
    backward = g.subtract(last, g.multiply(step, g.cast(back, compute)))
    half = g.less(index, g.constant(steps // 2, int64))
    return make(g.cast(g.where(half, forward, backward), kind), place)


def _range_bounds(start: Any, end: Any) -> tuple[Any, Any]:
    return tuple(
        plain_number(each.item() if isinstance(each, Tensor) else each) for each in (start, end)
    )  # type: ignore[return-value]


def _range_dtype(kind: dtype | None, *bounds: Any) -> dtype:
    if kind is not None:
        return kind
    return (
        number_dtype(1j)
        if any(isinstance(each, complex) for each in bounds)
        else get_default_dtype()
    )


@public(out=True)
def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """`steps` evenly spaced values from start to end, both included."""
    start, end = _range_bounds(start, end)
    result = _spaced(start, end, steps, _range_dtype(dtype, start, end), resolve_device(device))
    result.requires_grad = requires_grad
    return result


@public(out=True)
def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """base to the power of `steps` evenly spaced exponents."""
    start, end = _range_bounds(start, end)
    kind = _range_dtype(dtype, start, end)
    wide = kind if kind.is_complex else float64
    exponents = _spaced(start, end, steps, wide, resolve_device(device))
    node = g.cast(g.power(g.cast(scalar_node(float(base)), wide), exponents._node), kind)
    return make(node, device, requires_grad)


@public(out=True)
def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Ones on the diagonal of an n × m matrix of zeros."""
    columns = n if m is None else m
    for name, value in (("n", n), ("m", columns)):
        if value < 0:
            raise RuntimeError(f"{name} must be greater or equal to 0, got {value}")
    node = g.equal(g.reshape(g.iota(n), (n, 1)), g.iota(columns))
    return make(g.cast(node, dtype or get_default_dtype()), device, requires_grad)
