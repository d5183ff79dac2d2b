"""Special functions: Bessel, gamma and error functions, orthogonal polynomials.

Some are composed of primitives (graph/series.py); the others are host functions on SciPy, spread over the threads.
Where PyTorch has one, there is a derivative (formulas: Abramowitz & Stegun, chapters 6, 7, 9; the NIST Digital
Library, §5, §7, §10).  Integers become the default dtype.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.derive.host_rules import host_vjp
from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.dtype import float64
from lampas.engine.graph import build as g
from lampas.engine.graph.host import host_function
from lampas.engine.graph.series import COMPOSED, trigamma
from lampas.engine.host.shares import in_shares
from lampas.engine.tensor.arithmetic import sum_back
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import PUBLIC, in_place, public
from lampas.engine.tensor.door import record
from lampas.engine.tensor.operands import as_inputs, common_dtype, float_dtype, require_tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from lampas.engine.graph.node import Node


# Host functions -----------------------------------------------------------------------------------

_SMALL = 1 << 12  # elements that are not worth cutting
_WEIGHT = 16  # one of them takes as long as so many elements of what `in_shares` was measured with


def shared(function: Callable[..., np.ndarray], *given: np.ndarray) -> np.ndarray:
    """An elementwise function of arrays that broadcast, block by block on all threads."""
    arrays = np.broadcast_arrays(*given)
    shape, count = arrays[0].shape, arrays[0].size
    with np.errstate(all="ignore"):
        if count <= _SMALL:
            return np.asarray(function(*arrays))
        rows = [x.reshape(-1) for x in arrays]
        first = np.asarray(function(*(x[:1] for x in rows)))  # the dtype, and SciPy is imported
        result = np.empty(count, first.dtype)

        def work(start: int, stop: int) -> None:
            result[start:stop] = function(*(x[start:stop] for x in rows))

        in_shares(work, count, _WEIGHT)
    return result.reshape(shape)


@host_function("special")
def _evaluate(*arguments: Any) -> np.ndarray:
    """SciPy's function of the name that comes last, in at least single precision."""
    import scipy.special  # slow to import, and few programs need it

    *arrays, name = arguments
    wide = [
        x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x
        for x in arrays
    ]
    return shared(_EXTENDED.get(name) or getattr(scipy.special, name), *wide)


def _incomplete_gamma(a: np.ndarray, x: np.ndarray, upper: bool) -> np.ndarray:
    """SciPy's function with PyTorch's values at the edges, where the order or x is 0 or infinite."""
    import scipy.special  # slow to import, and few programs need it

    result = _upper_gamma(a, x) if upper else scipy.special.gammainc(a, x)
    none, all_of_it = (1.0, 0.0) if upper else (0.0, 1.0)
    result = np.where(np.isposinf(x), all_of_it, result)
    result = np.where(np.isposinf(a), np.where(np.isinf(x), np.nan, none), result)
    result = np.where(x == 0, none, result)
    outside = (a < 0) | (x < 0) | ((a == 0) & ~(x > 0))
    return np.where(outside, np.nan, result)


def _upper_gamma(a: np.ndarray, x: np.ndarray) -> np.ndarray:
    """SciPy's function; where it sums a slow series and nothing cancels, 1 less the lower one (x about 1 or less)."""
    import scipy.special  # slow to import, and few programs need it

    easy = (x <= 1.1) & (a > 0.1)
    lower = scipy.special.gammainc(a, np.where(easy, x, 0))
    return np.where(easy, 1 - lower, scipy.special.gammaincc(a, np.where(easy, np.inf, x)))


_EXTENDED: dict[str, Any] = {
    "gammainc": lambda a, x: _incomplete_gamma(a, x, False),
    "gammaincc": lambda a, x: _incomplete_gamma(a, x, True),
}


def special(name: str, *inputs: Node) -> Node:
    """The special function of nodes that have one dtype, broadcast; SciPy's name of it."""
    if name in COMPOSED:
        return COMPOSED[name](inputs[0])
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
    """An operation that evaluates a special function; attribute: the dtype."""

    def derivative(saved: Saved, ct: Node) -> tuple[Node | None, ...]:
        x = saved.inputs[0]
        (slope,) = SLOPES[scipy_name](g.cast(x, saved.output.dtype), saved.output)
        return (sum_back(g.multiply(ct, slope), x),)

    composed = scipy_name in COMPOSED
    return Operation(
        name,
        lambda *given: special(scipy_name, *(g.cast(x, given[-1]) for x in given[:-1])),
        vjp=derivative if composed else None,
        saves="both" if composed else "inputs",
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
    return shared(_airy, x)


def _airy(x: np.ndarray) -> np.ndarray:
    """Where SciPy gives up, far out, the first term of the asymptotic series (NIST 10.4, 9.7)."""
    import scipy.special  # slow to import, and few programs need it

    size = np.abs(x)
    phase = 2 * size * np.sqrt(size) / 3 + x.dtype.type(np.pi / 4)
    far = np.where(x > 0, 0.0, np.sin(phase) / np.sqrt(np.pi * np.sqrt(size)))
    near = scipy.special.airy(x.astype(np.float64))[0]
    found = np.where(size > 1000, far, near)
    return np.where(np.isinf(x), np.nan, found)


def _spherical_bessel(x: Node) -> Node:
    """sin(x)/x in double: 1 at 0, 0 at infinity."""
    wide = g.cast(x, float64)
    outside = g.bitwise_or(g.equal(wide, _c(wide, 0)), g.isinf(wide))
    safe = g.where(outside, _c(wide, 1), wide)
    ends = g.where(g.isinf(wide), _c(wide, 0), _c(wide, 1))
    return g.cast(g.where(outside, ends, g.divide(g.sin(safe), safe)), x.dtype)


def _define_other(name: str, build: Callable[[Node], Node], text: str) -> None:
    operation = Operation(name, lambda x, kind: build(g.cast(x, kind)), saves="inputs")

    def function(x: Tensor) -> Tensor:
        return record(operation, (x,), (float_dtype(x._node.dtype),))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{text}, elementwise; integers become the default dtype."
    public(namespace="special", out=True)(function)


_define_other(
    "airy_ai", lambda x: g.host("airy_ai", (x,), ((x.shape, x.dtype),))[0], "The Airy function Ai"
)
_define_other("spherical_bessel_j0", _spherical_bessel, "sin(x)/x")


# Orthogonal polynomials ---------------------------------------------------------------------------

# Of each family (a, b) of the first degree a·x + b, and (a, b, c) of p(k+1) = (a·x + b)·p(k) - c·p(k-1).
_FIRST: dict[str, tuple[float, float]] = {
    "t": (1, 0),
    "u": (2, 0),
    "v": (2, -1),
    "w": (2, 1),
    "hermite_h": (2, 0),
    "hermite_he": (1, 0),
    "laguerre": (-1, 1),
    "legendre": (1, 0),
}
_NEXT: dict[str, Callable[[int], tuple[float, float, float]]] = {
    **{letter: lambda k: (2, 0, 1) for letter in "tuvw"},
    "hermite_h": lambda k: (2, 0, 2 * k),
    "hermite_he": lambda k: (1, 0, k),
    "laguerre": lambda k: (-1 / (k + 1), (2 * k + 1) / (k + 1), k / (k + 1)),
    "legendre": lambda k: ((2 * k + 1) / (k + 1), 0, k / (k + 1)),
}
_UNROLLED = 32  # degrees up to this one are composed of primitives


@host_function("polynomial")
def _polynomial_array(x: np.ndarray, n: np.ndarray, family: str, shifted: bool) -> np.ndarray:
    return shared(lambda x, n: _polynomial(x, n, family, shifted), x, n)


def _polynomial(x: np.ndarray, n: np.ndarray, family: str, shifted: bool) -> np.ndarray:
    """The three-term recurrence for degrees that differ from element to element, in double precision."""
    wide, degree = x.astype(np.float64), np.trunc(n).astype(np.float64)
    if shifted:
        wide = 2 * wide - 1
    a, b = _FIRST[family]
    before, now = np.ones_like(wide), a * wide + b
    result = np.where(degree == 0, before, np.where(degree == 1, now, 0.0))
    top = degree[np.isfinite(degree)].max(initial=0)
    for k in range(1, int(min(top, 4096))):
        a, b, c = _NEXT[family](k)
        before, now = now, (a * wide + b) * now - c * before
        result = np.where(degree == k + 1, now, result)
    return result


def _linear(x: Node, a: float, b: float) -> Node:
    """a·x + b."""
    scaled = x if a == 1 else _times(x, a)
    return g.add(scaled, _c(x, b)) if b else scaled


def _unrolled(x: Node, degree: int, family: str, shifted: bool) -> Node:
    """The same for one degree, of primitives."""
    wide = g.cast(x, float64)
    if shifted:
        wide = _linear(wide, 2, -1)
    before, now = g.full(x.shape, 1.0, float64), _linear(wide, *_FIRST[family])
    if degree == 0:
        now = before
    for k in range(1, degree):
        a, b, c = _NEXT[family](k)
        product = g.multiply(_linear(wide, a, b), now)
        before, now = now, g.subtract(product, before if c == 1 else _times(before, c))
    return g.cast(now, x.dtype)


def _define_polynomial(name: str, family: str, shifted: bool) -> None:
    def build(x: Node, n: Node, kind: Any) -> Node:
        x, n = g.cast(x, kind), g.cast(n, kind)
        shape = g.add(x, n).shape
        return g.host("polynomial", (x, n), ((shape, kind),), (family, shifted))[0]

    def refuse(saved: Saved, ct: Node) -> tuple[Node | None, ...]:
        raise NotImplementedError(f"the derivative of {name} is not implemented")

    operation = Operation(name, build, saves="none", vjp=refuse)
    of_degree = Operation(
        name,
        lambda x, n, kind: _unrolled(g.cast(x, kind), n, family, shifted),
        saves="none",
        vjp=refuse,
    )

    def function(x: Any, n: Any) -> Tensor:
        kind = float_dtype(common_dtype(name, x, n))
        if isinstance(x, Tensor) and type(n) is int and 0 <= n <= _UNROLLED:
            return record(of_degree, (x,), (n, kind))
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


def _polygamma_node(x: Node, n: int, kind: Any) -> Node:
    x = g.cast(x, kind)
    return trigamma(x) if n == 1 else special("polygamma", g.full(x.shape, float(n), kind), x)


def _polygamma_vjp(saved: Saved, ct: Node) -> tuple[Node | None, ...]:
    """The next one of the row."""
    x, (n, kind) = saved.inputs[0], saved.attributes
    return (sum_back(g.multiply(ct, _polygamma_node(x, n + 1, kind)), x),)


POLYGAMMA = Operation("polygamma", _polygamma_node, vjp=_polygamma_vjp, saves="inputs")


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
