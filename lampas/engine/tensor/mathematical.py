"""Further functions of numbers: hypot, xlogy, sinc, logit, gcd, frexp, nan_to_num, angles, …

Formulas are compositions of primitives; where the plain formula loses accuracy or its derivative has a
removable hole (xlogy at 0, sinc at 0, hypot at 0) the composition says what holds there.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.dtype import bool_, complex128, dtype, float64, int32
from lampas.engine.graph import build as g
from lampas.engine.graph.host import host_function
from lampas.engine.tensor import pointwise
from lampas.engine.tensor.arithmetic import (
    Operand,
    binary_operation,
    div,
    mul,
    pow,
    sum_back,
)
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.door import record
from lampas.engine.tensor.operands import (
    accumulation_dtype,
    as_inputs,
    common_dtype,
    float_dtype,
    require_tensor,
)
from lampas.engine.tensor.pointwise import apply_function, function_operation
from lampas.engine.tensor.returns import return_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from lampas.engine.graph.node import Node

Grads = tuple["Node | None", ...]


def _like(x: Node, value: float) -> Node:
    return g.like(x, value)


# Two operands -------------------------------------------------------------------------------------


def _require_pair(name: str, a: Any, b: Any) -> None:
    require_tensor(name, "input", a)
    require_tensor(name, "other", b, 2)


def _float_pair(operation: Operation, a: Any, b: Any) -> Tensor:
    """Record an operation of two operands in a floating-point dtype."""
    kind = float_dtype(common_dtype(operation.name, a, b))
    return record(operation, as_inputs(operation.name, a, b), (kind,))


def _hypot(a: Node, b: Node) -> Node:
    """The larger side times sqrt(1 + ratio²): no overflow in between."""
    x, y = g.absolute(a), g.absolute(b)
    high, low = g.maximum(x, y), g.minimum(x, y)
    none = g.bitwise_or(g.equal(high, _like(high, 0)), g.equal(high, _like(high, math.inf)))
    ratio = g.divide(low, g.where(none, _like(high, 1), high))
    size = g.multiply(high, g.sqrt(g.add(g.multiply(ratio, ratio), _like(high, 1))))
    endless = g.bitwise_or(g.isinf(a), g.isinf(b))
    return g.where(endless, _like(high, math.inf), g.where(none, high, size))


def _hypot_vjp(saved: Saved, ct: Node) -> Grads:
    kind = saved.attributes[0]
    share = g.divide(ct, saved.output)
    return tuple(
        sum_back(g.multiply(share, g.cast(node, kind)), node) if need else None
        for node, need in zip(saved.inputs, saved.needed, strict=True)
    )


def _xlogy(x: Node, y: Node) -> Node:
    product = g.multiply(x, g.log(y))
    none = g.bitwise_and(g.equal(x, _like(x, 0)), g.logical_not(g.isnan(y)))
    return g.where(none, _like(x, 0), product)


def _xlogy_vjp(shift: float) -> Callable[..., Grads]:
    def vjp(saved: Saved, ct: Node) -> Grads:
        kind = saved.attributes[0]
        x, y = (g.cast(node, kind) for node in saved.inputs)
        above = g.add(y, _like(y, shift)) if shift else y
        log = g.log1p(y) if shift else g.log(y)
        none = g.bitwise_and(g.equal(x, _like(x, 0)), g.less_equal(above, _like(above, 0)))
        to_x = g.multiply(ct, g.where(none, _like(x, 0), log))
        to_y = g.multiply(ct, g.divide(x, above))
        a, b = saved.inputs
        return (
            sum_back(to_x, a) if saved.needed[0] else None,
            sum_back(to_y, b) if saved.needed[1] else None,
        )

    return vjp


def _xlog1py(x: Node, y: Node) -> Node:
    product = g.multiply(x, g.log1p(y))
    none = g.bitwise_and(g.equal(x, _like(x, 0)), g.logical_not(g.isnan(y)))
    return g.where(none, _like(x, 0), product)


def _log_sum(base: float) -> Callable[[Node, Node], Node]:
    """log_base(base^a + base^b), from the larger of the two."""
    power, log = (g.exp, g.log1p) if base == math.e else (g.exp2, None)

    def build(a: Node, b: Node) -> Node:
        if a.dtype.is_complex:
            swap = g.less(g.real(a), g.real(b))
            high, low = g.where(swap, b, a), g.where(swap, a, b)
            gap = g.subtract(low, high)
            return g.add(high, g.log(g.add(g.exp(gap), _like(a, 1))))
        kind = a.dtype
        a, b = (g.cast(x, accumulation_dtype(kind)) for x in (a, b))
        high = g.maximum(a, b)
        gap = g.negative(g.absolute(g.subtract(a, b)))
        rest = g.log1p(power(gap))
        if log is None:
            rest = g.divide(rest, _like(rest, math.log(2)))
        same = g.bitwise_and(g.equal(a, b), g.isinf(a))
        return g.cast(g.where(same, a, g.add(high, rest)), kind)

    return build


def _log_sum_vjp(power: Callable[[Node], Node]) -> Callable[..., Grads]:
    def vjp(saved: Saved, ct: Node) -> Grads:
        kind = saved.attributes[0]
        flows = []
        for node, need in zip(saved.inputs, saved.needed, strict=True):
            weight = power(g.subtract(g.cast(node, kind), saved.output))
            flow = g.multiply(ct, g.conjugate(weight))
            flows.append(sum_back(flow, node) if need else None)
        return tuple(flows)

    return vjp


HYPOT = binary_operation("hypot", _hypot, vjp=_hypot_vjp, saves="both")
XLOGY = binary_operation("xlogy", _xlogy, vjp=_xlogy_vjp(0.0))
XLOG1PY = binary_operation("xlog1py", _xlog1py, vjp=_xlogy_vjp(1.0))
LOGADDEXP = binary_operation("logaddexp", _log_sum(math.e), vjp=_log_sum_vjp(g.exp), saves="both")
LOGADDEXP2 = binary_operation("logaddexp2", _log_sum(2), vjp=_log_sum_vjp(g.exp2), saves="both")
ATAN2 = binary_operation("atan2", g.atan2)
COPYSIGN = binary_operation("copysign", g.copysign)
NEXTAFTER = binary_operation("nextafter", g.nextafter)


@public("arctan2", method=True, inplace=True, out=True)
def atan2(input: Tensor, other: Tensor) -> Tensor:
    """The angle of the point (other, input), between -pi and pi."""
    _require_pair("atan2", input, other)
    return _float_pair(ATAN2, input, other)


@public(method=True, inplace=True, out=True)
def hypot(input: Tensor, other: Tensor) -> Tensor:
    """sqrt(input² + other²), without overflow in between."""
    _require_pair("hypot", input, other)
    kind = common_dtype("hypot", input, other)
    if not kind.is_floating_point:
        raise NotImplementedError(f"\"hypot_cpu\" not implemented for '{kind.title}'")
    return _float_pair(HYPOT, input, other)


@public(method=True, inplace=True, out=True)
def xlogy(input: Operand, other: Operand) -> Tensor:
    """input · log(other), 0 where input is 0."""
    return _float_pair(XLOGY, input, other)


@public(namespace="special", out=True)
def xlog1py(input: Operand, other: Operand) -> Tensor:
    """input · log(1 + other), 0 where input is 0."""
    return _float_pair(XLOG1PY, input, other)


def _require_floats(name: str, *values: Any) -> None:
    _require_pair(name, *values)
    kind = common_dtype(name, *values)
    if not (kind.is_floating_point or kind.is_complex):
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{kind.title}'")


@public(method=True, out=True)
def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """log(exp(input) + exp(other)), without overflow."""
    _require_floats("logaddexp", input, other)
    return _float_pair(LOGADDEXP, input, other)


@public(method=True, out=True)
def logaddexp2(input: Tensor, other: Tensor) -> Tensor:
    """log2(2^input + 2^other), without overflow."""
    _require_floats("logaddexp2", input, other)
    return _float_pair(LOGADDEXP2, input, other)


@public(method=True, inplace=True, out=True)
def copysign(input: Tensor, other: Operand) -> Tensor:
    """|input| with the sign of other."""
    return _float_pair(COPYSIGN, require_tensor("copysign", "input", input), other)


@public(method=True, inplace=True, out=True)
def nextafter(input: Tensor, other: Tensor) -> Tensor:
    """The next number after input towards other."""
    _require_floats("nextafter", input, other)
    return _float_pair(NEXTAFTER, input, other)


def _heaviside(x: Node, values: Node) -> Node:
    one, zero = _like(x, 1), _like(x, 0)
    step = g.where(g.greater(x, zero), one, zero)
    step = g.where(g.equal(x, zero), values, step)
    return g.where(g.isnan(x), _like(x, 0), step)


HEAVISIDE = binary_operation("heaviside", _heaviside, saves="none")


@public(method=True, inplace=True, out=True)
def heaviside(input: Tensor, values: Tensor) -> Tensor:
    """0 below zero, 1 above, `values` at zero."""
    _require_pair("heaviside", input, values)
    if input.dtype.is_complex or values.dtype.is_complex:
        raise RuntimeError("heaviside is not yet implemented for complex tensors.")
    if input.dtype is not values.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")
    return record(HEAVISIDE, as_inputs("heaviside", input, values), (input.dtype,))


@host_function("gcd")
def _gcd_array(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.gcd(a, b)


@host_function("lcm")
def _lcm_array(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(np.lcm(a, b))


def _define_divisor(name: str, text: str) -> None:
    def build(a: Node, b: Node, kind: dtype) -> Node:
        a, b = g.cast(a, kind), g.cast(b, kind)
        shape = g.add(a, b).shape
        return g.host(name, (a, b), ((shape, kind),))[0]

    operation = Operation(name, build, saves="none")

    def function(input: Tensor, other: Tensor) -> Tensor:
        _require_pair(name, input, other)
        kind = common_dtype(name, input, other)
        if kind.is_floating_point or kind.is_complex or kind is bool_:
            raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{kind.title}'")
        return record(operation, as_inputs(name, input, other), (kind,))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{text}, elementwise; integers only."
    public(method=True, inplace=True, out=True)(function)


_define_divisor("gcd", "The greatest common divisor")
_define_divisor("lcm", "The least common multiple")


@public(method=True, inplace=True, out=True)
def float_power(input: Any, exponent: Any) -> Tensor:
    """input ** exponent in double precision."""
    kind = common_dtype("float_power", input, exponent)
    wide = complex128 if kind.is_complex else float64
    base = input.to(wide) if isinstance(input, Tensor) else input
    power = exponent.to(wide) if isinstance(exponent, Tensor) else exponent
    return pow(base, power)


@public(method=True, inplace=True, out=True)
def true_divide(input: Operand, other: Operand) -> Tensor:
    """input / other."""
    return div(input, other)


@public(method=True, inplace=True, out=True)
def ldexp(input: Tensor, other: Tensor) -> Tensor:
    """input · 2 ** other."""
    _require_pair("ldexp", input, other)
    return mul(input, pow(2.0, other))


FREXP_RESULT = return_type("frexp", "mantissa", "exponent")


@host_function("frexp")
def _frexp_array(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    wide = x.astype(np.float32) if x.dtype.itemsize == 2 else x
    return np.frexp(wide)


def _frexp(x: Node) -> tuple[Node, Node]:
    results = ((x.shape, x.dtype), (x.shape, int32))
    mantissa, exponent = g.host("frexp", (x,), results)
    return mantissa, exponent


def _frexp_vjp(saved: Saved, ct: Node | None, _: Node | None) -> Grads:
    if ct is None:
        return (None,)
    exponent = g.cast(saved.outputs[1], ct.dtype)
    return (g.divide(ct, g.exp2(exponent)),)


FREXP = Operation("frexp", _frexp, vjp=_frexp_vjp, multiple=True)


@public(method=True, out=True)
def frexp(input: Tensor) -> Any:
    """(mantissa in [0.5, 1), exponent): input = mantissa · 2 ** exponent."""
    if not input.dtype.is_floating_point:
        raise RuntimeError(
            "torch.frexp() only supports floating-point dtypes, got " + str(input.dtype.title)
        )
    return FREXP_RESULT(*record(FREXP, (input,)))


# One operand --------------------------------------------------------------------------------------


def _sinc(x: Node) -> Node:
    kind = x.dtype
    x = g.cast(x, accumulation_dtype(kind))
    scaled = g.multiply(x, _like(x, math.pi))
    none = g.equal(x, _like(x, 0))
    return g.cast(g.where(none, _like(x, 1), g.divide(g.sin(scaled), scaled)), kind)


def _sinc_vjp(saved: Saved, ct: Node) -> Grads:
    kind = accumulation_dtype(saved.attributes[0])
    x, ct = g.cast(saved.inputs[0], kind), g.cast(ct, kind)
    scaled = g.multiply(x, _like(x, math.pi))
    slope = g.divide(
        g.subtract(g.multiply(scaled, g.cos(scaled)), g.sin(scaled)), g.multiply(scaled, x)
    )
    slope = g.where(g.equal(x, _like(x, 0)), _like(x, 0), slope)
    return (sum_back(g.multiply(ct, g.conjugate(slope)), saved.inputs[0]),)


SINC = function_operation("sinc", _sinc, saves="inputs", vjp=_sinc_vjp)


@public(method=True, inplace=True, out=True)
def sinc(input: Tensor) -> Tensor:
    """sin(pi·x) / (pi·x), 1 at 0."""
    return apply_function(SINC, input)


def _logit(x: Node, kind: dtype, eps: float | None) -> Node:
    x = g.cast(x, kind)
    if eps is not None:
        x = g.minimum(g.maximum(x, _like(x, eps)), _like(x, 1 - eps))
    return g.log(g.divide(x, g.subtract(_like(x, 1), x)))


def _logit_vjp(saved: Saved, ct: Node) -> Grads:
    """ct / (x·(1-x)) inside the limits; outside, 0 (with eps) or NaN."""
    kind, eps = saved.attributes
    x = g.cast(saved.inputs[0], kind)
    one = _like(x, 1)
    low = 0.0 if eps is None else eps
    outside = g.bitwise_or(g.less(x, _like(x, low)), g.greater(x, _like(x, 1 - low)))
    slope = g.divide(ct, g.multiply(x, g.subtract(one, x)))
    fill = g.like(ct, math.nan if eps is None else 0.0)
    return (sum_back(g.where(outside, fill, slope), saved.inputs[0]),)


LOGIT = Operation("logit", _logit, vjp=_logit_vjp, saves="inputs")


@public(method=True, inplace=True, out=True)
def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """log(x / (1 - x)), x first limited to [eps, 1 - eps] if eps is given."""
    return record(LOGIT, (input,), (float_dtype(input.dtype), eps))


def _nan_to_num(x: Node, nan: float, high: float, low: float) -> Node:
    if x.dtype.is_complex:
        parts = [_nan_to_num(part, nan, high, low) for part in (g.real(x), g.imaginary(x))]
        return g.complex_pair(*parts)
    if not x.dtype.is_floating_point:
        return x
    result = g.where(g.isnan(x), _like(x, nan), x)
    result = g.where(g.equal(x, _like(x, math.inf)), _like(x, high), result)
    return g.where(g.equal(x, _like(x, -math.inf)), _like(x, low), result)


NAN_TO_NUM = Operation("nan_to_num", _nan_to_num, saves="inputs")


@public(method=True, inplace=True, out=True)
def nan_to_num(
    input: Tensor,
    nan: float | None = None,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Tensor:
    """NaN and infinities replaced: by 0 and the largest finite numbers if not given."""
    kind = require_tensor("nan_to_num", "input", input).dtype.to_real()
    top = 0.0
    if kind.is_floating_point:
        top = _LARGEST[kind.name]
    high, low = top if posinf is None else posinf, -top if neginf is None else neginf
    return record(NAN_TO_NUM, (input,), (nan or 0.0, float(high), float(low)))


_LARGEST = {
    "float64": float(np.finfo(np.float64).max),
    "float32": float(np.finfo(np.float32).max),
    "float16": 65504.0,
    "bfloat16": 3.3895313892515355e38,
}


def _scaled_by(name: str, factor: float) -> Operation:
    return function_operation(
        name, lambda x: g.multiply(x, _like(x, factor)), saves="none", grad_name="MulBackward0"
    )


DEG2RAD = _scaled_by("deg2rad", math.pi / 180)
RAD2DEG = _scaled_by("rad2deg", 180 / math.pi)


@public(method=True, inplace=True, out=True)
def deg2rad(input: Tensor) -> Tensor:
    """Degrees in radians."""
    if input.dtype.is_complex:
        raise RuntimeError("deg2rad is not supported for complex tensors.")
    return apply_function(DEG2RAD, input)


@public(method=True, inplace=True, out=True)
def rad2deg(input: Tensor) -> Tensor:
    """Radians in degrees."""
    if input.dtype.is_complex:
        raise RuntimeError("rad2deg is not supported for complex tensors.")
    return apply_function(RAD2DEG, input)


def _entropy(x: Node) -> Node:
    inside = g.negative(g.multiply(x, g.log(x)))
    zero = _like(x, 0)
    result = g.where(g.equal(x, zero), zero, inside)
    result = g.where(g.less(x, zero), _like(x, -math.inf), result)
    return g.where(g.isnan(x), x, result)


def _entropy_vjp(saved: Saved, ct: Node) -> Grads:
    x = g.cast(saved.inputs[0], saved.attributes[0])
    slope = g.subtract(g.negative(g.log(x)), _like(x, 1))
    return (sum_back(g.multiply(ct, slope), saved.inputs[0]),)


ENTROPY = function_operation("entr", _entropy, saves="inputs", vjp=_entropy_vjp)


@public(namespace="special", out=True)
def entr(input: Tensor) -> Tensor:
    """-x·log(x), 0 at 0, -inf below."""
    return apply_function(ENTROPY, input)


@public("multigammaln", namespace="special", out=True)
def mvlgamma(input: Tensor, p: int) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension p (input > (p-1)/2)."""
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    steps = [input - 0.5 * k for k in range(p)]  # type: ignore[operator]
    total = pointwise.lgamma(steps[0])
    for step in steps[1:]:
        total = total + pointwise.lgamma(step)
    return total + p * (p - 1) / 4 * math.log(math.pi)


public(method=True, inplace=True, out=True)(mvlgamma)
