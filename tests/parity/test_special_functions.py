"""Special functions and the rest of elementwise mathematics beside PyTorch."""

from typing import Any

import numpy as np
import pytest

import lampas
from tests.parity.expressions import check, check_error

torch = pytest.importorskip("torch")

ONE = "i0 i0e i1 i1e ndtr ndtri log_ndtr erfcx entr psi gammaln expit logit sinc".split()
PLAIN = (
    "bessel_j0 bessel_j1 bessel_y0 bessel_y1 modified_bessel_k0 modified_bessel_k1 airy_ai".split()
)
FAMILIES = "chebyshev_polynomial_t shifted_chebyshev_polynomial_u hermite_polynomial_h".split()
FAMILIES += "hermite_polynomial_he laguerre_polynomial_l legendre_polynomial_p".split()

EXPRESSIONS = """
T.polygamma(1, p) | T.polygamma(2, p) | p.digamma() | T.special.zeta(2.0, p + 1) | T.igamma(p.detach(), y.abs()) | T.igammac(p.detach(), y.abs()) | T.mvlgamma(p + 3, 2) | T.special.xlog1py(x, p) | T.xlogy(x, p) | T.xlogy(0.0, p)
T.hypot(x, y) | T.atan2(x, y) | T.logaddexp(x, y) | T.logaddexp2(x, y) | T.copysign(x, y) | T.nextafter(x, y) | T.heaviside(x.detach(), y.detach()) | T.gcd(i, j) | T.lcm(i, j) | T.float_power(p, 2) | T.ldexp(x, j) | T.frexp(x) | T.nan_to_num(holes) | T.nan_to_num(holes, 1.0, 2.0, -2.0) | T.deg2rad(x) | T.rad2deg(x) | T.sinc(x) | p.logit() | x.logit(0.2) | T.true_divide(i, j)
""".replace("\n", " | ").split(" | ")


@pytest.mark.parametrize("expression", [each for each in EXPRESSIONS if each.strip()])
def test_agrees(expression: str) -> None:
    check(torch, expression)


@pytest.mark.parametrize("name", ONE)
def test_one_operand(name: str) -> None:
    check(torch, f"T.special.{name}(p)", tolerance=1e-7)


@pytest.mark.parametrize("name", PLAIN)
def test_without_derivative(name: str) -> None:
    check(torch, f"T.special.{name}(p)", grad=False, tolerance=1e-6)


@pytest.mark.parametrize("name", FAMILIES)
def test_polynomials(name: str) -> None:
    check(torch, f"T.special.{name}(x, j)", grad=False, tolerance=1e-7)


@pytest.mark.parametrize(
    ("expression", "phrase"),
    [
        ("T.polygamma(-1, x)", "does not support negative n"),
        ("T.gcd(x, x)", "not implemented for 'Double'"),
        ("T.heaviside(x, i)", "different dtypes"),
        ("T.frexp(i)", "only supports floating-point dtypes"),
    ],
)
def test_errors(expression: str, phrase: str) -> None:
    check_error(torch, expression, phrase)


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("name", ["fmod", "remainder", "floor_divide", "nextafter"])
def test_divisions_in_every_bit(name: str, kind: str) -> None:
    """Random bits and large quotients, but where PyTorch's vectors give NaN for numbers that have a rest."""
    generator = np.random.default_rng(14)
    size = np.dtype(kind).itemsize
    bits = generator.integers(0, 2 ** (8 * size), (2, 20_000), dtype=np.uint64)
    normal = generator.normal(size=(2, 20_000)).astype(kind)
    large = np.stack([normal[0] * 1e7, normal[1]]).astype(kind)
    for x, y in (bits.astype(f"u{size}").view(kind), normal, large):
        found, wanted = (
            getattr(library, name)(library.from_numpy(x), library.from_numpy(y)).numpy()
            for library in (lampas, torch)
        )
        decided = ~np.isnan(wanted)
        assert decided.mean() > 0.8
        np.testing.assert_array_equal(found[decided], wanted[decided])
        np.testing.assert_array_equal(np.signbit(found[decided]), np.signbit(wanted[decided]))


SINGLE = "erfc erfinv lgamma digamma atanh asinh sinh".split()


@pytest.mark.parametrize("name", [*SINGLE, *(f"special.{name}" for name in ONE[:8])])
def test_many_floats(name: str) -> None:
    """Single precision, where PyTorch itself is a few places off."""
    source = np.random.default_rng(15).uniform(0.01, 0.99, 5000).astype(np.float32)
    results = []
    for library in (lampas, torch):
        function: Any = library
        for part in name.split("."):
            function = getattr(function, part)
        x = library.from_numpy(source).requires_grad_()
        y = function(x)
        y.sum().backward()
        results.append((y.detach().numpy(), x.grad.numpy()))
    for found, wanted in zip(*results, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=3e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("name", ["i0e", "i1e", "erfcx", "ndtr", "log_ndtr"])
def test_ends(name: str, kind: str) -> None:
    source = np.array([0.0, np.inf, -np.inf, np.nan, 1e30, -1e30, -30.0, 30.0], kind)
    found, wanted = (
        getattr(library.special, name)(library.from_numpy(source)).numpy()
        for library in (lampas, torch)
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-15)  # PyTorch cuts ndtr off
