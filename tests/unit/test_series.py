"""Special functions composed of primitives, and those that go through SciPy in shares, against SciPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special

import lampas as torch

Array = np.ndarray[Any, Any]

# Largest errors in last places: SciPy's own double results are a few places off, and far out, where the rounding of
# x/√2 grows by x², hundreds.
FLOATS = {"ndtr": 150}
DOUBLES = {"i1": 40, "i1e": 32, "erfcx": 1000, "ndtr": 1500, "log_ndtr": 1000}


def numbers() -> Array:
    generator = np.random.default_rng(8)
    parts = [generator.normal(size=3000) * scale for scale in (1e-6, 1.0, 5.0, 12.0)]
    edges = [0.0, -0.0, 1e-300, 8.0, -8.0, np.nextafter(8, 0), 20.0, 26.5, -26.5, 30.0, -30.0]
    return np.concatenate([*parts, edges])


def last_places(found: Array, exact: Array) -> Array:
    with np.errstate(all="ignore"):
        right = exact.astype(found.dtype)
        unit = np.spacing(np.abs(right)).astype(np.float64)
        error = np.abs(found.astype(np.float64) - exact) / unit
    return np.where(found == right, 0, error)


@pytest.mark.parametrize("name", ["i0", "i0e", "i1", "i1e", "erfcx", "ndtr", "log_ndtr"])
def test_composed_functions(name: str) -> None:
    source = numbers()
    exact = getattr(scipy.special, name)
    found = getattr(torch.special, name)(torch.from_numpy(source)).numpy()
    assert last_places(found, exact(source)).max() <= DOUBLES.get(name, 16)
    single = source.astype(np.float32)
    found = getattr(torch.special, name)(torch.from_numpy(single)).numpy()
    assert found.dtype == np.float32
    assert last_places(found, exact(single.astype(np.float64))).max() <= FLOATS.get(name, 0.51)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_types_are_computed_wide(kind: Any) -> None:
    source = torch.tensor([-3.0, -0.5, 0.0, 1.0, 9.0]).to(kind)
    for name in ("i0e", "i1", "ndtr", "log_ndtr", "erfcx"):
        function = getattr(torch.special, name)
        assert function(source).dtype is kind
        assert torch.equal(function(source), function(source.double()).to(kind)), name


def test_ends_of_the_composed_functions() -> None:
    ends = torch.tensor([np.inf, -np.inf, np.nan, 0.0, 1e300, -1e300], dtype=torch.float64)
    nan = np.nan
    wanted = {
        "i0e": [0, 0, nan, 1, 3.989422804014327e-151, 3.989422804014327e-151],
        "i1e": [0, 0, nan, 0, 3.989422804014327e-151, -3.989422804014327e-151],
        "erfcx": [0, np.inf, nan, 1, 5.641895835477562e-301, np.inf],
        "ndtr": [1, 0, nan, 0.5, 1, 0],
        "log_ndtr": [0, -np.inf, nan, -np.log(2), 0, -np.inf],
    }
    for name, values in wanted.items():
        found = getattr(torch.special, name)(ends).numpy()
        np.testing.assert_allclose(found, values, rtol=1e-15, err_msg=name)
    largest = torch.tensor([713.5, -713.5], dtype=torch.float64)  # where exp overflows, not i0
    logarithms = 713.5 + np.log(scipy.special.i0e(largest.numpy()))
    np.testing.assert_allclose(torch.special.i0(largest).log(), logarithms, rtol=1e-15)


def test_derivatives_are_finite_where_a_branch_is_not_taken() -> None:
    for name in ("i0", "i0e", "i1", "i1e", "erfcx", "ndtr", "log_ndtr"):
        x = torch.tensor([0.0, -40.0 if name == "ndtr" else -5.0, 40.0], requires_grad=True)
        (first,) = torch.autograd.grad(getattr(torch.special, name)(x).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), x)
        assert torch.isfinite(first).all(), name
        assert torch.isfinite(second).all(), name


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_trigamma(kind: Any) -> None:
    generator = np.random.default_rng(9)
    right = np.concatenate([generator.uniform(0.5, 12, 3000), np.geomspace(1e-3, 1e6, 3000)])
    found = torch.polygamma(1, torch.tensor(right, dtype=kind)).numpy()
    exact = scipy.special.polygamma(1, torch.tensor(right, dtype=kind).double().numpy())
    assert last_places(found, exact)[right > 0.5].max() < 20
    np.testing.assert_allclose(found, exact, rtol=4e-6 if kind is torch.float32 else 1e-13)
    left = generator.uniform(-4.9, 0, 500)
    mirrored = np.pi**2 / np.sin(np.pi * left) ** 2 - scipy.special.polygamma(1, 1 - left)
    found = torch.polygamma(1, torch.tensor(left)).numpy()
    np.testing.assert_allclose(found, mirrored, rtol=1e-12, atol=1e-12)
    ends = torch.polygamma(1, torch.tensor([0.0, -0.0, np.inf, np.nan], dtype=kind)).numpy()
    np.testing.assert_array_equal(ends, [np.inf, np.inf, 0, np.nan])


def host_functions() -> dict[str, Callable[[Any], Any]]:
    """Elementwise functions that SciPy computes, of 40,000 numbers in (0, 6)."""
    special = torch.special
    return {
        "bessel_j0": special.bessel_j0,
        "modified_bessel_k1": special.modified_bessel_k1,
        "airy_ai": special.airy_ai,
        "zeta": lambda x: special.zeta(2.5, x),
        "gammainc": lambda x: special.gammainc(x, x.flip(0)),
        "gammaincc": lambda x: special.gammaincc(x, x.flip(0)),
        "polygamma": lambda x: torch.polygamma(2, x),
        "hermite": lambda x: special.hermite_polynomial_h(x, torch.arange(200).repeat(200) % 7),
        "logcumsumexp": lambda x: torch.logcumsumexp(x.view(200, 200), 1),
        "logcumsumexp across": lambda x: torch.logcumsumexp(x.view(10, 4000), 0),
    }


@pytest.mark.parametrize("name", host_functions())
def test_shares_do_not_show(name: str) -> None:
    """The same bits on one thread and on several, and on a part alone."""
    source = torch.from_numpy(np.random.default_rng(10).uniform(0.01, 6, 40_000).astype(np.float32))
    function, threads = host_functions()[name], torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = function(source).numpy().copy()
        torch.set_num_threads(3)
        shared = function(source).numpy()
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(alone, shared)


def test_upper_incomplete_gamma_where_it_is_one_less_the_lower() -> None:
    generator = np.random.default_rng(12)
    a, x = generator.uniform(0.01, 4, 20_000), generator.uniform(0, 4, 20_000)
    found = torch.special.gammaincc(torch.tensor(a), torch.tensor(x)).numpy()
    np.testing.assert_allclose(found, scipy.special.gammaincc(a, x), rtol=1e-13)


@pytest.mark.parametrize("scale", [1.0, 400.0, 1e5])
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_logcumsumexp(scale: float, dim: int) -> None:
    """Scans that doubles hold at once, and wide ones and infinite ones that go step by step."""
    source = np.random.default_rng(13).normal(size=(3, 40, 50)).astype(np.float32) * scale
    source[0, 0, :4] = np.inf, -np.inf, np.nan, 0
    with np.errstate(all="ignore"):
        exact = np.logaddexp.accumulate(source.astype(np.float64), axis=dim)
    for kind in (np.float32, np.float64):
        found = torch.logcumsumexp(torch.from_numpy(source.astype(kind)), dim).numpy()
        assert found.dtype == kind
        tolerance = 1e-6 if kind == np.float32 else 1e-14
        np.testing.assert_allclose(found, exact, rtol=tolerance, atol=tolerance)


def test_polynomials_of_one_degree_equal_those_of_many() -> None:
    x = torch.linspace(-2, 2, 101, dtype=torch.float64)
    for family in (
        "chebyshev_polynomial_w",
        "shifted_chebyshev_polynomial_v",
        "hermite_polynomial_h",
    ):
        function = getattr(torch.special, family)
        for degree in (0, 1, 2, 7):
            many = function(x, torch.full((101,), degree))
            np.testing.assert_allclose(function(x, degree), many, rtol=1e-12, atol=1e-12)
    x.requires_grad_()
    with pytest.raises(NotImplementedError, match="derivative of chebyshev_polynomial_t"):
        torch.special.chebyshev_polynomial_t(x, 3).sum().backward()
