"""The machine code of random numbers against the NumPy form, to the last bit."""

import numpy as np
import pytest

from lampas.engine.llvm.compiler import object_code
from lampas.engine.llvm.target import aarch64_neon, host, x86_avx2, x86_avx512, x86_sse2
from lampas.engine.settings import settings
from lampas.engine.tensor import box_muller, random_kernels
from lampas.engine.tensor.mt19937 import MersenneTwister

needs_fma = pytest.mark.skipif(not host().fma, reason="the NumPy form is used without fused steps")


@needs_fma
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.3, 1.7), (-5.0, 0.0)])
def test_normal(mean, std):
    numbers = MersenneTwister(9).floats(random_kernels.ENOUGH_NUMBERS * 4)
    numbers[:4] = [0.0, 1 - 2.0**-24, 2.0**-24, 0.5]
    numbers[8:12] = [0.0, 1 - 2.0**-24, 0.25, 0.125]
    expected = numbers.copy()
    box_muller.fill_normal(expected, mean, std)
    random_kernels.fill_normal(numbers, mean, std)
    assert numbers.tobytes() == expected.tobytes()
    assert np.isfinite(numbers).all()


def test_normal_numbers_have_their_moments():
    numbers = MersenneTwister(1).floats(160_000)
    random_kernels.fill_normal(numbers, 0.0, 1.0)
    wide = numbers.astype(np.float64)
    assert abs(wide.mean()) < 0.01
    assert abs(wide.std() - 1) < 0.01
    assert abs((wide**4).mean() - 3) < 0.1


def test_swaps():
    count = random_kernels.ENOUGH_SWAPS + 3
    partners = np.arange(count - 1) + MersenneTwister(2).words(count - 1) % 3
    partners = np.minimum(partners, count - 1).astype(np.int64)
    with settings.override(tier="reference"):
        expected = random_kernels.swap_chain(partners, count)
    assert random_kernels.swap_chain(partners, count).tolist() == expected.tolist()


@pytest.mark.parametrize("target", [x86_sse2(), x86_avx2(), x86_avx512(), aarch64_neon()])
def test_other_machines_compile(target):
    assert object_code(random_kernels.kernels(), target)
