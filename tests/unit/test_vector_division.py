"""The rest of a division and what is made of it, bit for bit, over all numbers; and the next number."""

from __future__ import annotations

import numpy as np
import pytest

import lampas
from lampas.engine.dtype import dtype, float32, float64
from lampas.engine.graph import primitives as p
from lampas.engine.graph.reference import REFERENCE_RULES
from lampas.engine.llvm.compiler import compile_function
from lampas.engine.llvm.target import Target, host, x86_sse2
from lampas.engine.loops.emit import emit
from tests.unit.nests import KERNEL, Array, simple

COUNT = 20_000
# fmt: off
SPECIAL = [
    0.0, -0.0, 1.0, -1.0, 0.5, 3.0, 7.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 5e-324, 1.17549435e-38, 2.2250738585072014e-308,
    4194303.0, 4194304.0, 268435455.0, 268435456.0, 2.0**51, 2.0**53, 3.0e38, -3.4e38, 1.7e308,
]
# fmt: on


def patterns(kind: dtype, generator: np.random.Generator, most: float = 1.0) -> Array:
    """Numbers of random bits; with `most` below 1 the smallest of them."""
    unsigned = np.dtype(f"u{kind.itemsize}")
    top = int(most * (2 ** (8 * kind.itemsize) - 1))
    return generator.integers(0, top, COUNT, dtype=np.uint64).astype(unsigned).view(kind.numpy)


def pairs(kind: dtype) -> dict[str, tuple[Array, Array]]:
    """Dividends and divisors by what is special about their quotients."""
    generator = np.random.default_rng(11)
    normal = generator.normal(size=(2, COUNT)).astype(kind.numpy)
    left, right = (
        grid.ravel() for grid in np.meshgrid(*[np.array(SPECIAL).astype(kind.numpy)] * 2)
    )
    whole = np.round(generator.uniform(1, 3e6, COUNT))
    product = (whole * normal[0]).astype(kind.numpy)
    up, down = (np.nextafter(product, kind.numpy.type(end)) for end in (np.inf, -np.inf))
    denormal = patterns(kind, generator, 2.0**-12)
    return {
        "special": (left.copy(), right.copy()),
        "any": (patterns(kind, generator), patterns(kind, generator)),
        "moderate": (normal[0], normal[1]),
        "large": ((normal[0] * 1e6).astype(kind.numpy), normal[1]),
        "huge": ((normal[0] * 1e25).astype(kind.numpy), normal[1]),
        "multiples": (product, normal[0]),
        "above multiples": (up, normal[0]),
        "below multiples": (down, normal[0]),
        "denormal": (denormal, patterns(kind, generator, 2.0**-12)),
        "by denormal": (patterns(kind, generator), denormal),
    }


def computed(name: str, kind: dtype, x: Array, y: Array, target: Target) -> Array:
    label, text, signature = emit(simple(name, [kind, kind]), target)
    kernel = KERNEL(compile_function(text, label))
    result = np.zeros_like(x)
    integers = np.array(signature.integers((len(x),), [(1,)] * 3, 0), dtype=np.int64)
    pointers = np.array([array.ctypes.data for array in (x, y, result)], dtype=np.int64)
    kernel(pointers.ctypes.data, integers.ctypes.data, 0, signature.extent((len(x),)), 0)
    return result


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("kind", [float32, float64], ids=lambda kind: kind.name)
@pytest.mark.parametrize("name", ["fmod", "remainder", "floor_divide", "nextafter"])
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_equals_the_reference_in_every_bit(name: str, kind: dtype, fused: bool) -> None:
    """Also where the target has no fused multiply-add, which such a rest could not do without."""
    target = host() if fused else x86_sse2(host().triple)
    for words, (x, y) in pairs(kind).items():
        found = computed(name, kind, x, y, target)
        with np.errstate(all="ignore"):
            exact = REFERENCE_RULES[p.PRIMITIVES[name]]([x, y])
        same = (found == exact) & (np.signbit(found) == np.signbit(exact))
        same |= np.isnan(found) & np.isnan(exact)
        assert same.all(), (words, x[~same][:3], y[~same][:3], found[~same][:3], exact[~same][:3])


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.int64, np.uint8])
def test_truncated_division_of_integers(kind: type) -> None:
    """By Python's integers, which do not overflow."""
    generator = np.random.default_rng(16)
    ends = np.iinfo(kind)
    for low, high in (ends.min, ends.max), (max(ends.min, -9), 9):
        x, y = generator.integers(low, high, (2, 3000), dtype=kind, endpoint=True)
        y[y == 0] = 1
        found = lampas.div(lampas.from_numpy(x), lampas.from_numpy(y), rounding_mode="trunc")
        pairs = zip(x.tolist(), y.tolist(), strict=True)
        exact = [abs(a) // abs(b) * (-1 if (a < 0) != (b < 0) else 1) for a, b in pairs]
        np.testing.assert_array_equal(found.numpy(), np.array(exact).astype(kind))
