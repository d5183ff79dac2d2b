"""The table of vector functions: name -> a writer of LLVM IR for float and double of any width.

Largest errors in units in the last place, measured on every 256th float (all of them finite, denormal, infinite
or NaN alike) and on 700,000 doubles; `libm` calls the C library once a lane:

    function  float double    function  float double    function  float double
    exp       1.02  0.98      tanh      1.29  2.43      asin      0.51  2.11
    exp2      1.03  1.03      sigmoid   2.21  2.21      acos      0.51  1.15
    expm1     1.51  1.96      sinh      0.51  2.31      atan      0.51  1.82
    log       0.82  0.82      cosh      0.51  2.02      atan2     0.51  2.5
    log2      1.06  1.08      sin       1.56  2.22      asinh     0.51  1.70
    log10     0.85  2.15      cos       1.54  2.10      acosh     0.51  2.0
    log1p     1.40  1.35      tan       0.51  3.60      atanh     0.51  1.93
    erf       0.98  1.27      erfc      0.51  4.8       erfinv    0.51  4
    lgamma    0.51  3.3 **    digamma   0.51  *         power     0.51  libm
    rsqrt     1.44  1.5       sqrt, reciprocal, division, fmod and nextafter are rounded correctly

normal_area of floats is within 3·2^-24 (double: 2·2^-53), normal_power within 2·(1 + x²) units: the square costs digits.
(*) relative to max(|result|, 1), (**) left of -1/2 within 4 units of that too. The rare functions of float are computed
in double and rounded, which leaves little more than half a unit. Targets without fused multiply-add lose up to one unit more.
"""

from __future__ import annotations

from collections.abc import Callable

from lampas.engine.llvm import vector_math_exponential as exponential
from lampas.engine.llvm import vector_math_special as special
from lampas.engine.llvm import vector_math_trigonometric as trigonometric
from lampas.engine.llvm import vector_math_wide as wide
from lampas.engine.llvm.text import Builder, Value
from lampas.engine.llvm.vector_math_parts import call_lanes, is_single, like

Writer = Callable[[Builder, list[Value]], Value]
Function = Callable[..., Value]

__all__ = ["VECTOR_MATH", "call_lanes"]


def direct(function: Function) -> Writer:
    """Use a function for float and double alike."""
    return lambda b, values: function(b, *values)


def in_double(single: Function, double: Function | None = None) -> Writer:
    """Compute float in double by `single` and round; double by `double`, or the same."""

    def write(b: Builder, values: list[Value]) -> Value:
        if not is_single(values[0]):
            return (double or single)(b, *values)
        wide = [b.cast("fpext", value, like(value, "double")) for value in values]
        return b.cast("fptrunc", single(b, *wide), values[0].type)

    return write


def from_libm(name: str) -> Function:
    def call(b: Builder, *values: Value) -> Value:
        return call_lanes(b, name, list(values))

    return call


# fmt: off
VECTOR_MATH: dict[str, Writer] = {
    "exp": direct(exponential.exp), "exp2": direct(exponential.exp2), "expm1": direct(exponential.expm1),
    "log": direct(exponential.log), "log2": direct(exponential.log2), "log10": direct(exponential.log10),
    "log1p": direct(exponential.log1p), "tanh": direct(exponential.tanh),
    "sigmoid": direct(exponential.sigmoid), "sinh": in_double(wide.sinh, exponential.sinh),
    "cosh": in_double(wide.cosh, exponential.cosh), "sin": direct(trigonometric.sin), "cos": direct(trigonometric.cos),
    "tan": in_double(trigonometric.tan), "asin": in_double(trigonometric.asin),
    "acos": in_double(trigonometric.acos), "atan": in_double(wide.atan, trigonometric.atan),
    "atan2": in_double(wide.atan2, trigonometric.atan2), "asinh": in_double(wide.asinh, trigonometric.asinh),
    "acosh": in_double(wide.acosh, trigonometric.acosh), "atanh": in_double(wide.atanh, trigonometric.atanh),
    "erf": direct(special.erf), "erfc": in_double(wide.erfc, special.erfc),
    "erfinv": in_double(wide.erfinv, special.erfinv), "lgamma": in_double(special.lgamma),
    "normal_area": direct(special.normal_area), "normal_power": direct(special.normal_power),
    "digamma": in_double(special.digamma), "power": in_double(special.power, from_libm("pow")),
}
# fmt: on
