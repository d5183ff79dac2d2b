"""Pointwise arithmetic: add, mul, div, pow, … with PyTorch's type promotion."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.dtype import bool_, dtype
from lampas.engine.graph import build as g
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.device import META
from lampas.engine.tensor.door import record
from lampas.engine.tensor.operands import (
    accumulation_dtype,
    as_inputs,
    common_dtype,
    float_dtype,
    is_number,
    number,
    require_tensor,
)
from lampas.engine.tensor.values import array_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from lampas.engine.graph.node import Node

Scalar = bool | int | float | complex
Operand = Tensor | Scalar

# Arithmetic ---------------------------------------------------------------------------------------


def sum_back(flow: Node, to: Node) -> Node | None:
    """A cotangent brought to the dtype and shape of an input."""
    if flow.dtype.is_complex and not to.dtype.is_complex:
        flow = g.real(flow)
    return g.sum_to(g.cast(flow, to.dtype), to.shape)


def _add_vjp(saved: Saved, ct: Node) -> tuple[Node | None, ...]:
    return tuple(
        sum_back(ct, node) if need else None
        for node, need in zip(saved.inputs, saved.needed, strict=True)
    )


def _subtract_vjp(saved: Saved, ct: Node) -> tuple[Node | None, ...]:
    (a, b), (need_a, need_b) = saved.inputs, saved.needed
    return (
        sum_back(ct, a) if need_a else None,
        sum_back(g.negative(ct), b) if need_b else None,
    )


def _by_number(build: Callable[[Node, Node], Node], a: Node, b: Node, kind: dtype) -> Node:
    """The operation in `kind`; a number on the right of a half tensor is not rounded to that half type.

    So PyTorch multiplies and divides on a CPU (not adds): in float32, and rounds the result.
    """
    wide = accumulation_dtype(kind)
    if wide is not kind and not b.shape and b.dtype is not kind:
        return g.cast(build(g.cast(a, wide), g.cast(b, wide)), kind)
    return build(g.cast(a, kind), g.cast(b, kind))


def _multiply_vjp(saved: Saved, ct: Node) -> tuple[Node | None, ...]:
    (a, b), (need_a, need_b) = saved.inputs, saved.needed
    kind = saved.attributes[0]
    return (
        sum_back(_by_number(_times_conjugate, ct, b, kind), a) if need_a else None,
        sum_back(_by_number(_times_conjugate, ct, a, kind), b) if need_b else None,
    )


def _times_conjugate(flow: Node, factor: Node) -> Node:
    return g.multiply(flow, g.conjugate(factor))


def _divide_vjp(saved: Saved, ct: Node) -> tuple[Node | None, ...]:
    """ct / b, and -ct · ((a / b) / b) in PyTorch's order."""
    (a, b), (need_a, need_b) = saved.inputs, saved.needed
    kind = saved.attributes[0]
    to_a = to_b = None
    if need_a:
        to_a = _by_number(lambda flow, below: g.divide(flow, g.conjugate(below)), ct, b, kind)
    if need_b:
        below = g.cast(b, kind)
        slope = g.conjugate(g.divide(_by_number(g.divide, a, b, kind), below))
        to_b = g.multiply(g.negative(ct), slope)
    return (to_a and sum_back(to_a, a), to_b and sum_back(to_b, b))


def binary_operation(
    name: str,
    build: Callable[[Node, Node], Node],
    *,
    vjp: Callable[..., Any] | None = None,
    grad_name: str | None = None,
    saves: str = "inputs",
    by_number: bool = False,
) -> Operation:
    """An elementwise operation of two operands; attribute: the dtype in which it computes.

    `by_number`: numbers on the right are rounded as `_by_number` has it.
    """

    def in_kind(a: Node, b: Node, kind: dtype) -> Node:
        return build(g.cast(a, kind), g.cast(b, kind))

    return Operation(
        name,
        functools.partial(_by_number, build) if by_number else in_kind,
        vjp=vjp,
        grad_name=grad_name,
        saves=saves,
    )


ADD = binary_operation("add", g.add, vjp=_add_vjp, saves="none")
SUBTRACT = binary_operation(
    "sub", g.subtract, vjp=_subtract_vjp, grad_name="SubBackward0", saves="none"
)
REVERSE_SUBTRACT = Operation(
    "rsub", lambda a, b, kind: g.subtract(g.cast(b, kind), g.cast(a, kind)), saves="none"
)
MULTIPLY = binary_operation("mul", g.multiply, vjp=_multiply_vjp, by_number=True)
DIVIDE = binary_operation("div", g.divide, vjp=_divide_vjp, by_number=True)


def _scaled_add_vjp(saved: Saved, ct: Node) -> tuple[Node | None, ...]:
    (a, b, alpha, *_), needed, kind = saved.inputs, saved.needed, saved.attributes[0]
    to_b = _by_number(_times_conjugate, ct, alpha, kind) if needed[1] else None
    return (sum_back(ct, a) if needed[0] else None, to_b and sum_back(to_b, b), None)


def _scaled_add(a: Node, b: Node, alpha: Node, kind: dtype) -> Node:
    """a + alpha · b; half types round alpha, then the sum once, as PyTorch does."""
    wide = accumulation_dtype(kind)
    first, second, factor = [g.cast(g.cast(each, kind), wide) for each in (a, b, alpha)]
    return g.cast(g.add(first, g.multiply(second, factor)), kind)


SCALED_ADD = Operation("add", _scaled_add, vjp=_scaled_add_vjp, saves="inputs")


_ALONE: dict[dtype, tuple[dtype]] = {}


def alone(kind: dtype) -> tuple[dtype]:
    """(kind,), always the same object, which the cursor knows again without comparing."""
    found = _ALONE.get(kind)
    if found is None:
        found = _ALONE[kind] = (kind,)
    return found


def apply_binary(operation: Operation, a: Any, b: Any) -> Tensor:
    """Record an elementwise operation of two operands in their common dtype."""
    if isinstance(a, Tensor):
        kind = a._node.dtype
        if isinstance(b, Tensor):
            if b._node.dtype is kind and b._shape == a._shape:
                return record(operation, (a, b), alone(kind))
        elif kind.is_floating_point and (type(b) is float or type(b) is int):
            return record(operation, (a, number(b)), alone(kind))
    name = operation.name
    kind = common_dtype(name, a, b)
    return record(operation, as_inputs(name, a, b), (kind,))


def _check_alpha(alpha: Scalar, kind: dtype) -> None:
    if isinstance(alpha, bool) and kind is not bool_:
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if isinstance(alpha, float) and not (kind.is_floating_point or kind.is_complex):
        raise RuntimeError(
            "For integral input tensors, argument alpha must not be a floating point number."
        )
    if isinstance(alpha, complex) and not kind.is_complex:
        raise RuntimeError(
            "For non-complex input tensors, argument alpha must not be a complex number."
        )


@public(method=True, inplace=True, out=True)
def add(input: Operand, other: Operand, *, alpha: Scalar = 1) -> Tensor:
    """input + alpha · other, broadcast, in their common dtype.

    >>> add(tensor([1.0, 2.0]), 1)
    tensor([2., 3.])
    """
    if type(alpha) is int and alpha == 1:
        return apply_binary(ADD, input, other)
    kind = common_dtype("add", input, other)
    _check_alpha(alpha, kind)
    return record(SCALED_ADD, (*as_inputs("add", input, other), number(alpha)), (kind,))


@public("subtract", method=True, inplace=True, out=True)
def sub(input: Operand, other: Operand, *, alpha: Scalar = 1) -> Tensor:
    """input - alpha · other; raises RuntimeError for booleans."""
    kind = common_dtype("sub", input, other)
    if bool_ in (getattr(input, "dtype", None), getattr(other, "dtype", None)):
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying "
            "to invert a mask, use the `~` or `logical_not()` operator instead."
        )
    if type(alpha) is int and alpha == 1:
        return apply_binary(SUBTRACT, input, other)
    _check_alpha(alpha, kind)
    return record(SCALED_ADD, (*as_inputs("sub", input, other), number(-alpha)), (kind,))


@public(method=True, out=True)
def rsub(input: Tensor, other: Operand, *, alpha: Scalar = 1) -> Tensor:
    """other - alpha · input."""
    if type(alpha) is int and alpha == 1:
        kind = common_dtype("rsub", input, other)
        return record(REVERSE_SUBTRACT, as_inputs("rsub", input, other), (kind,))
    return sub(other, input, alpha=alpha)


@public("multiply", method=True, inplace=True, out=True)
def mul(input: Operand, other: Operand) -> Tensor:
    """input · other, broadcast, in their common dtype."""
    return apply_binary(MULTIPLY, input, other)


@public("divide", method=True, inplace=True, out=True)
def div(input: Operand, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
    """input / other; integers give floating point unless `rounding_mode` is "trunc" or "floor"."""
    if rounding_mode is None:
        kind = float_dtype(common_dtype("div", input, other))
        return record(DIVIDE, as_inputs("div", input, other), (kind,))
    if rounding_mode == "floor":
        return floor_divide(input, other)
    if rounding_mode == "trunc":
        kind = common_dtype("div", input, other)
        _refuse_zero_divisor("div", kind, input, other)
        return record(TRUNCATED_DIVIDE, as_inputs("div", input, other), (kind,))
    raise RuntimeError(
        "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
        f"'{rounding_mode}'"
    )


def _truncated(a: Node, b: Node) -> Node:
    if a.dtype.is_floating_point:
        return g.trunc(g.divide(a, b))
    # One division only: the floor is one too low where a rest is left and the signs differ.
    floor = g.floor_divide(a, b)
    rest = g.not_equal(g.multiply(floor, b), a)
    apart = g.bitwise_and(rest, g.less(g.bitwise_xor(a, b), g.like(a, 0)))
    apart = g.bitwise_and(apart, g.not_equal(b, g.like(b, 0)))
    return g.add(floor, g.cast(apart, a.dtype))


def _zero_vjp(saved: Saved, ct: Node) -> tuple[Node | None, ...]:
    return tuple(g.full(node.shape, 0, node.dtype) for node in saved.inputs)


TRUNCATED_DIVIDE = binary_operation("div", _truncated, vjp=_zero_vjp, saves="none")
FLOOR_DIVIDE = binary_operation("floor_divide", g.floor_divide, saves="none", by_number=True)
REMAINDER = binary_operation("remainder", g.remainder)
FMOD = binary_operation("fmod", g.fmod)


def _refuse_zero_divisor(name: str, kind: dtype, input: Any, other: Any) -> None:
    """Integer division by zero is an error already here: a tensor of divisors is looked at."""
    if kind.is_floating_point or kind.is_complex:
        return
    if is_number(other):
        has_zero = other == 0
    else:
        nothing = isinstance(input, Tensor) and 0 in input._shape
        is_meta = other._storage.device is META
        has_zero = not (nothing or is_meta) and not array_of(other).all()
    if has_zero:
        raise RuntimeError(f"{name}(): ZeroDivisionError")


@public(method=True, inplace=True, out=True)
def floor_divide(input: Operand, other: Operand) -> Tensor:
    """The largest whole number not above input / other."""
    kind = common_dtype("floor_divide", input, other)
    _refuse_zero_divisor("floor_divide", kind, input, other)
    return record(FLOOR_DIVIDE, as_inputs("floor_divide", input, other), (kind,))


@public(method=True, inplace=True, out=True)
def remainder(input: Operand, other: Operand) -> Tensor:
    """input - floor(input / other) · other: the sign of other, as Python's %."""
    kind = common_dtype("remainder", input, other)
    _refuse_zero_divisor("remainder", kind, input, other)
    return record(REMAINDER, as_inputs("remainder", input, other), (kind,))


@public(method=True, inplace=True, out=True)
def fmod(input: Operand, other: Operand) -> Tensor:
    """input - trunc(input / other) · other: the sign of input, as C's fmod."""
    require_tensor("fmod", "input", input)
    kind = common_dtype("fmod", input, other)
    _refuse_zero_divisor("fmod", kind, input, other)
    return record(FMOD, as_inputs("fmod", input, other), (kind,))


def _power_vjp(saved: Saved, ct: Node) -> tuple[Node | None, ...]:
    (x,) = saved.inputs
    exponent, kind = saved.attributes
    if exponent == 0:
        return (g.full(x.shape, 0, x.dtype),)
    base = g.cast(x, kind)
    slope = g.multiply(_integer_power(base, exponent - 1, kind), g.like(base, exponent))
    return (sum_back(g.multiply(ct, g.conjugate(slope)), x),)


def _integer_power(x: Node, exponent: Scalar, kind: dtype) -> Node:
    """x**exponent by products, roots and reciprocals where these are exact."""
    if exponent == 0:
        return g.full(x.shape, 1, kind)
    if exponent == 1:
        return x
    if exponent == 2:
        return g.multiply(x, x)
    if exponent == 3:
        return g.multiply(g.multiply(x, x), x)
    if kind.is_floating_point:
        if exponent == 0.5:
            return g.sqrt(x)
        if exponent == -0.5:
            return g.rsqrt(x)
        if exponent == -1:
            return g.reciprocal(x)
        if exponent == -2:
            return g.reciprocal(g.multiply(x, x))
    return g.power(x, g.like(x, exponent))


POWER_NUMBER = Operation(
    "pow",
    lambda x, exponent, kind: _integer_power(g.cast(x, kind), exponent, kind),
    vjp=_power_vjp,
    saves="inputs",
)
POWER = binary_operation("pow", g.power, grad_name="PowBackward1", saves="both")
NUMBER_POWER = binary_operation("pow", g.power, grad_name="PowBackward2", saves="both")


@public(method=True, inplace=True, out=True)
def pow(input: Operand, exponent: Operand) -> Tensor:
    """input ** exponent; integers refuse negative exponents that are Python numbers."""
    kind = common_dtype("pow", input, exponent)
    if isinstance(input, Tensor) and is_number(exponent):
        whole = not (kind.is_floating_point or kind.is_complex)
        if whole and exponent < 0:  # type: ignore[operator]
            raise RuntimeError("Integers to negative integer powers are not allowed.")
        return record(POWER_NUMBER, (input,), (exponent, kind))
    operation = POWER if isinstance(input, Tensor) else NUMBER_POWER
    return record(operation, as_inputs("pow", input, exponent), (kind,))
