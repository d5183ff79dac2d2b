"""Pointwise functions of one tensor, rounding, limits, choice: exp, floor, clamp, where, lerp, …"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.dtype import bool_
from lampas.engine.graph import build as g
from lampas.engine.tensor.arithmetic import (
    Operand,
    Scalar,
    alone,
    apply_binary,
    binary_operation,
    div,
    mul,
    sub,
    sum_back,
)
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import PUBLIC, public
from lampas.engine.tensor.door import record
from lampas.engine.tensor.operands import (
    accumulation_dtype,
    as_inputs,
    check_broadcast,
    common_dtype,
    float_dtype,
    number,
    require_tensor,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from lampas.engine.dtype import dtype
    from lampas.engine.graph.node import Node

# Functions of one operand -------------------------------------------------------------------------


def function_operation(
    name: str, build: Callable[[Node], Node], saves: str = "both", **options: Any
) -> Operation:
    """A floating-point function; attribute: the dtype in which it computes."""
    return Operation(name, lambda x, kind: build(g.cast(x, kind)), saves=saves, **options)


def apply_function(operation: Operation, x: Any) -> Tensor:
    """Record a floating-point function of one tensor: integers become the default dtype."""
    require_tensor(operation.name, "input", x)
    return record(operation, (x,), alone(float_dtype(x._node.dtype)))


def _define_function(name: str, build: Callable[[Node], Node], text: str, *aliases: str) -> None:
    operation = function_operation(name, build)

    def function(input: Tensor) -> Tensor:
        return apply_function(operation, input)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{text}, elementwise; integers become the default dtype."
    function.__module__ = __name__
    public(*aliases, method=True, inplace=True, out=True)(function)
    globals()[name] = function


for _name, _build, _text, *_aliases in (
    ("exp", g.exp, "e to the power of x"),
    ("exp2", g.exp2, "2 to the power of x"),
    ("expm1", g.expm1, "exp(x) - 1, exact near 0"),
    ("log", g.log, "The natural logarithm"),
    ("log2", g.log2, "The logarithm to base 2"),
    ("log10", g.log10, "The logarithm to base 10"),
    ("log1p", g.log1p, "log(1 + x), exact near 0"),
    ("sqrt", g.sqrt, "The square root"),
    ("rsqrt", g.rsqrt, "1 / sqrt(x)"),
    ("reciprocal", g.reciprocal, "1 / x"),
    ("sin", g.sin, "The sine"),
    ("cos", g.cos, "The cosine"),
    ("tan", g.tan, "The tangent"),
    ("asin", g.asin, "The inverse sine", "arcsin"),
    ("acos", g.acos, "The inverse cosine", "arccos"),
    ("atan", g.atan, "The inverse tangent", "arctan"),
    ("sinh", g.sinh, "The hyperbolic sine"),
    ("cosh", g.cosh, "The hyperbolic cosine"),
    ("tanh", g.tanh, "The hyperbolic tangent"),
    ("asinh", g.asinh, "The inverse hyperbolic sine", "arcsinh"),
    ("acosh", g.acosh, "The inverse hyperbolic cosine", "arccosh"),
    ("atanh", g.atanh, "The inverse hyperbolic tangent", "arctanh"),
    ("erf", g.erf, "The error function"),
    ("erfc", g.erfc, "1 - erf(x)"),
    ("erfinv", g.erfinv, "The inverse of erf"),
    ("lgamma", g.lgamma, "log |Gamma(x)|"),
    ("digamma", g.digamma, "The derivative of lgamma"),
    ("sigmoid", g.sigmoid, "1 / (1 + exp(-x))"),
):
    _define_function(_name, _build, _text, *_aliases)


log: Callable[[Tensor], Tensor] = PUBLIC["log"].function
lgamma: Callable[[Tensor], Tensor] = PUBLIC["lgamma"].function

NEGATIVE = Operation("neg", g.negative, saves="none")
ABSOLUTE = Operation("abs", g.absolute, saves="inputs")
SIGN = Operation("sign", g.sign, saves="inputs")
SQUARE = Operation(
    "pow",
    lambda x: g.multiply(x, x),
    vjp=lambda saved, ct: (
        g.multiply(ct, g.multiply(g.conjugate(saved.inputs[0]), g.like(saved.inputs[0], 2))),
    ),
    saves="inputs",
)


@public("negative", method=True, inplace=True, out=True)
def neg(input: Tensor) -> Tensor:
    """-input; raises RuntimeError for booleans."""
    if require_tensor("neg", "input", input)._node.dtype is bool_:
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to "
            "invert a mask, use the `~` or `logical_not()` operator instead."
        )
    return record(NEGATIVE, (input,))


@public("absolute", method=True, inplace=True, out=True)
def abs(input: Tensor) -> Tensor:
    """|input|; the magnitude of complex numbers."""
    return record(ABSOLUTE, (require_tensor("abs", "input", input),))


@public(method=True, inplace=True, out=True)
def sign(input: Tensor) -> Tensor:
    """-1, 0 or 1."""
    return record(SIGN, (require_tensor("sign", "input", input),))


@public(method=True)
def positive(input: Tensor) -> Tensor:
    """The input itself."""
    return input


@public(method=True, inplace=True, out=True)
def square(input: Tensor) -> Tensor:
    """input · input."""
    if require_tensor("square", "input", input)._node.dtype is bool_:
        return mul(input.long(), 1)  # type: ignore[attr-defined]
    return record(SQUARE, (input,))


# Rounding -----------------------------------------------------------------------------------------


def _rounding(build: Callable[[Node], Node]) -> Callable[[Node], Node]:
    return lambda x: build(x) if x.dtype.is_floating_point else x


FLOOR = Operation("floor", _rounding(g.floor), saves="none")
CEIL = Operation("ceil", _rounding(g.ceil), saves="none")
TRUNC = Operation("trunc", _rounding(g.trunc), saves="none")
ROUND = Operation("round", _rounding(g.round_half_even), saves="none")


@public(method=True, inplace=True, out=True)
def floor(input: Tensor) -> Tensor:
    """The largest whole number not above input."""
    return record(FLOOR, (input,))


@public(method=True, inplace=True, out=True)
def ceil(input: Tensor) -> Tensor:
    """The smallest whole number not below input."""
    return record(CEIL, (input,))


@public("fix", method=True, inplace=True, out=True)
def trunc(input: Tensor) -> Tensor:
    """The whole part, towards zero."""
    return record(TRUNC, (input,))


@public(method=True, inplace=True, out=True)
def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """To the nearest whole number (or `decimals`), halves to the even one."""
    if decimals == 0:
        return record(ROUND, (input,))
    scale = 10.0 ** math.fabs(decimals)
    if decimals > 0:
        return div(record(ROUND, (mul(input, scale),)), scale)
    return mul(record(ROUND, (div(input, scale),)), scale)


@public(method=True, inplace=True, out=True)
def frac(input: Tensor) -> Tensor:
    """input - trunc(input)."""
    return sub(input, trunc(input))


# Limits -------------------------------------------------------------------------------------------


def _clamp(x: Node, *rest: Any) -> Node:
    *bounds, has_low, has_high, kind = rest
    x = g.cast(x, kind)
    limits = iter(bounds)
    if has_low:
        x = g.maximum(x, g.cast(next(limits), kind))
    if has_high:
        x = g.minimum(x, g.cast(next(limits), kind))
    return x


def _clamp_vjp(saved: Saved, ct: Node) -> tuple[Node | None, ...]:
    """Inside the limits, the limits included, all of it goes to x; outside, to the limit."""
    x, *bounds = saved.inputs
    has_low, has_high, kind = saved.attributes
    wide = g.cast(x, kind)
    zero = g.like(ct, 0)
    limits = [g.cast(bound, kind) for bound in bounds]
    below = g.less(wide, limits[0]) if has_low else None
    above = g.greater(wide, limits[-1]) if has_high else None
    inside = ct
    for outside in (below, above):
        inside = inside if outside is None else g.where(outside, zero, inside)
    flows: list[Node | None] = [sum_back(inside, x) if saved.needed[0] else None]
    if below is not None:
        if above is not None:
            below = g.bitwise_and(below, g.less(limits[0], limits[-1]))
        flows.append(sum_back(g.where(below, ct, zero), bounds[0]) if saved.needed[1] else None)
    if above is not None:
        if below is not None:
            above = g.bitwise_or(above, g.greater_equal(limits[0], limits[-1]))
        flows.append(sum_back(g.where(above, ct, zero), bounds[-1]) if saved.needed[-1] else None)
    return tuple(flows)


CLAMP = Operation("clamp", _clamp, vjp=_clamp_vjp, saves="inputs")
CLAMP_TO_NUMBERS = Operation(
    "clamp", _clamp, vjp=_clamp_vjp, grad_name="ClampBackward1", saves="inputs"
)


@public("clip", method=True, inplace=True, out=True)
def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """input limited to [min, max]; either may be missing, a number or a tensor; NaN stays."""
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    bounds = [bound for bound in (min, max) if bound is not None]
    kind = common_dtype("clamp", input, *bounds)
    inputs = as_inputs("clamp", input, *bounds)
    has_tensors = any(isinstance(bound, Tensor) for bound in bounds)
    operation = CLAMP if has_tensors else CLAMP_TO_NUMBERS
    return record(operation, inputs, (min is not None, max is not None, kind))


@public(method=True, inplace=True, out=True)
def clamp_min(input: Tensor, min: Any) -> Tensor:
    """input, but not below min."""
    require_tensor("clamp_min", "input", input)
    return clamp(input, min=min)


@public(method=True, inplace=True, out=True)
def clamp_max(input: Tensor, max: Any) -> Tensor:
    """input, but not above max."""
    require_tensor("clamp_max", "input", input)
    return clamp(input, max=max)


MAXIMUM = binary_operation("maximum", g.maximum)
MINIMUM = binary_operation("minimum", g.minimum)


@public(method=True, out=True)
def maximum(input: Tensor, other: Tensor) -> Tensor:
    """The larger of each pair; NaN wins."""
    require_tensor("maximum", "input", input)
    require_tensor("maximum", "other", other, 2)
    return apply_binary(MAXIMUM, input, other)


@public(method=True, out=True)
def minimum(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of each pair; NaN wins."""
    require_tensor("minimum", "input", input)
    require_tensor("minimum", "other", other, 2)
    return apply_binary(MINIMUM, input, other)


# Choice and fused sums ----------------------------------------------------------------------------

WHERE = Operation(
    "where",
    lambda condition, a, b, kind: g.where(condition, g.cast(a, kind), g.cast(b, kind)),
    saves="inputs",
)


def choose(condition: Tensor, input: Operand, other: Operand) -> Tensor:
    """input where condition, else other (the three-argument `where`)."""
    if condition.dtype is not bool_:
        if condition.dtype.name != "uint8":
            raise RuntimeError(
                f"where expected condition to be a boolean tensor, but got a tensor with dtype "
                f"{condition.dtype.title}"
            )
        condition = condition.to(bool_)  # type: ignore[attr-defined]
    kind = common_dtype("where", input, other)
    inputs = as_inputs("where", input, other)
    shapes = [given._shape for given in (condition, input, other) if isinstance(given, Tensor)]
    check_broadcast("where", shapes)
    return record(WHERE, (condition, *inputs), (kind,))


def _blended(
    combine: Callable[[Node, Node, Node], Node],
) -> Callable[[Node, Node, Node, Node, Any], Node]:
    """x + combine(a, b, value), half types in float32 until the end."""

    def build(x: Node, a: Node, b: Node, value: Node, kind: Any) -> Node:
        wide = accumulation_dtype(kind)
        x, a, b, value = (g.cast(node, wide) for node in (x, a, b, value))
        return g.cast(g.add(x, combine(a, b, value)), kind)

    return build


ADDCMUL = Operation(
    "addcmul",
    _blended(lambda a, b, value: g.multiply(g.multiply(a, b), value)),
    saves="inputs",
)
ADDCDIV = Operation(
    "addcdiv",
    _blended(lambda a, b, value: g.divide(g.multiply(a, value), b)),
    saves="inputs",
)
LERP = Operation(
    "lerp",
    lambda a, b, weight, kind: _lerp_in(accumulation_dtype(kind), a, b, weight, kind),
    saves="inputs",
)


def _lerp_in(wide: dtype, a: Node, b: Node, weight: Node, kind: dtype) -> Node:
    return g.cast(_lerp(*[g.cast(node, wide) for node in (a, b, weight)]), kind)


def _lerp(a: Node, b: Node, weight: Node) -> Node:
    """From the nearer end, so that weight 1 gives b exactly."""
    gap = g.subtract(b, a)
    size = g.absolute(weight)
    near = g.less(size, g.like(size, 0.5))
    from_b = g.subtract(b, g.multiply(gap, g.subtract(g.like(weight, 1), weight)))
    return g.where(near, g.add(a, g.multiply(weight, gap)), from_b)


@public(method=True, inplace=True, out=True)
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Scalar = 1) -> Tensor:
    """input + value · tensor1 · tensor2."""
    kind = common_dtype("addcmul", input, tensor1, tensor2)
    inputs = as_inputs("addcmul", input, tensor1, tensor2)
    return record(ADDCMUL, (*inputs, number(value)), (kind,))


@public(method=True, inplace=True, out=True)
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Scalar = 1) -> Tensor:
    """input + value · tensor1 / tensor2."""
    kind = common_dtype("addcdiv", input, tensor1, tensor2)
    if not (kind.is_floating_point or kind.is_complex):
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported, and in a future release addcdiv "
            "will perform a true division of tensor1 and tensor2."
        )
    inputs = as_inputs("addcdiv", input, tensor1, tensor2)
    return record(ADDCDIV, (*inputs, number(value)), (kind,))


@public(method=True, inplace=True, out=True)
def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """input + weight · (end - input)."""
    kind = input.dtype
    for other in (end, weight):
        if isinstance(other, Tensor) and other.dtype is not kind:
            raise RuntimeError(
                f"expected dtype {kind} for `{'end' if other is end else 'weight'}` "
                f"but got dtype {other.dtype}"
            )
    return record(LERP, as_inputs("lerp", input, end, weight), (kind,))
