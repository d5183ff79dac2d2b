"""Comparisons, logic on booleans and bits, and the extremes of pairs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.dtype import bool_, dtype, get_default_dtype
from lampas.engine.graph import build as g
from lampas.engine.tensor.arithmetic import Operand, apply_binary, binary_operation, sum_back
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.door import record
from lampas.engine.tensor.operands import as_inputs, common_dtype, require_tensor
from lampas.engine.tensor.values import array_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from lampas.engine.graph.node import Node

# Order --------------------------------------------------------------------------------------------


def _define_comparison(
    name: str, build: Callable[[Node, Node], Node], text: str, *aliases: str, ordered: bool
) -> None:
    operation = binary_operation(name, build, saves="none")

    def function(input: Tensor, other: Operand) -> Tensor:
        require_tensor(name, "input", input)
        kind = common_dtype(name, input, other)
        if ordered and kind.is_complex:
            raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{kind.title}'")
        return record(operation, as_inputs(name, input, other), (kind,))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{text}, elementwise and broadcast; a tensor of booleans."
    function.__module__ = __name__
    public(*aliases, method=True, inplace=True, out=True)(function)
    globals()[name] = function


for _name, _build, _text, _ordered, *_aliases in (
    ("eq", g.equal, "input == other", False),
    ("ne", g.not_equal, "input != other", False, "not_equal"),
    ("lt", g.less, "input < other", True, "less"),
    ("le", g.less_equal, "input <= other", True, "less_equal"),
    ("gt", g.greater, "input > other", True, "greater"),
    ("ge", g.greater_equal, "input >= other", True, "greater_equal"),
):
    _define_comparison(_name, _build, _text, *_aliases, ordered=_ordered)


@public(method=True)
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and elements (NaN differs from itself)."""
    require_tensor("equal", "input", input)
    require_tensor("equal", "other", other, 2)
    if input._shape != other._shape:
        return False
    return bool((array_of(input) == array_of(other)).all())


# Closeness ----------------------------------------------------------------------------------------


def _isclose(a: Node, b: Node, rtol: float, atol: float, equal_nan: bool) -> Node:
    """a = b, or both finite and |a - b| <= atol + rtol·|b|."""
    close = g.equal(a, b)
    if not (a.dtype.is_floating_point or a.dtype.is_complex):
        if rtol == 0 and atol == 0:
            return close
        a, b = (g.cast(x, get_default_dtype()) for x in (a, b))
    size = g.absolute(b)
    allowed = g.add(g.like(size, atol), g.multiply(g.like(size, rtol), size))
    gap = g.absolute(g.subtract(a, b))
    finite = g.less(gap, g.like(gap, math.inf))
    near = g.bitwise_and(g.less_equal(gap, allowed), finite)
    near = g.bitwise_or(close, near)
    if equal_nan:
        near = g.bitwise_or(near, g.bitwise_and(g.isnan(a), g.isnan(b)))
    return near


ISCLOSE = Operation("isclose", _isclose, saves="none")


@public(method=True)
def isclose(
    input: Tensor,
    other: Tensor,
    rtol: float = 1e-05,
    atol: float = 1e-08,
    equal_nan: bool = False,
) -> Tensor:
    """|input - other| <= atol + rtol·|other|, elementwise."""
    require_tensor("isclose", "input", input)
    require_tensor("isclose", "other", other, 2)
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{input.dtype.title} did not match {other.dtype.title}")
    for name, limit in (("rtol", rtol), ("atol", atol)):
        if limit < 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {limit}")
    inputs = as_inputs("isclose", input, other)
    return record(ISCLOSE, inputs, (float(rtol), float(atol), bool(equal_nan)))


@public(method=True)
def allclose(
    input: Tensor,
    other: Tensor,
    rtol: float = 1e-05,
    atol: float = 1e-08,
    equal_nan: bool = False,
) -> bool:
    """Whether all elements are close (`isclose`)."""
    return bool(array_of(isclose(input, other, rtol, atol, equal_nan)).all())


# Kinds of numbers ---------------------------------------------------------------------------------


def _parts(test: Callable[[Node], Node], both: Callable[[Node, Node], Node]) -> Any:
    """A test of real numbers, applied to both parts of complex ones."""

    def build(x: Node) -> Node:
        if x.dtype.is_complex:
            return both(test(g.real(x)), test(g.imaginary(x)))
        return test(x)

    return build


def _isfinite(x: Node) -> Node:
    if not x.dtype.is_floating_point:
        return g.full(x.shape, True, bool_)
    return g.less(g.absolute(x), g.like(x, math.inf))


def _signed_infinity(sign: float) -> Callable[[Node], Node]:
    def build(x: Node) -> Node:
        if not x.dtype.is_floating_point:
            return g.full(x.shape, False, bool_)
        return g.equal(x, g.like(x, sign * math.inf))

    return build


def _isreal(x: Node) -> Node:
    if not x.dtype.is_complex:
        return g.full(x.shape, True, bool_)
    part = g.imaginary(x)
    return g.equal(part, g.like(part, 0))


def _signbit(x: Node) -> Node:
    if x.dtype.is_floating_point:
        return g.less(g.copysign(g.like(x, 1), x), g.like(x, 0))
    return g.less(x, g.like(x, 0)) if x.dtype is not bool_ else g.full(x.shape, False, bool_)


ISNAN = Operation("isnan", _parts(g.isnan, g.bitwise_or), saves="none")
ISINF = Operation("isinf", _parts(g.isinf, g.bitwise_or), saves="none")
ISFINITE = Operation("isfinite", _parts(_isfinite, g.bitwise_and), saves="none")
ISREAL = Operation("isreal", _isreal, saves="none")
ISPOSINF = Operation("isposinf", _signed_infinity(1), saves="none")
ISNEGINF = Operation("isneginf", _signed_infinity(-1), saves="none")
SIGNBIT = Operation("signbit", _signbit, saves="none")


@public(method=True)
def isnan(input: Tensor) -> Tensor:
    """True where input is NaN."""
    return record(ISNAN, (require_tensor("isnan", "input", input),))


@public(method=True)
def isinf(input: Tensor) -> Tensor:
    """True where input is infinite."""
    return record(ISINF, (require_tensor("isinf", "input", input),))


@public(method=True)
def isfinite(input: Tensor) -> Tensor:
    """True where input is neither infinite nor NaN."""
    return record(ISFINITE, (require_tensor("isfinite", "input", input),))


@public(method=True)
def isreal(input: Tensor) -> Tensor:
    """True where the imaginary part is 0."""
    return record(ISREAL, (require_tensor("isreal", "input", input),))


def _refuse_complex(name: str, input: Tensor) -> Tensor:
    if require_tensor(name, "input", input).dtype.is_complex:
        raise RuntimeError(f"{name} does not support complex inputs.")
    return input


@public(method=True, out=True)
def isposinf(input: Tensor) -> Tensor:
    """True where input is +inf."""
    return record(ISPOSINF, (_refuse_complex("isposinf", input),))


@public(method=True, out=True)
def isneginf(input: Tensor) -> Tensor:
    """True where input is -inf."""
    return record(ISNEGINF, (_refuse_complex("isneginf", input),))


@public(method=True, out=True)
def signbit(input: Tensor) -> Tensor:
    """True where the sign bit is set (-0.0 included)."""
    return record(SIGNBIT, (_refuse_complex("signbit", input),))


# Logic and bits -----------------------------------------------------------------------------------


def _truth(build: Callable[[Node, Node], Node]) -> Callable[[Node, Node], Node]:
    return lambda a, b: build(g.cast(a, bool_), g.cast(b, bool_))


LOGICAL_NOT = Operation("logical_not", g.logical_not, saves="none")
LOGICAL_AND = Operation("logical_and", _truth(g.bitwise_and), saves="none")
LOGICAL_OR = Operation("logical_or", _truth(g.bitwise_or), saves="none")
LOGICAL_XOR = Operation("logical_xor", _truth(g.bitwise_xor), saves="none")


@public(method=True, inplace=True, out=True)
def logical_not(input: Tensor) -> Tensor:
    """True where input is zero."""
    return record(LOGICAL_NOT, (require_tensor("logical_not", "input", input),))


def _logical(operation: Operation, input: Tensor, other: Tensor) -> Tensor:
    require_tensor(operation.name, "input", input)
    require_tensor(operation.name, "other", other, 2)
    return record(operation, as_inputs(operation.name, input, other))


@public(method=True, inplace=True, out=True)
def logical_and(input: Tensor, other: Tensor) -> Tensor:
    """True where both are non-zero."""
    return _logical(LOGICAL_AND, input, other)


@public(method=True, inplace=True, out=True)
def logical_or(input: Tensor, other: Tensor) -> Tensor:
    """True where either is non-zero."""
    return _logical(LOGICAL_OR, input, other)


@public(method=True, inplace=True, out=True)
def logical_xor(input: Tensor, other: Tensor) -> Tensor:
    """True where exactly one is non-zero."""
    return _logical(LOGICAL_XOR, input, other)


BITWISE_NOT = Operation("bitwise_not", g.bitwise_not, saves="none")


@public(method=True, inplace=True, out=True)
def bitwise_not(input: Tensor) -> Tensor:
    """Every bit turned; for booleans, logical not."""
    kind = require_tensor("bitwise_not", "input", input)._node.dtype
    _require_integers("bitwise_not_cpu", kind)
    return record(BITWISE_NOT, (input,))


def _require_integers(kernel: str, kind: dtype, *, booleans: bool = True) -> None:
    if kind.is_floating_point or kind.is_complex or (kind is bool_ and not booleans):
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{kind.title}'")


def _define_bitwise(
    name: str, kernel: str, build: Callable[[Node, Node], Node], text: str, booleans: bool
) -> None:
    operation = binary_operation(name, build, saves="none")

    def function(input: Operand, other: Operand) -> Tensor:
        kind = common_dtype(name, input, other)
        _require_integers(kernel, kind, booleans=booleans)
        return record(operation, as_inputs(name, input, other), (kind,))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{text}, elementwise; integers{' and booleans' if booleans else ''} only."
    function.__module__ = __name__
    public(method=True, inplace=True, out=True)(function)
    globals()[name] = function


for _name, _kernel, _build, _text, _booleans in (
    ("bitwise_and", "bitwise_and_cpu", g.bitwise_and, "The bits set in both", True),
    ("bitwise_or", "bitwise_or_cpu", g.bitwise_or, "The bits set in either", True),
    ("bitwise_xor", "bitwise_xor_cpu", g.bitwise_xor, "The bits set in exactly one", True),
    ("bitwise_left_shift", "lshift_cpu", g.shift_left, "input · 2 ** other", False),
    ("bitwise_right_shift", "rshift_cpu", g.shift_right, "floor(input / 2 ** other)", False),
):
    _define_bitwise(_name, _kernel, _build, _text, _booleans)


# Extremes of pairs that ignore NaN ----------------------------------------------------------------


def _ignoring_nan(build: Callable[[Node, Node], Node]) -> Callable[[Node, Node], Node]:
    def choose(a: Node, b: Node) -> Node:
        if not a.dtype.is_floating_point:
            return build(a, b)
        return g.where(g.isnan(a), b, g.where(g.isnan(b), a, build(a, b)))

    return choose


def _ignoring_nan_vjp(first: Callable[[Node, Node], Node]) -> Callable[..., Any]:
    """Ties and a lone number beside NaN go to the first operand, everything else to the second."""

    def vjp(saved: Saved, ct: Node) -> tuple[Node | None, ...]:
        kind = saved.attributes[0]
        a, b = (g.cast(node, kind) for node in saved.inputs)
        zero = g.like(ct, 0)
        taken = g.bitwise_or(first(a, b), g.isnan(b))
        return (
            sum_back(g.where(taken, ct, zero), saved.inputs[0]) if saved.needed[0] else None,
            sum_back(g.where(taken, zero, ct), saved.inputs[1]) if saved.needed[1] else None,
        )

    return vjp


FMAX = binary_operation(
    "fmax", _ignoring_nan(g.maximum), vjp=_ignoring_nan_vjp(g.greater_equal), saves="inputs"
)
FMIN = binary_operation(
    "fmin", _ignoring_nan(g.minimum), vjp=_ignoring_nan_vjp(g.less_equal), saves="inputs"
)


def _require_pair(name: str, input: Tensor, other: Tensor) -> None:
    require_tensor(name, "input", input)
    require_tensor(name, "other", other, 2)


@public(method=True, out=True)
def fmax(input: Tensor, other: Tensor) -> Tensor:
    """The larger of each pair; a number wins against NaN."""
    _require_pair("fmax", input, other)
    return apply_binary(FMAX, input, other)


@public(method=True, out=True)
def fmin(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of each pair; a number wins against NaN."""
    _require_pair("fmin", input, other)
    return apply_binary(FMIN, input, other)
