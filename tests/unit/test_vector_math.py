"""Vector functions against NumPy and SciPy in a wider type, over all of float's range; errors in last places."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special

from lampas.engine.dtype import dtype, float32, float64
from lampas.engine.llvm import vector_math_special as special
from lampas.engine.llvm.compiler import assembly, compile_function
from lampas.engine.llvm.target import x86_avx2
from lampas.engine.llvm.text import Builder, Module, Value
from lampas.engine.llvm.vector_math import VECTOR_MATH
from lampas.engine.llvm.vector_math_exponential import exp, exp2_negative, quick_sigmoid, quick_tanh
from tests.unit.nests import run, simple

Array = np.ndarray[Any, Any]


def logistic(x: Array) -> Array:
    power = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + power), power / (1 + power))


def wide_erfc(x: Array) -> Array:
    """erfc by its series below 2 and its continued fraction above (Abramowitz and Stegun 7.1.5, 7.1.14)."""
    if x.dtype == np.float64:
        return scipy.special.erfc(x)
    size = np.abs(x)
    small, large = np.minimum(size, 2), np.clip(size, 2, 200)
    term = total = small
    for k in range(1, 60):
        term = -term * small * small / k
        total = total + term / (2 * k + 1)
    rest = large
    for k in range(120, 0, -1):
        rest = large + np.longdouble(k) / 2 / rest
    root = np.sqrt(np.longdouble("3.14159265358979323846264338327950288"))
    value = np.where(size < 2, 1 - 2 * total / root, np.exp(-large * large) / rest / root)
    return np.where(np.isnan(x), x, np.where(x < 0, 2 - value, value))


def wide_erf(x: Array) -> Array:
    """erf from erfc, below 1/2 by its series, where that would cancel."""
    if x.dtype == np.float64:
        return scipy.special.erf(x)
    small = np.clip(x, -0.5, 0.5)
    term = total = small
    for k in range(1, 30):
        term = -term * small * small / k
        total = total + term / (2 * k + 1)
    root = np.sqrt(np.longdouble("3.14159265358979323846264338327950288"))
    return np.where(np.abs(x) < 0.5, 2 * total / root, 1 - wide_erfc(x))


# fmt: off
EXACT: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2, "log10": np.log10,
    "log1p": np.log1p, "tanh": np.tanh, "sigmoid": logistic, "sinh": np.sinh, "cosh": np.cosh, "sin": np.sin,
    "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "erf": wide_erf,
    "erfc": wide_erfc, "erfinv": scipy.special.erfinv, "lgamma": scipy.special.gammaln,
    "digamma": scipy.special.psi, "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x), "reciprocal": np.reciprocal,
}
# Largest errors in last places allowed for float32 (targets without FMA included) and float64.
SINGLE = {
    "exp": 1.05, "exp2": 1.05, "expm1": 1.7, "log": 0.9, "log2": 1.1, "log10": 0.9, "log1p": 1.5, "tanh": 1.4,
    "sigmoid": 2.25, "sin": 1.6, "cos": 1.6, "erf": 1.4, "rsqrt": 1.5, "lgamma": 1.0, "erfinv": 0.55,
}
DOUBLE = {
    "exp": 1.05, "exp2": 1.05, "expm1": 2.2, "log": 0.9, "log2": 1.2, "log10": 2.3, "log1p": 1.6, "tanh": 2.8,
    "sigmoid": 2.4, "sin": 2.4, "cos": 2.4, "tan": 4, "asin": 2.4, "acos": 1.4, "atan": 2.1, "sinh": 2.7,
    "cosh": 2.7, "asinh": 2.1, "acosh": 2.5, "atanh": 2.4, "erf": 1.4, "erfc": 6.0,
}
SPECIAL = [
    0.0, -0.0, 1.0, -1.0, 0.5, 2.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1.17549435e-38, 88.72283, 88.72284, 89.0,
    -87.33655, -103.97208, -103.97209, -150.0, 128.0, -149.0, -150.5, 1e4, 1e5, 1e6, 1.0000001e6, 1e10, 3.4e38,
    -3.4e38, 0.99999994, -0.99999994, 1.0000001, 9.0, 9.02, 4.0, 3.92, 0.625, 16777216.0,
]
# fmt: on


def floats(step: int) -> Array:
    """Every `step`-th bit pattern, and what is special."""
    bits = np.arange(77, 2**32, step, dtype=np.uint64).astype(np.uint32)
    return np.concatenate([bits.view(np.float32), np.array(SPECIAL, np.float32)])


def some_doubles() -> Array:
    generator = np.random.default_rng(1)
    normal = generator.normal(size=20_000)
    bits = generator.integers(0, 2**64, 20_000, dtype=np.uint64).view(np.float64)
    parts = [
        bits,
        normal,
        normal * 30,
        normal * 1e-3 + 1,
        generator.uniform(-800, 800, 20_000),
        np.tanh(normal),
    ]
    return np.concatenate([*parts, np.array(SPECIAL)])


def last_places(found: Array, exact: Array) -> Array:
    """Return errors in units of the last place of the right result; infinity where NaN or infinity is wrong."""
    kind = found.dtype
    with np.errstate(all="ignore"):
        right = exact.astype(kind)
        largest = np.finfo(kind).max
        unit = np.spacing(np.clip(np.abs(right), 0, largest)).astype(exact.dtype)
        error = np.abs(found.astype(exact.dtype) - exact) / unit
        same = (found == right) | (np.isnan(found) & np.isnan(right))
        error = np.where(np.isfinite(found) & np.isfinite(right), error, np.inf)
        overflow = ~np.isfinite(found) & np.isfinite(right) & (np.abs(right) > largest * (1 - 1e-7))
    return np.where(same & ~np.isfinite(right), 0, np.where(overflow, 1, error))


def computed(name: str, source: Array, kind: dtype) -> Array:
    target = np.zeros_like(source)
    run(simple(name, [kind]), [source, target], (len(source),), [(1,), (1,)])
    return target


def judge_floats(name: str, source: Array) -> None:
    """Assert that no float is further off than the table allows."""
    if name == "lgamma":  # the C library says +inf at -inf; SciPy says -inf
        source = source[source != -np.inf]
    found = computed(name, source, float32)
    with np.errstate(all="ignore"):
        exact = EXACT[name](source.astype(np.float64))
    error = last_places(found, exact)
    worst = int(np.argmax(error))
    assert error[worst] <= SINGLE.get(name, 0.51), (source[worst], found[worst], exact[worst])


@pytest.mark.parametrize("name", EXACT)
def test_floats(name: str) -> None:
    judge_floats(name, floats(65536 - 1 if name == "erfinv" else 16384 - 1))


def applied(function: Callable[[Builder, Value], Value], source: Array) -> Array:
    """A function of eight floats at a time, over an array whose length eight divides."""
    module = Module()
    b = module.function("apply", [("ptr", "source"), ("ptr", "target"), ("i64", "count")])
    start, end, count = b.arguments
    with b.loop(0, count, 8) as place:
        made = function(b, b.load_element("<8 x float>", start, place))
        b.store(made, b.element_pointer(end, place, "float"))
    b.ret()
    kinds = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64
    call = ctypes.CFUNCTYPE(None, *kinds)(compile_function(module, "apply"))
    target = np.empty_like(source)
    call(source.ctypes.data, target.ctypes.data, source.size)
    return target


@pytest.mark.parametrize(
    ("function", "exact", "low", "high", "most", "ends"),
    [
        (exp2_negative, np.exp2, -126.4, 0.0, 2.5, (0.0, None)),
        (quick_sigmoid, logistic, -86.9, 86.9, 2.6, (0.0, 1.0)),
        (quick_tanh, np.tanh, -30.0, 30.0, 2.6, (-1.0, 1.0)),
    ],
)
def test_quick_functions(
    function: Any, exact: Any, low: float, high: float, most: float, ends: tuple[Any, Any]
) -> None:
    """Within their range they are nearly as exact as the others; beyond it they stay where they were, NaN is NaN."""
    source = np.linspace(low, high, 1 << 14, dtype=np.float32)
    small = np.geomspace(1e-30, min(-low, 1), 1 << 12, dtype=np.float32)
    source = np.concatenate([source, -small, small if high else -small])
    error = last_places(applied(function, source), exact(source.astype(np.float64)))
    assert error.max() <= most
    special = np.array([-np.inf, -1e4, -200, np.inf, 1e4, 200, np.nan, -0.0], np.float32)
    found = applied(function, special)
    np.testing.assert_allclose(found[:3], ends[0], atol=2e-38)
    assert ends[1] is None or (found[3:6] == ends[1]).all()
    assert np.isnan(found[6])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sigmoid", "erf", "sin", "cos"])
def test_many_floats(name: str) -> None:
    judge_floats(name, floats(256))


@pytest.mark.parametrize(
    "name", ["sin", "tan", "sinh", "asin", "atan", "tanh", "erf", "expm1", "log1p", "asinh"]
)
def test_odd_functions_keep_the_sign_of_zero(name: str) -> None:
    for kind in (float32, float64):
        source = np.array([-0.0, 0.0], kind.numpy)
        assert np.signbit(computed(name, source, kind)).tolist() == [True, False]


@pytest.mark.parametrize("name", DOUBLE)
@pytest.mark.skipif(np.finfo(np.longdouble).nmant <= 52, reason="no wider type than float64 here")
def test_doubles(name: str) -> None:
    source = some_doubles()
    found = computed(name, source, float64)
    with np.errstate(all="ignore"):
        exact = EXACT[name](source.astype(np.longdouble))
    error = last_places(found, exact)
    worst = int(np.argmax(error))
    assert error[worst] <= DOUBLE[name], (source[worst], found[worst], exact[worst])


def test_lgamma_of_doubles() -> None:
    """Near its zeros at 1 and 2 no digit is lost, and on the left no more than the terms' rounding."""
    generator = np.random.default_rng(4)
    gap = generator.normal(size=3000) * 1e-4
    zeta = [np.euler_gamma, *scipy.special.zeta(np.arange(2.0, 8))]
    for zero, less in (1.0, 0.0), (2.0, 1.0):  # lgamma(1+e) = -γe + ζ(2)e²/2 - ζ(3)e³/3 + …
        e = ((zero + gap) - zero).astype(np.longdouble)
        series = [(-1) ** k / k * (value - less) * e**k for k, value in enumerate(zeta, 1)]
        found = computed("lgamma", zero + gap, float64)
        assert last_places(found, np.sum(series, axis=0)).max() < 6
    right = np.concatenate([np.geomspace(1e-300, 1e300, 3000), generator.uniform(0, 30, 3000)])
    left = np.concatenate([generator.uniform(-20, 0, 3000), -np.geomspace(1e-300, 98765.4, 3000)])
    for source in right, left:
        exact = np.array([math.lgamma(value) for value in source])
        found = computed("lgamma", source, float64)
        np.testing.assert_allclose(found, exact, rtol=2e-15, atol=5e-15)
    ends = np.array([0.0, -0.0, -1.0, -2.0, -1e300, np.inf, -np.inf, np.nan])
    found = computed("lgamma", ends, float64)
    assert np.isposinf(found[:-1]).all()
    assert np.isnan(found[-1])


@pytest.mark.parametrize("name", ["erf", "erfc", "erfinv", "lgamma", "digamma"])
def test_special_functions_of_doubles(name: str) -> None:
    source = np.random.default_rng(2).uniform(-1, 1, 4000) * (1 if name == "erfinv" else 9)
    found = computed(name, source, float64)
    np.testing.assert_allclose(found, EXACT[name](source), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("kind", [float32, float64])
def test_the_normal_distribution(kind: dtype) -> None:
    """Between 0 and 1 the last place counts; of what is smaller, the argument's square costs digits."""
    source = np.concatenate([np.linspace(-14, 14, 40_001), np.geomspace(1e-38, 1, 2_000)]).astype(
        kind.numpy
    )
    wide = source.astype(np.float64)
    step = 2.0**-24 if kind is float32 else 2.0**-53
    area, power = (
        computed(f"normal_{name}", source, kind).astype(np.float64) for name in ("area", "power")
    )
    exact = scipy.special.ndtr(wide)
    assert np.abs(area - exact).max() <= 3 * step
    assert (np.abs(area - exact) <= 8 * (1 + wide**2) * step * exact + 2.0**-126).all()
    exact = np.exp(-wide * wide / 2)
    assert (np.abs(power - exact) <= 3 * (1 + wide**2) * step * exact + 2.0**-126).all()
    ends = np.array([-np.inf, np.inf, -1e30, 1e30, np.nan, 0.0, -0.0], kind.numpy)
    np.testing.assert_allclose(
        computed("normal_area", ends, kind), [0, 1, 0, 1, np.nan, 0.5, 0.5], rtol=3 * step
    )
    np.testing.assert_array_equal(computed("normal_power", ends, kind), [0, 0, 0, 0, np.nan, 1, 1])


def instructions(functions: list[Callable[[Builder, Value], Value]]) -> int:
    """How many vector instructions several functions of one vector take together."""
    module = Module()
    b = module.function("apply", [("ptr", "source"), ("ptr", "target")])
    source, target = b.arguments
    x = b.load("<8 x float>", source)
    for place, function in enumerate(functions):
        b.store(function(b, x), b.element_pointer(target, 8 * place, "float"))
    b.ret()
    return sum(line.strip().startswith("v") for line in assembly(module, x86_avx2()).splitlines())


@pytest.mark.parametrize(
    ("function", "power"),
    [
        (special.erf, lambda b, x: exp(b, b.negative(b.multiply(x, x)))),
        (special.normal_area, special.normal_power),
    ],
)
def test_a_derivative_shares_its_functions_exponential(function: Any, power: Any) -> None:
    together = instructions([function, power])
    assert together - instructions([function]) < instructions([power]) / 2


POWERS = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    2.0,
    -2.0,
    3.0,
    -3.0,
    1e30,
    -1e30,
    np.inf,
    -np.inf,
    np.nan,
    1e-40,
    7.25,
]


@pytest.mark.parametrize("kind", [float32, float64], ids=lambda kind: kind.name)
@pytest.mark.parametrize("name", ["power", "atan2"])
def test_pairs_of_special_numbers(name: str, kind: dtype) -> None:
    left, right = (grid.ravel().astype(kind.numpy) for grid in np.meshgrid(POWERS, POWERS))
    target = np.zeros_like(left)
    run(simple(name, [kind, kind]), [left, right, target], (len(left),), [(1,)] * 3)
    with np.errstate(all="ignore"):
        exact = {"power": np.power, "atan2": np.arctan2}[name](left, right)
    np.testing.assert_allclose(target, exact, rtol=3e-7 if kind is float32 else 1e-15)
    decided = ~np.isnan(exact)
    np.testing.assert_array_equal(np.signbit(target[decided]), np.signbit(exact[decided]))


def test_powers_of_floats() -> None:
    generator = np.random.default_rng(3)
    left = np.exp(generator.uniform(-20, 20, 50_000)).astype(np.float32)
    right = generator.uniform(-5, 5, 50_000).astype(np.float32)
    target = np.zeros_like(left)
    run(simple("power", [float32, float32]), [left, right, target], (len(left),), [(1,)] * 3)
    with np.errstate(all="ignore"):
        exact = np.power(left.astype(np.float64), right.astype(np.float64))
    assert last_places(target, exact).max() <= 0.51


def test_every_function_is_tested() -> None:
    apart = {"power", "atan2", "normal_area", "normal_power"}
    assert set(VECTOR_MATH) - apart <= set(EXACT)
