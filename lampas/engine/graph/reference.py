"""The reference tier: every primitive in NumPy, plainly.

`REFERENCE_RULES[op](arrays, *attributes) -> array` is the meaning of the primitive; the compiler is
tested against it.  Rules may return views of their inputs.  `evaluate(graph, leaves)` runs a whole
linear graph.  Half-precision sums and products accumulate in float32, as the compiled tier does.
"""

# pyright: basic
# NumPy's arrays of run-time dtypes have no types worth checking strictly.
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.dtype import bool_, complex64, dtype
from lampas.engine.graph import primitives as p
from lampas.engine.graph.host import HOST_FUNCTIONS
from lampas.engine.graph.reference_attention import ATTENTION_RULES
from lampas.engine.graph.reference_movement import MOVEMENT_RULES
from lampas.engine.graph.reference_recurrent import RECURRENT_RULES
from lampas.engine.graph.reference_windows import WINDOW_RULES
from lampas.engine.graph.special import (
    digamma,
    erf,
    erfc,
    erfinv,
    lgamma,
    normal_area,
    normal_power,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lampas.engine.graph.linear import LinearGraph

Array = np.ndarray
Arrays = list[np.ndarray]


def _unary(function: Callable[[Array], Array]) -> Callable[[Arrays], Array]:
    def rule(arrays: Arrays) -> Array:
        x = arrays[0]
        result = np.asarray(function(x))
        return result if result.dtype == x.dtype else result.astype(x.dtype)

    return rule


def _binary(function: Callable[[Array, Array], Array]) -> Callable[[Arrays], Array]:
    def rule(arrays: Arrays) -> Array:
        a, b = arrays
        result = np.asarray(function(a, b))
        return result if result.dtype == a.dtype else result.astype(a.dtype)

    return rule


def _compare(function: Callable[[Array, Array], Array]) -> Callable[[Arrays], Array]:
    return lambda arrays: np.asarray(function(arrays[0], arrays[1]), dtype=bool)


def _sign(x: Array) -> Array:
    if x.dtype.kind != "c":
        return np.greater(x, 0).astype(x.dtype) - np.less(x, 0).astype(x.dtype)
    magnitude = np.abs(x)
    return np.where(magnitude == 0, 0, x / np.where(magnitude == 0, 1, magnitude))


def _sigmoid(x: Array) -> Array:
    if x.dtype.kind == "c":
        return 1 / (1 + np.exp(-x))
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def _round(x: Array) -> Array:
    return np.rint(x) if x.dtype.kind not in "iub" else x


def _bitwise_not(x: Array) -> Array:
    return np.invert(x)


def _cast(arrays: Arrays, target: dtype) -> Array:
    x = arrays[0]
    if target is bool_:
        return x != 0
    if x.dtype.kind == "c" and not target.is_complex:
        x = np.real(x)
    if x.dtype.kind not in "iubc" and target.kind in ("signed", "unsigned"):
        return _float_to_integer(x, target)
    if target is complex64 and x.dtype.kind not in "c":
        x = x.astype(np.float32)
    return x.astype(target.numpy)


def _float_to_integer(x: Array, target: dtype) -> Array:
    """Through int64, as the processor converts; what does not fit gives the smallest int64."""
    wide = x.astype(np.float64)
    fits = np.abs(wide) < 2.0**63
    whole = np.where(fits, wide, 0).astype(np.int64)
    whole = np.where(fits, whole, np.iinfo(np.int64).min)
    if target.itemsize >= 4 and target.is_signed and target.itemsize < 8:
        inside = (wide > -(2.0**31) - 1) & (wide < 2.0**31)
        whole = np.where(inside, whole, np.iinfo(np.int32).min)
    return whole.astype(target.numpy)


def _floor_divide(a: Array, b: Array) -> Array:
    if a.dtype.kind in "iu":
        return np.floor_divide(a, np.where(b == 0, 1, b)) if not b.all() else a // b
    rest = np.fmod(a, b)
    quotient = (a - rest) / b
    quotient = np.where((rest != 0) & ((rest < 0) != (b < 0)), quotient - 1, quotient)
    nearest = np.floor(quotient)
    nearest = np.where(quotient - nearest > 0.5, nearest + 1, nearest)
    nearest = np.where(quotient == 0, np.copysign(np.zeros_like(a), a / b), nearest)
    return np.where(b == 0, a / b, nearest)


def _remainder(a: Array, b: Array) -> Array:
    if a.dtype.kind in "iu":
        return np.where(b == 0, 0, np.remainder(a, np.where(b == 0, 1, b)))
    rest = np.fmod(a, b)
    return np.where((rest != 0) & ((rest < 0) != (b < 0)), rest + b, rest)


def _fmod(a: Array, b: Array) -> Array:
    if a.dtype.kind in "iu":
        return np.where(b == 0, 0, np.fmod(a, np.where(b == 0, 1, b)))
    return np.fmod(a, b)


def _power(a: Array, b: Array) -> Array:
    if a.dtype.kind not in "iu":
        return np.power(a, b)
    # Negative exponents of integers: 1/a truncated, which is 0 except for a = ±1.
    positive = np.power(a, np.where(b < 0, 0, b))
    odd = np.where((b & 1) == 1, a, 1)
    return np.where(b < 0, np.where(np.abs(a) == 1, odd, 0), positive)


def _shift(function: Callable[[Array, Array], Array], left: bool) -> Callable[[Arrays], Array]:
    def rule(arrays: Arrays) -> Array:
        a, b = arrays
        bits = a.dtype.itemsize * 8
        outside = (b < 0) | (b >= bits)
        inside = function(a, np.where(outside, 0, b))
        beyond = np.zeros_like(a) if left or a.dtype.kind == "u" else np.where(a < 0, -1, 0)
        return np.where(outside, beyond, inside).astype(a.dtype)

    return rule


def _complex(arrays: Arrays) -> Array:
    real, imaginary = np.broadcast_arrays(*arrays)
    kind = np.complex64 if real.dtype.itemsize <= 4 else np.complex128
    result = np.empty(real.shape, kind)
    result.real, result.imag = real, imaginary
    return result


def _wide(x: Array) -> Array:
    """Half types widened: their sums and products accumulate in float32."""
    return x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x


def _sum(arrays: Arrays, dims: tuple[int, ...]) -> Array:
    x = arrays[0]
    return np.sum(_wide(x), axis=dims, keepdims=True, dtype=_wide(x[:0]).dtype).astype(x.dtype)


def _prod(arrays: Arrays, dims: tuple[int, ...]) -> Array:
    x = arrays[0]
    return np.prod(_wide(x), axis=dims, keepdims=True, dtype=_wide(x[:0]).dtype).astype(x.dtype)


def _extreme(function: Callable[..., Array], largest: bool) -> Callable[..., Array]:
    def rule(arrays: Arrays, dims: tuple[int, ...]) -> Array:
        x = arrays[0]
        if all(x.shape[d] for d in dims):
            return np.asarray(function(x, axis=dims, keepdims=True))
        shape = tuple(1 if d in dims else n for d, n in enumerate(x.shape))
        return np.full(shape, extreme_value(x.dtype, not largest), x.dtype)

    return rule


def extreme_value(kind: np.dtype, largest: bool) -> Any:
    """The value that any other of its dtype replaces in a minimum (or maximum)."""
    if kind.kind == "b":
        return largest
    if kind.kind in "iu":
        return np.iinfo(kind).max if largest else np.iinfo(kind).min
    return np.inf if largest else -np.inf


def _arg_extreme(function: Callable[..., Array]) -> Callable[..., Array]:
    def rule(arrays: Arrays, dims: tuple[int, ...]) -> Array:
        x = _wide(arrays[0])  # ml_dtypes has no arg-functions that honour NaN
        return np.asarray(function(x, axis=dims[0], keepdims=True), dtype=np.int64)

    return rule


def _matmul(arrays: Arrays) -> Array:
    a, b = arrays
    if a.dtype.kind == "b":
        return np.matmul(a, b)
    return np.matmul(_wide(a), _wide(b)).astype(a.dtype)


def _output(arrays: Arrays, position: int) -> Array:
    return arrays[0][position]


def _host(arrays: Arrays, name: str, parameters: tuple[Any, ...], results: Any) -> Any:
    found = HOST_FUNCTIONS[name](*arrays, *parameters)
    values = found if isinstance(found, tuple) else (found,)
    return [
        np.asarray(value, dtype=kind.numpy).reshape(shape)
        for value, (shape, kind) in zip(values, results, strict=True)
    ]


REFERENCE_RULES: dict[p.Primitive, Callable[..., Any]] = {
    p.IOTA: lambda arrays, length: np.arange(length, dtype=np.int64),
    p.NEGATIVE: _unary(np.negative),
    p.ABSOLUTE: lambda arrays: np.abs(arrays[0]),
    p.SIGN: _unary(_sign),
    p.FLOOR: _unary(np.floor),
    p.CEIL: _unary(np.ceil),
    p.TRUNC: _unary(np.trunc),
    p.ROUND: _unary(_round),
    p.EXP: _unary(np.exp),
    p.EXP2: _unary(np.exp2),
    p.EXPM1: _unary(np.expm1),
    p.LOG: _unary(np.log),
    p.LOG2: _unary(np.log2),
    p.LOG10: _unary(np.log10),
    p.LOG1P: _unary(np.log1p),
    p.SQRT: _unary(np.sqrt),
    p.RSQRT: _unary(lambda x: 1 / np.sqrt(x)),
    p.RECIPROCAL: _unary(lambda x: 1 / x),
    p.SIN: _unary(np.sin),
    p.COS: _unary(np.cos),
    p.TAN: _unary(np.tan),
    p.ASIN: _unary(np.arcsin),
    p.ACOS: _unary(np.arccos),
    p.ATAN: _unary(np.arctan),
    p.SINH: _unary(np.sinh),
    p.COSH: _unary(np.cosh),
    p.TANH: _unary(np.tanh),
    p.ASINH: _unary(np.arcsinh),
    p.ACOSH: _unary(np.arccosh),
    p.ATANH: _unary(np.arctanh),
    p.ERF: _unary(erf),
    p.ERFC: _unary(erfc),
    p.ERFINV: _unary(erfinv),
    p.NORMAL_AREA: _unary(normal_area),
    p.NORMAL_POWER: _unary(normal_power),
    p.LGAMMA: _unary(lgamma),
    p.DIGAMMA: _unary(digamma),
    p.SIGMOID: _unary(_sigmoid),
    p.CONJUGATE: _unary(np.conjugate),
    p.BITWISE_NOT: _unary(_bitwise_not),
    p.LOGICAL_NOT: lambda arrays: arrays[0] == 0,
    p.ISNAN: lambda arrays: (
        np.isnan(arrays[0])
        if arrays[0].dtype.kind not in "iub"
        else np.zeros(arrays[0].shape, bool)
    ),
    p.ISINF: lambda arrays: (
        np.isinf(arrays[0])
        if arrays[0].dtype.kind not in "iub"
        else np.zeros(arrays[0].shape, bool)
    ),
    p.CAST: _cast,
    p.BITCAST: lambda arrays, target: (
        np.ascontiguousarray(arrays[0]).view(target.numpy).reshape(arrays[0].shape)
    ),
    p.REAL: lambda arrays: arrays[0].real,
    p.IMAGINARY: lambda arrays: arrays[0].imag,
    p.ADD: _binary(np.add),
    p.SUBTRACT: _binary(np.subtract),
    p.MULTIPLY: _binary(np.multiply),
    p.DIVIDE: _binary(np.true_divide),
    p.FLOOR_DIVIDE: _binary(_floor_divide),
    p.REMAINDER: _binary(_remainder),
    p.FMOD: _binary(_fmod),
    p.POWER: _binary(_power),
    p.ATAN2: _binary(np.arctan2),
    p.MAXIMUM: _binary(np.maximum),
    p.MINIMUM: _binary(np.minimum),
    p.COPYSIGN: _binary(np.copysign),
    p.NEXTAFTER: _binary(np.nextafter),
    p.COMPLEX: _complex,
    p.BITWISE_AND: _binary(np.bitwise_and),
    p.BITWISE_OR: _binary(np.bitwise_or),
    p.BITWISE_XOR: _binary(np.bitwise_xor),
    p.SHIFT_LEFT: _shift(np.left_shift, True),
    p.SHIFT_RIGHT: _shift(np.right_shift, False),
    p.EQUAL: _compare(np.equal),
    p.NOT_EQUAL: _compare(np.not_equal),
    p.LESS: _compare(np.less),
    p.LESS_EQUAL: _compare(np.less_equal),
    p.GREATER: _compare(np.greater),
    p.GREATER_EQUAL: _compare(np.greater_equal),
    p.WHERE: lambda arrays: np.where(*arrays),
    p.SUM: _sum,
    p.PROD: _prod,
    p.MAX: _extreme(np.max, True),
    p.MIN: _extreme(np.min, False),
    p.ARGMAX: _arg_extreme(np.argmax),
    p.ARGMIN: _arg_extreme(np.argmin),
    p.MATMUL: _matmul,
    p.HOST: _host,
    p.OUTPUT: _output,
    **MOVEMENT_RULES,
    **WINDOW_RULES,
    **ATTENTION_RULES,
    **RECURRENT_RULES,
}


def evaluate(graph: LinearGraph, leaves: Sequence[Array]) -> list[Array]:
    """The arrays of `graph.outputs`; `leaves` are the arrays of `graph.leaves` in order.

    Values are dropped after their last use.
    """
    values: list[Any] = [None] * len(graph.entries)
    for number, array in zip(graph.leaves, leaves, strict=True):
        values[number] = array
    last_use = _last_uses(graph)
    with np.errstate(all="ignore"):
        for number, entry in enumerate(graph.entries):
            if entry.op is p.CONSTANT:
                values[number] = np.asarray(entry.attributes[0], dtype=entry.dtype.numpy)
            elif values[number] is None:
                arrays = [values[source] for source in entry.sources]
                values[number] = REFERENCE_RULES[entry.op](arrays, *entry.attributes)
            for source in entry.sources:
                if last_use[source] == number:
                    values[source] = None
    return [values[number] for number in graph.outputs]


def _last_uses(graph: LinearGraph) -> list[int]:
    last_use = [-1] * len(graph.entries)
    for number, entry in enumerate(graph.entries):
        for source in entry.sources:
            last_use[source] = number
    for number in graph.outputs:
        last_use[number] = len(graph.entries)
    return last_use
