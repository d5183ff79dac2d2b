"""Special functions on SciPy: Bessel, gamma and error functions, orthogonal polynomials.

Each is a host function with, where PyTorch has one, a derivative (formulas: Abramowitz & Stegun, chapters
6, 7, 9; the NIST Digital Library, §5, §7, §10).  Integers become the default dtype.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.derive.host_rules import host_vjp
from lampas.engine.derive.operation import Operation
from lampas.engine.graph import build as g
from lampas.engine.graph.host import host_function
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import PUBLIC, in_place, public
from lampas.engine.tensor.door import record
from lampas.engine.tensor.operands import as_inputs, common_dtype, float_dtype, require_tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from lampas.engine.graph.node import Node


# Host functions -----------------------------------------------------------------------------------


@host_function("special")
def _evaluate(*arguments: Any) -> np.ndarray:
    """SciPy's function of the name that comes last, in at least single precision."""
    import scipy.special  # slow to import, and few programs need it

    *arrays, name = arguments
    wide = [
        x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x
        for x in arrays
    ]
    with np.errstate(all="ignore"):
        if name in _EXTENDED:
            return _EXTENDED[name](*wide)
        return np.asarray(getattr(scipy.special, name)(*wide))


def _polygamma_array(n: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Left of 1/2, the first derivative goes by reflection: π²/sin²(πx) - ψ'(1 - x)."""
    import scipy.special  # slow to import, and few programs need it

    result = np.asarray(scipy.special.polygamma(n, x), dtype=x.dtype)
    mirrored = (n == 1) & (x < 0.5)
    if not mirrored.any():
        return result
    turn = x.dtype.type(np.pi)
    bump = (turn / np.sin(turn * np.where(x == 0, np.copysign(0, x), x))) ** 2
    return np.where(mirrored, bump - scipy.special.polygamma(1, 1 - x), result)


def _incomplete_gamma(a: np.ndarray, x: np.ndarray, upper: bool) -> np.ndarray:
    """SciPy's function with PyTorch's values at the edges, where the order or x is 0 or infinite."""
    import scipy.special  # slow to import, and few programs need it

    result = scipy.special.gammaincc(a, x) if upper else scipy.special.gammainc(a, x)
    none, all_of_it = (1.0, 0.0) if upper else (0.0, 1.0)
    result = np.where(np.isposinf(x), all_of_it, result)
    result = np.where(np.isposinf(a), np.where(np.isinf(x), np.nan, none), result)
    result = np.where(x == 0, none, result)
    outside = (a < 0) | (x < 0) | ((a == 0) & ~(x > 0))
    return np.where(outside, np.nan, result)


_EXTENDED: dict[str, Any] = {
    "polygamma": _polygamma_array,
    "gammainc": lambda a, x: _incomplete_gamma(a, x, False),
    "gammaincc": lambda a, x: _incomplete_gamma(a, x, True),
}


def special(name: str, *inputs: Node) -> Node:
    """SciPy's special function of nodes that have one dtype, broadcast."""
    shape = inputs[0].shape
    for other in inputs[1:]:
        if other.shape != shape:
            shape = g.add(inputs[0], other).shape
            inputs = tuple(g.expand(x, shape) for x in inputs)
    return g.host("special", inputs, ((shape, inputs[0].dtype),), (name,))[0]


SLOPES: dict[str, Callable[..., tuple[Any, ...]]] = {}


@host_vjp("special")
def _special_vjp(
    inputs: tuple[Node, ...], outputs: tuple[Node, ...], cts: tuple[Any, ...], parameters: Any
) -> tuple[Any, ...]:
    """ct times the slope for each operand, where the table has one."""
    name = parameters[0]
    if name not in SLOPES:
        raise NotImplementedError(f"the derivative for {name} is not implemented")
    slopes = SLOPES[name](*inputs, outputs[0])
    return tuple(
        slope if slope is NotImplemented else g.multiply(cts[0], slope) for slope in slopes
    )


def _c(x: Node, value: float) -> Node:
    return g.like(x, value)


def _times(x: Node, value: float) -> Node:
    return g.multiply(x, g.like(x, value))


def _over(x: Node, y: Node, at_zero: float) -> Node:
    """x / y, with a value of its own where y is 0."""
    none = g.equal(y, _c(y, 0))
    return g.where(none, _c(x, at_zero), g.divide(x, g.where(none, _c(y, 1), y)))


_GAUSS = 2 / math.sqrt(math.pi)


def _normal_density(x: Node) -> Node:
    return _times(g.exp(_times(g.multiply(x, x), -0.5)), 1 / math.sqrt(2 * math.pi))


def _gamma_slope(a: Node, x: Node) -> Node:
    """The density x^(a-1)·exp(-x)/Γ(a)."""
    power = g.multiply(g.subtract(a, _c(a, 1)), g.log(x))
    return g.exp(g.subtract(g.subtract(power, x), g.lgamma(a)))


SLOPES.update(
    {
        "i0": lambda x, out: (special("i1", x),),
        "i0e": lambda x, out: (g.subtract(special("i1e", x), g.multiply(g.sign(x), out)),),
        "i1": lambda x, out: (g.subtract(special("i0", x), _over(out, x, 0.5)),),
        "i1e": lambda x, out: (
            g.subtract(
                special("i0e", x),
                g.add(g.multiply(g.sign(x), out), _over(out, x, 0.5)),
            ),
        ),
        "ndtr": lambda x, out: (_normal_density(x),),
        "ndtri": lambda x, out: (g.reciprocal(_normal_density(out)),),
        "log_ndtr": lambda x, out: (
            _times(
                g.reciprocal(special("erfcx", _times(x, -math.sqrt(0.5)))),
                math.sqrt(2 / math.pi),
            ),
        ),
        "erfcx": lambda x, out: (g.subtract(_times(g.multiply(x, out), 2.0), _c(x, _GAUSS)),),
        "polygamma": lambda n, x, out: (
            NotImplemented,
            special("polygamma", g.add(n, _c(n, 1)), x),
        ),
        "gammainc": lambda a, x, out: (NotImplemented, _gamma_slope(a, x)),
        "gammaincc": lambda a, x, out: (NotImplemented, g.negative(_gamma_slope(a, x))),
        "zeta": lambda x, q, out: (
            NotImplemented,
            g.multiply(g.negative(x), special("zeta", g.add(x, _c(x, 1)), q)),
        ),
    }
)


# Functions of one operand -------------------------------------------------------------------------


def special_operation(name: str, scipy_name: str) -> Operation:
    """An operation that evaluates SciPy's function; attribute: the dtype."""
    return Operation(
        name,
        lambda *given: special(scipy_name, *(g.cast(x, given[-1]) for x in given[:-1])),
        saves="inputs",
    )


def _define_unary(name: str, scipy_name: str, text: str) -> None:
    operation = special_operation(name, scipy_name)

    def function(input: Tensor) -> Tensor:
        require_tensor(name, "input", input)
        return record(operation, (input,), (float_dtype(input._node.dtype),))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{text}, elementwise; integers become the default dtype."
    function.__module__ = __name__
    public(namespace="special", out=True)(function)
    globals()[name] = function


for _name, _scipy, _text in (
    ("i0", "i0", "The modified Bessel function of the first kind, order 0"),
    ("i0e", "i0e", "exp(-|x|) · i0(x)"),
    ("i1", "i1", "The modified Bessel function of the first kind, order 1"),
    ("i1e", "i1e", "exp(-|x|) · i1(x)"),
    ("ndtr", "ndtr", "The area under the normal density left of x"),
    ("ndtri", "ndtri", "The inverse of ndtr"),
    ("log_ndtr", "log_ndtr", "log(ndtr(x)), exact far to the left"),
    ("erfcx", "erfcx", "exp(x²) · erfc(x)"),
    ("bessel_j0", "j0", "The Bessel function of the first kind, order 0"),
    ("bessel_j1", "j1", "The Bessel function of the first kind, order 1"),
    ("bessel_y0", "y0", "The Bessel function of the second kind, order 0"),
    ("bessel_y1", "y1", "The Bessel function of the second kind, order 1"),
    ("modified_bessel_i0", "i0", "The modified Bessel function of the first kind, order 0"),
    ("modified_bessel_i1", "i1", "The modified Bessel function of the first kind, order 1"),
    ("modified_bessel_k0", "k0", "The modified Bessel function of the second kind, order 0"),
    ("modified_bessel_k1", "k1", "The modified Bessel function of the second kind, order 1"),
    ("scaled_modified_bessel_k0", "k0e", "exp(x) · modified_bessel_k0(x)"),
    ("scaled_modified_bessel_k1", "k1e", "exp(x) · modified_bessel_k1(x)"),
):
    _define_unary(_name, _scipy, _text)


@host_function("airy_ai")
def _airy_array(x: np.ndarray) -> np.ndarray:
    """Where SciPy gives up, far out, the first term of the asymptotic series (NIST 10.4, 9.7)."""
    import scipy.special  # slow to import, and few programs need it

    with np.errstate(all="ignore"):
        size = np.abs(x)
        phase = 2 * size * np.sqrt(size) / 3 + x.dtype.type(np.pi / 4)
        far = np.where(x > 0, 0.0, np.sin(phase) / np.sqrt(np.pi * np.sqrt(size)))
        near = scipy.special.airy(x.astype(np.float64))[0]
        found = np.where(size > 1000, far, near)
    return np.where(np.isinf(x), np.nan, found)


@host_function("spherical_bessel_j0")
def _spherical_array(x: np.ndarray) -> np.ndarray:
    wide = x.astype(np.float64)
    with np.errstate(all="ignore"):
        return np.where(np.isinf(wide), 0.0, np.where(wide == 0, 1.0, np.sin(wide) / wide))


def _define_host(name: str, text: str) -> None:
    operation = Operation(
        name,
        lambda x, kind: g.host(name, (g.cast(x, kind),), ((x.shape, kind),))[0],
        saves="inputs",
    )

    def function(x: Tensor) -> Tensor:
        return record(operation, (x,), (float_dtype(x._node.dtype),))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{text}, elementwise; integers become the default dtype."
    public(namespace="special", out=True)(function)


_define_host("airy_ai", "The Airy function Ai")
_define_host("spherical_bessel_j0", "sin(x)/x")


# Orthogonal polynomials ---------------------------------------------------------------------------


@host_function("polynomial")
def _polynomial_array(x: np.ndarray, n: np.ndarray, family: str, shifted: bool) -> np.ndarray:
    """The three-term recurrence p(k+1) = (a·x + b)·p(k) - c·p(k-1) of each family, in double precision."""
    wide, degree = np.broadcast_arrays(x.astype(np.float64), np.trunc(n).astype(np.float64))
    if shifted:
        wide = 2 * wide - 1
    before, now = np.ones_like(wide), _FIRST[family](wide)
    result = np.where(degree == 0, before, np.where(degree == 1, now, 0.0))
    top = degree[np.isfinite(degree)].max(initial=0)
    with np.errstate(all="ignore"):
        for k in range(1, int(min(top, 4096))):
            before, now = now, _NEXT[family](wide, k, now, before)
            result = np.where(degree == k + 1, now, result)
    return result


_FIRST: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "t": lambda x: x,
    "u": lambda x: 2 * x,
    "v": lambda x: 2 * x - 1,
    "w": lambda x: 2 * x + 1,
    "hermite_h": lambda x: 2 * x,
    "hermite_he": lambda x: x,
    "laguerre": lambda x: 1 - x,
    "legendre": lambda x: x,
}
_CHEBYSHEV = {letter: lambda x, k, p, q: 2 * x * p - q for letter in "tuvw"}
_NEXT: dict[str, Callable[..., np.ndarray]] = {
    **_CHEBYSHEV,
    "hermite_h": lambda x, k, p, q: 2 * x * p - 2 * k * q,
    "hermite_he": lambda x, k, p, q: x * p - k * q,
    "laguerre": lambda x, k, p, q: ((2 * k + 1 - x) * p - k * q) / (k + 1),
    "legendre": lambda x, k, p, q: ((2 * k + 1) * x * p - k * q) / (k + 1),
}


def _define_polynomial(name: str, family: str, shifted: bool) -> None:
    def build(x: Node, n: Node, kind: Any) -> Node:
        x, n = g.cast(x, kind), g.cast(n, kind)
        shape = g.add(x, n).shape
        return g.host("polynomial", (x, n), ((shape, kind),), (family, shifted))[0]

    operation = Operation(name, build, saves="none")

    def function(x: Any, n: Any) -> Tensor:
        kind = float_dtype(common_dtype(name, x, n))
        return record(operation, as_inputs(name, x, n), (kind,))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The polynomial of degree n at x ({name.replace('_', ' ')}), elementwise."
    public(namespace="special", out=True)(function)


for _letter in "tuvw":
    _define_polynomial(f"chebyshev_polynomial_{_letter}", _letter, False)
    _define_polynomial(f"shifted_chebyshev_polynomial_{_letter}", _letter, True)
_define_polynomial("hermite_polynomial_h", "hermite_h", False)
_define_polynomial("hermite_polynomial_he", "hermite_he", False)
_define_polynomial("laguerre_polynomial_l", "laguerre", False)
_define_polynomial("legendre_polynomial_p", "legendre", False)

# Functions of two operands ------------------------------------------------------------------------

ZETA = special_operation("special_zeta", "zeta")
IGAMMA = special_operation("igamma", "gammainc")
IGAMMAC = special_operation("igammac", "gammaincc")
POLYGAMMA = Operation(
    "polygamma",
    lambda x, n, kind: special("polygamma", g.full(x.shape, float(n), kind), g.cast(x, kind)),
    saves="inputs",
)


def _define_pair(name: str, operation: Operation, text: str, *places: str) -> None:
    def function(input: Any, other: Any) -> Tensor:
        if name != "zeta":
            require_tensor(name, "input", input)
            require_tensor(name, "other", other, 2)
        kind = float_dtype(common_dtype(name, input, other))
        return record(operation, as_inputs(name, input, other), (kind,))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{text}, elementwise and broadcast."
    for place in places:
        public(namespace=place, method=not place, inplace=not place, out=True)(function)
    globals()[name] = function


_define_pair("igamma", IGAMMA, "The regularised lower incomplete gamma function", "")
_define_pair("igammac", IGAMMAC, "The regularised upper incomplete gamma function", "")
_define_pair("gammainc", IGAMMA, "The regularised lower incomplete gamma function", "special")
_define_pair("gammaincc", IGAMMAC, "The regularised upper incomplete gamma function", "special")
_define_pair("zeta", ZETA, "The Hurwitz zeta function Σ (k + other)^-input", "special")


def _polygamma(n: int, input: Tensor) -> Tensor:
    """The n-th derivative of digamma."""
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    if n == 0:
        return PUBLIC["digamma"].function(input)
    return record(POLYGAMMA, (input,), (int(n), float_dtype(input._node.dtype)))


@public(out=True)
def polygamma(n: int, input: Tensor) -> Tensor:
    """The n-th derivative of digamma, elementwise."""
    if isinstance(n, Tensor):
        n, input = input, n  # type: ignore[assignment]
    return _polygamma(n, input)


public(namespace="special", out=True)(polygamma)


@public(method=True, inplace=True, out=True)
def i0(input: Tensor) -> Tensor:
    """The modified Bessel function of the first kind, order 0, elementwise."""
    return PUBLIC["special.i0"].function(input)


def _polygamma_method(self: Tensor, n: int) -> Tensor:
    return polygamma(n, self)


Tensor.polygamma = _polygamma_method  # type: ignore[attr-defined]
Tensor.polygamma_ = in_place(_polygamma_method, "polygamma_")  # type: ignore[attr-defined]
