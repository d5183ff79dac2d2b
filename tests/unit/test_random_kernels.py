"""The machine code of random numbers against the NumPy form, to the last bit."""

import numpy as np
import pytest

from lampas.engine import dtype as dt
from lampas.engine.llvm.compiler import object_code
from lampas.engine.llvm.target import aarch64_neon, host, x86_avx2, x86_avx512, x86_sse2
from lampas.engine.settings import settings
from lampas.engine.tensor import (
    box_muller,
    choices,
    distributions,
    exact,
    random_kernels,
    random_native,
)
from lampas.engine.tensor.mt19937 import MersenneTwister

pytestmark = pytest.mark.skipif(not host().fma, reason="NumPy works where nothing is fused")
COUNT = random_native.ENOUGH + 7


def both(function):
    """The results with machine code and without."""
    compiled = function()
    with settings.override(tier="reference"):
        plain = function()
    return compiled, plain


def require_same(function):
    compiled, plain = both(function)
    assert compiled.dtype == plain.dtype
    assert compiled.tobytes() == plain.tobytes()


def test_the_kernels_are_there():
    assert random_native.native(COUNT) is not None
    with settings.override(tier="reference"):
        assert random_native.native(COUNT) is None


@pytest.mark.parametrize(
    "counts", [(COUNT,), (1, COUNT, 623, 1, 624, 5), (624 * 8, 3), (625, 1248)]
)
def test_words(counts):
    def draw():
        engine = MersenneTwister(5)
        return np.concatenate([engine.words(count) for count in (*counts, 10)])

    require_same(draw)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.1, 0.3), (1.0, 1.0 + 2e-7)])
def test_floats(low, high):
    require_same(lambda: MersenneTwister(5).floats(COUNT, low, high))


def test_doubles():
    require_same(lambda: MersenneTwister(5).doubles(COUNT))


@pytest.mark.parametrize("p", [0.0, 2.0**-53, 0.3, 1 - 2.0**-53, 1.0])
def test_trials(p):
    require_same(lambda: distributions.bernoulli(MersenneTwister(5), COUNT, dt.float32, p))


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.3, 1.7), (-5.0, 0.0)])
def test_normal(mean, std):
    def draw():
        numbers = MersenneTwister(9).floats(box_muller.BLOCK * 1000)
        numbers[:4] = [0.0, 1 - 2.0**-24, 2.0**-24, 0.5]
        numbers[8:12] = [0.0, 1 - 2.0**-24, 0.25, 0.125]
        box_muller.fill_normal(numbers, mean, std)
        return numbers

    require_same(draw)
    assert np.isfinite(draw()).all()


@pytest.mark.parametrize("name", random_kernels.LIBM)
def test_library_functions(name):
    values = MersenneTwister(3).doubles(COUNT)
    values[:2] = [0.0, 800.0] if name in ("log", "exp") else [0.0, 0.5]
    require_same(lambda: exact.libm(name, values))


@pytest.mark.parametrize(("factor", "addend"), [(1.7, 0.3), (-1e-3, 1.0), (0.1, -0.05)])
def test_fused_doubles(factor, addend):
    values = MersenneTwister(3).doubles(COUNT)
    require_same(lambda: exact.fused64(values, factor, addend))


def test_normal_numbers_have_their_moments():
    wide = distributions.normal(MersenneTwister(1), 160_000).astype(np.float64)
    assert abs(wide.mean()) < 0.01
    assert abs(wide.std() - 1) < 0.01
    assert abs((wide**4).mean() - 3) < 0.1


def test_swaps():
    partners = np.arange(COUNT - 1) + MersenneTwister(2).words(COUNT - 1) % 3
    partners = np.minimum(partners, COUNT - 1).astype(np.int64)
    require_same(lambda: choices.swap_chain(partners, COUNT))


@pytest.mark.parametrize("target", [x86_sse2(), x86_avx2(), x86_avx512(), aarch64_neon()])
def test_other_machines_compile(target):
    assert object_code(random_kernels.kernels(), target)
