"""Pointwise activations and the softmax family.

Branches are chosen with `where`, and the branch that is not taken sees a harmless value: so an
overflow there cannot turn a gradient into NaN.
"""

from __future__ import annotations

import math
from typing import Any

from lampas.engine.derive.operation import Operation
from lampas.engine.tensor import Tensor, empty_like, prelu, where, zeros_like
from lampas.engine.tensor import neural_activation as operations
from lampas.engine.tensor.declare import overwrite
from lampas.engine.tensor.door import record
from lampas.engine.tensor.neural_activation import need_float
from lampas.engine.tensor.sampling import leaky_slopes
from lampas.nn.functional.precision import writes_out

__all__ = [
    "celu", "celu_", "elu", "elu_", "gelu", "glu", "gumbel_softmax", "hardshrink", "hardsigmoid",
    "hardswish", "hardtanh", "hardtanh_", "leaky_relu", "leaky_relu_", "log_softmax", "logsigmoid",
    "mish", "prelu", "relu", "relu6", "relu_", "rrelu", "rrelu_", "selu", "selu_", "sigmoid",
    "silu", "softmax", "softmin", "softplus", "softshrink", "softsign", "tanh", "tanhshrink",
    "threshold", "threshold_",
]  # fmt: skip


def _apply(operation: Operation, input: Tensor, inplace: bool, *attributes: Any) -> Tensor:
    """The operation's result, or the input overwritten with it."""
    result = record(operation, (need_float(operation.name, input),), attributes)
    return overwrite(input, result, f"{operation.name}_") if inplace else result


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(0, x), elementwise; NaN stays NaN.

    >>> relu(tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    return input.relu_() if inplace else input.relu()


def relu_(input: Tensor) -> Tensor:
    """`relu` written into its input."""
    return input.relu_()


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where x > threshold, else `value`; NaN stays NaN."""
    result = record(operations.THRESHOLD, (input,), (threshold, value))
    return overwrite(input, result, "threshold_") if inplace else result


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """`threshold` written into its input."""
    return overwrite(
        input, record(operations.THRESHOLD, (input,), (threshold, value)), "threshold_"
    )


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(0, x), 6)."""
    return hardtanh(input, 0.0, 6.0, inplace)


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """x held between `min_val` and `max_val`; the gradient is zero at and beyond the bounds."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    if not input.dtype.is_signed and min_val < 0:
        raise RuntimeError("cannot do hardtanh on an unsigned type with negative limits")
    result = record(operations.HARDTANH, (input,), (min_val, max_val))
    return overwrite(input, result, "hardtanh_") if inplace else result


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """`hardtanh` written into its input."""
    return hardtanh(input, min_val, max_val, True)


def _exponential_unit(input: Tensor, alpha: float, scale: float, rate: float) -> Tensor:
    """scale·x for x > 0, else scale·alpha·(exp(rate·x) − 1)."""
    positive = input > 0
    below = where(positive, zeros_like(input), input)
    curved = (below * rate).expm1() * (alpha * scale)
    return where(positive, input * scale if scale != 1 else input, curved)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x for x > 0, else alpha·(exp(x) − 1) (Clevert et al., 2016)."""
    return _apply(operations.ELU, input, inplace, alpha, 1.0, 1.0)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`elu` written into its input."""
    return elu(input, alpha, True)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """The self-normalising unit of Klambauer et al. (2017)."""
    return _apply(operations.ELU, input, inplace, operations.SELU_ALPHA, operations.SELU_SCALE, 1.0)


def selu_(input: Tensor) -> Tensor:
    """`selu` written into its input."""
    return selu(input, True)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """max(0, x) + min(0, alpha·(exp(x/alpha) − 1)) (Barron, 2017)."""
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return _apply(operations.CELU, input, inplace, alpha, 1.0, 1.0 / alpha)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`celu` written into its input."""
    return celu(input, alpha, True)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x for x > 0, else negative_slope·x."""
    return _apply(operations.LEAKY_RELU, input, inplace, float(negative_slope))


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """`leaky_relu` written into its input."""
    return leaky_relu(input, negative_slope, True)


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """Leaky ReLU whose slope is drawn from U(lower, upper) in training, else their mean."""
    if not (math.isfinite(lower) and math.isfinite(upper)) or lower > upper:
        raise RuntimeError("Lower bound should be less than or equal to the upper bound")
    need_float("rrelu", input)
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    result = input * leaky_slopes(input, lower, upper)
    return overwrite(input, result, "rrelu_") if inplace else result


def rrelu_(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False
) -> Tensor:
    """`rrelu` written into its input."""
    return rrelu(input, lower, upper, training, True)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a·sigmoid(b), where a and b are the halves of `input` along `dim`."""
    if input.dim() == 0:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    size = input.size(dim)
    if size % 2:
        place = dim % input.dim()
        raise RuntimeError(f"Halving dimension must be even, but dimension {place} is size {size}")
    return _apply(operations.GLU, input, False, dim % input.dim())


@writes_out
def logsigmoid(input: Tensor) -> Tensor:
    """log(sigmoid(x)), without overflow: min(x, 0) − log1p(exp(−|x|))."""
    return _apply(operations.LOG_SIGMOID, input, False)


@writes_out
def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x·Φ(x) (Hendrycks & Gimpel, 2016), exactly through erf or by the tanh formula."""
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    return _apply(operations.GELU, input, False, approximate)


@writes_out
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x where |x| > lambd, else 0."""
    return _apply(operations.HARDSHRINK, input, False, float(lambd))


@writes_out
def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved towards 0 by lambd, and 0 where |x| ≤ lambd."""
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd}.")
    return _apply(operations.SOFTSHRINK, input, False, float(lambd))


def tanhshrink(input: Tensor) -> Tensor:
    """x − tanh(x)."""
    return input - input.tanh()


def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    return input / (input.abs() + 1)


@writes_out
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta·x))/beta, and x itself where beta·x > threshold."""
    return _apply(operations.SOFTPLUS, input, False, float(beta), float(threshold))


def tanh(input: Tensor) -> Tensor:
    """Hyperbolic tangent."""
    return input.tanh()


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(−x))."""
    return input.sigmoid()


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """x/6 + 1/2, held between 0 and 1."""
    return _apply(operations.HARDSIGMOID, input, inplace)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x·hardsigmoid(x) (Howard et al., 2019)."""
    return _apply(operations.HARDSWISH, input, inplace)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x·sigmoid(x)."""
    return _apply(operations.SILU, input, inplace)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x·tanh(softplus(x)) (Misra, 2019)."""
    return _apply(operations.MISH, input, inplace)


def _implicit_dim(ndim: int) -> int:
    """The dimension that PyTorch chose before `dim` became explicit."""
    return 0 if ndim in (0, 1, 3) else 1


def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """exp(x) / Σ exp(x) along `dim`, computed from x − max(x).

    `dtype` casts the input first. Raises IndexError for a dimension out of range.
    """
    dim = _implicit_dim(input.dim()) if dim is None else dim
    return input.softmax(dim) if dtype is None else input.softmax(dim, dtype=dtype)


def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """softmax of −x."""
    return softmax(-input, dim, _stacklevel, dtype)


def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None
) -> Tensor:
    """log(softmax(x)) along `dim`, without forming the quotient."""
    dim = _implicit_dim(input.dim()) if dim is None else dim
    return input.log_softmax(dim) if dtype is None else input.log_softmax(dim, dtype=dtype)


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """A sample of the Gumbel-softmax distribution (Jang et al., 2017).

    `hard` gives one-hot vectors forward and the soft sample's gradient backward.
    """
    gumbel = -empty_like(logits, requires_grad=False).exponential_().log()
    soft = softmax((logits + gumbel) / tau, dim)
    if not hard:
        return soft
    index = soft.detach().argmax(dim, keepdim=True)
    one_hot = zeros_like(soft, requires_grad=False).scatter(dim, index, 1.0)
    return one_hot - soft.detach() + soft
