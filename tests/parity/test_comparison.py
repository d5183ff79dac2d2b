"""Comparisons and logic beside PyTorch."""

import pytest

from tests.parity.expressions import check, check_error

torch = pytest.importorskip("torch")

EXPRESSIONS = """
x > y | x.ge(0.5) | T.lt(x, i) | T.eq(b, True) | i.ne(j) | x <= s | T.less_equal(x, y) | T.greater(i, 2.5)
T.equal(x, y) | T.equal(x, x) | T.equal(x, v) | T.isclose(x, x + 1e-9) | T.isclose(holes, holes, equal_nan=True)
T.allclose(x, y) | T.allclose(x, x + 1e-12) | T.isclose(i, j, rtol=0.5) | T.isclose(z, z * (1 + 1e-9))
holes.isnan() | holes.isinf() | holes.isfinite() | T.isposinf(holes) | T.isneginf(-holes) | T.signbit(-holes)
T.isreal(z) | T.isreal(x) | z.isnan() | i.isfinite() | i.isinf()
T.logical_and(x, i) | T.logical_or(b, x > 0) | T.logical_xor(b, i) | T.logical_not(i) | b.logical_not()
i & j | i | j ^ 3 | ~i | ~b | b & (x > 0) | T.bitwise_or(i, j) | T.bitwise_xor(b, b) | i << 2 | i >> 1
T.bitwise_left_shift(i, j) | T.bitwise_right_shift(i, j)
T.maximum(x, y) | T.minimum(x, y) | T.maximum(i, j) | T.fmax(holes, holes.flip(1)) | T.fmin(holes, ties)
T.fmax(x, y) | T.fmin(x, x) | T.where(b, x, y) | T.where(b, x, 0.0) | x.where(b, y) | T.where(b)
""".replace("\n", " | ").split(" | ")


@pytest.mark.parametrize("expression", [each for each in EXPRESSIONS if each.strip()])
def test_agrees(expression: str) -> None:
    check(torch, expression)


@pytest.mark.parametrize(
    ("expression", "phrase"),
    [
        ("z < z", '"lt_cpu" not implemented'),
        ("x & x", '"bitwise_and_cpu" not implemented'),
        ("T.isclose(x, i)", "did not match"),
        ("T.eq(x, u)", "must match the size of tensor b"),
        ("T.maximum(x, 1)", "must be Tensor, not int"),
        ("T.bitwise_left_shift(b, b)", "not implemented for 'Bool'"),
    ],
)
def test_errors(expression: str, phrase: str) -> None:
    check_error(torch, expression, phrase)


def test_in_place_and_out() -> None:
    check(
        torch, "[x.detach().clone().gt_(0), T.gt(x, y, out=T.empty(0, dtype=T.bool))]", grad=False
    )
