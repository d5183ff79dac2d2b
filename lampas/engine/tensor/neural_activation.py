"""Activations and the softmax family as operations.

Where a branch is not taken its argument is replaced by a harmless one, so that an overflow there
cannot make a gradient NaN. Which side of a kink the gradient takes is PyTorch's choice.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.derive.pullback import pull_back
from lampas.engine.dtype import bool_
from lampas.engine.graph import build as g
from lampas.engine.tensor.conversion import cast
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.dimensions import one_dim
from lampas.engine.tensor.door import record
from lampas.engine.tensor.neural_precision import function_of_one, wide
from lampas.engine.tensor.operands import require_tensor

if TYPE_CHECKING:
    from lampas.engine.graph.node import Node

Grads = tuple["Node | None", ...]
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946
GELU_CUBIC = 0.044715


def scaled(x: Node, factor: float) -> Node:
    """x times a constant."""
    return x if factor == 1 else g.multiply(x, g.like(x, factor))


def _choose(condition: Node, a: Node | float, b: Node | float, like: Node) -> Node:
    first = g.like(like, a) if isinstance(a, int | float) else a
    second = g.like(like, b) if isinstance(b, int | float) else b
    return g.where(condition, first, second)


# Rectifiers ---------------------------------------------------------------------------------------


def _relu(x: Node) -> Node:
    return g.maximum(x, g.like(x, 0))


def _relu_vjp(saved: Saved, ct: Node) -> Grads:
    """NaN is not ≤ 0: it lets the cotangent through."""
    y = saved.output
    return (g.where(g.less_equal(y, g.like(y, 0)), g.like(ct, 0), ct),)


RELU = Operation("relu", _relu, vjp=_relu_vjp)


def _leaky_relu(x: Node, slope: float) -> Node:
    return g.where(g.greater(x, g.like(x, 0)), x, scaled(x, slope))


def _threshold(x: Node, threshold: float, value: float) -> Node:
    return _choose(g.less_equal(x, g.like(x, threshold)), value, x, x)


def _hardtanh(x: Node, low: float, high: float) -> Node:
    held = _choose(g.less_equal(x, g.like(x, low)), low, x, x)
    return _choose(g.greater_equal(held, g.like(x, high)), high, held, x)


def _exponential_unit(x: Node, alpha: float, scale: float, rate: float) -> Node:
    """scale·x for x > 0, else scale·alpha·(exp(rate·x) − 1)."""
    positive = g.greater(x, g.like(x, 0))
    below = _choose(positive, 0, x, x)
    curved = scaled(g.expm1(scaled(below, rate)), alpha * scale)
    return g.where(positive, scaled(x, scale), curved)


def _hardsigmoid(x: Node) -> Node:
    return scaled(_hardtanh(g.add(x, g.like(x, 3)), 0, 6), 1 / 6)


def _hardswish(x: Node) -> Node:
    middle = g.multiply(x, scaled(g.add(x, g.like(x, 3)), 1 / 6))
    low = _choose(g.less_equal(x, g.like(x, -3)), 0, middle, x)
    return g.where(g.greater_equal(x, g.like(x, 3)), x, low)


def _hardshrink(x: Node, limit: float) -> Node:
    inside = g.bitwise_and(g.greater_equal(x, g.like(x, -limit)), g.less_equal(x, g.like(x, limit)))
    return _choose(inside, 0, x, x)


def _softshrink(x: Node, limit: float) -> Node:
    low = _choose(g.less(x, g.like(x, -limit)), g.add(x, g.like(x, limit)), scaled(x, 0), x)
    return g.where(g.greater(x, g.like(x, limit)), g.subtract(x, g.like(x, limit)), low)


LEAKY_RELU = function_of_one("leaky_relu", _leaky_relu, saves="inputs")
THRESHOLD = Operation("threshold", _threshold, saves="inputs")
HARDTANH = Operation("hardtanh", _hardtanh, saves="inputs")
ELU = function_of_one("elu", _exponential_unit, saves="inputs")
CELU = function_of_one("celu", _exponential_unit, saves="inputs")
HARDSIGMOID = function_of_one("hardsigmoid", _hardsigmoid, saves="inputs")
HARDSWISH = function_of_one("hardswish", _hardswish, saves="inputs")
HARDSHRINK = function_of_one("hardshrink", _hardshrink, saves="inputs")
SOFTSHRINK = function_of_one("softshrink", _softshrink, saves="inputs")

# Smooth ones --------------------------------------------------------------------------------------


def _gelu(x: Node, approximate: str) -> Node:
    if approximate != "tanh":
        return g.multiply(x, g.normal_area(x))
    cube = g.multiply(g.multiply(x, x), x)
    inner = scaled(g.add(x, scaled(cube, GELU_CUBIC)), math.sqrt(2 / math.pi))
    return g.multiply(scaled(x, 0.5), g.add(g.tanh(inner), g.like(x, 1)))


def _gelu_vjp(saved: Saved, ct: Node) -> Grads:
    """ct·(Φ(x) + x·φ(x)), the slope from x alone: it is made beside the result, and one number an element is kept."""
    value, (approximate,) = wide(saved.inputs[0]), saved.attributes
    if approximate == "tanh":
        (slope,) = pull_back(
            (_gelu(value, "tanh"),), (g.full(value.shape, 1, value.dtype),), (value,), (True,)
        )
        assert slope is not None
    else:
        density = scaled(g.normal_power(value), 1 / math.sqrt(2 * math.pi))
        slope = g.add(g.normal_area(value), g.multiply(value, density))
    return (g.cast(g.multiply(wide(ct), slope), saved.inputs[0].dtype),)


def _silu(x: Node) -> Node:
    if x.dtype.is_complex:
        return g.divide(x, g.add(g.exp(g.negative(x)), g.like(x, 1)))
    return g.multiply(x, g.sigmoid(x))


def _softplus(x: Node, beta: float, threshold: float) -> Node:
    inner = scaled(x, beta)
    linear = g.greater(inner, g.like(x, threshold))
    curved = scaled(g.log1p(g.exp(_choose(linear, 0, inner, x))), 1 / beta)
    return g.where(linear, x, curved)


def _mish(x: Node) -> Node:
    return g.multiply(x, g.tanh(_softplus(x, 1.0, 20.0)))


def log_sigmoid_node(x: Node) -> Node:
    """log(sigmoid(x)) = min(x, 0) − log1p(exp(−|x|))."""
    negative = g.less(x, g.like(x, 0))
    low = _choose(negative, x, 0, x)
    size = g.where(negative, x, g.negative(x))
    return g.subtract(low, g.log1p(g.exp(size)))


def _softsign(x: Node) -> Node:
    return g.divide(x, g.add(g.absolute(x), g.like(x, 1)))


def _glu(x: Node, dim: int) -> Node:
    half = x.shape[dim] // 2
    gate = g.sigmoid(g.narrow(x, dim, half, half))
    return g.multiply(g.narrow(x, dim, 0, half), gate)


GELU = function_of_one("gelu", _gelu, vjp=_gelu_vjp, saves="inputs")
SILU = function_of_one("silu", _silu, saves="inputs")
SOFTPLUS = function_of_one("softplus", _softplus, saves="inputs")
MISH = function_of_one("mish", _mish, saves="inputs")
LOG_SIGMOID = function_of_one("log_sigmoid", log_sigmoid_node, saves="inputs")
SOFTSIGN = function_of_one("softsign", _softsign, "DivBackward0", saves="inputs")
GLU = function_of_one("glu", _glu, saves="inputs")

# Softmax ------------------------------------------------------------------------------------------


def _shifted(x: Node, dim: int) -> Node:
    return g.subtract(x, g.max_dims(x, (dim,)))


def softmax_node(x: Node, dim: int) -> Node:
    """exp(x − max) / Σ exp(x − max), by one reciprocal a row: divisions would take a third of the time."""
    raised = g.exp(_shifted(x, dim))
    return g.multiply(raised, g.reciprocal(g.sum_dims(raised, (dim,))))


def log_softmax_node(x: Node, dim: int) -> Node:
    """x − max − log Σ exp(x − max)."""
    shifted = _shifted(x, dim)
    return g.subtract(shifted, g.log(g.sum_dims(g.exp(shifted), (dim,))))


def _softmax(x: Node, dim: int) -> Node:
    if x.numel == 0:
        return g.exp(x)
    if not x.shape:
        return g.reshape(softmax_node(g.reshape(x, (1,)), 0), ())
    return softmax_node(x, dim)


def _log_softmax(x: Node, dim: int) -> Node:
    if x.numel == 0:
        return g.exp(x)
    if not x.shape:
        return g.reshape(log_softmax_node(g.reshape(x, (1,)), 0), ())
    return log_softmax_node(x, dim)


def _over(x: Node, dim: int) -> Node:
    return g.sum_dims(x, (dim,)) if x.shape else x


def _softmax_vjp(saved: Saved, ct: Node) -> Grads:
    y, dim = wide(saved.output), saved.attributes[0]
    ct = wide(ct)
    flow = g.multiply(ct, y)
    flow = g.subtract(flow, g.multiply(y, _over(flow, dim)))
    return (g.cast(flow, saved.output.dtype),)


def _log_softmax_vjp(saved: Saved, ct: Node) -> Grads:
    y, dim = wide(saved.output), saved.attributes[0]
    ct = wide(ct)
    flow = g.subtract(ct, g.multiply(g.exp(y), _over(ct, dim)))
    return (g.cast(flow, saved.output.dtype),)


SOFTMAX = function_of_one("softmax", _softmax, vjp=_softmax_vjp)
LOG_SOFTMAX = function_of_one("log_softmax", _log_softmax, vjp=_log_softmax_vjp)

# Public functions ---------------------------------------------------------------------------------


def need_float(name: str, input: Tensor) -> Tensor:
    """RuntimeError unless the tensor is floating or complex."""
    kind = require_tensor(name, "input", input)._node.dtype
    if not (kind.is_floating_point or kind.is_complex):
        raise RuntimeError(f"\"{name}_cpu\" not implemented for '{kind.title}'")
    return input


@public(method=True, inplace=True)
def relu(input: Tensor) -> Tensor:
    """max(0, input); NaN stays NaN."""
    if require_tensor("relu", "input", input)._node.dtype is bool_:
        raise RuntimeError("Boolean inputs not supported for relu")
    return record(RELU, (input,))


def _softmax_input(name: str, input: Tensor, dim: int, dtype: Any) -> tuple[Tensor, int]:
    require_tensor(name, "input", input)
    if dtype is not None and dtype is not input._node.dtype:
        input = cast(input, dtype)
    place = one_dim(name, dim, len(input._shape))
    kind = input._node.dtype
    if not (kind.is_floating_point or kind.is_complex):
        raise RuntimeError(f"\"{name}_kernel_impl\" not implemented for '{kind.title}'")
    return input, place


@public(method=True, out=True)
def softmax(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """exp(input) / Σ exp(input) along `dim`; `dtype` casts the input first."""
    input, place = _softmax_input("softmax", input, dim, dtype)
    return record(SOFTMAX, (input,), (place,))


@public(method=True, out=True)
def log_softmax(input: Tensor, dim: int, dtype: Any = None) -> Tensor:
    """log(softmax(input)) along `dim`."""
    input, place = _softmax_input("log_softmax", input, dim, dtype)
    return record(LOG_SOFTMAX, (input,), (place,))


@public(method=True, out=True)
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """input where |input| > lambd, else 0."""
    limit = float(np.asarray(lambd).astype(need_float("hardshrink", input).dtype.numpy))
    return record(HARDSHRINK, (input,), (limit,))


def _prelu(x: Node, weight: Node, shape: tuple[int, ...]) -> Node:
    value = wide(x)
    slope = g.reshape(wide(weight), shape)
    below = g.multiply(value, slope)
    return g.cast(g.where(g.greater(value, g.like(value, 0)), value, below), x.dtype)


PRELU = Operation("prelu", _prelu, grad_name="PreluKernelBackward0", saves="inputs")


@public(method=True)
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """input where it is positive, else weight·input; one weight, or one per channel (dimension 1).

    Raises RuntimeError for dtypes that differ or a weight that does not fit.
    """
    shape, slopes = require_tensor("prelu", "input", input)._shape, weight._shape
    if len(slopes) > 1:
        raise RuntimeError(
            f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {len(slopes)}"
        )
    if input.dtype is not weight.dtype:
        raise RuntimeError("prelu: Type promoting not supported.")
    count = slopes[0] if slopes else 1
    if count != 1:
        if not shape:
            raise RuntimeError("prelu: Not allow zero-dim input tensor.")
        channels = shape[1] if len(shape) > 1 else 1
        if channels != count:
            raise RuntimeError(
                "Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                f"{count} and channel size = {channels}."
            )
    view = (count, *(1,) * (len(shape) - 2)) if len(shape) > 1 else (1,) * len(shape)
    return record(PRELU, (input, weight), (view,))
