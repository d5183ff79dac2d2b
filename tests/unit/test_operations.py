"""Operations against NumPy, where its functions mean the same."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lampas as T

G = np.random.default_rng(5)
X = G.standard_normal((3, 4))
Y = G.standard_normal((3, 4))
A = G.standard_normal((3, 3)) + 3 * np.eye(3)
N = G.integers(-9, 9, (3, 4))
B = X > 0
H = np.array([[1.0, np.nan, 3.0], [np.inf, -1.0, 2.0]])

PAIRS: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "sum": (lambda x: x.sum(1), lambda x: x.sum(1), (X,)),
    "sum of booleans": (lambda b: b.sum(), lambda b: b.sum(), (B,)),
    "mean": (lambda x: x.mean((0, 1)), lambda x: x.mean(), (X,)),
    "prod": (lambda x: x.prod(0), lambda x: x.prod(0), (X,)),
    "max": (lambda x: x.max(1), lambda x: (x.max(1), x.argmax(1)), (X,)),
    "amin": (lambda x: x.amin(0, True), lambda x: x.min(0, keepdims=True), (X,)),
    "nansum": (lambda x: x.nansum(1), lambda x: np.nansum(x, 1), (H,)),
    "std": (lambda x: x.std(1), lambda x: x.std(1, ddof=1), (X,)),
    "any": (lambda b: b.any(0), lambda b: b.any(0), (B,)),
    "count": (lambda x: T.count_nonzero(x, 1), lambda x: np.count_nonzero(x, 1), (N,)),
    "cumsum": (lambda x: x.cumsum(1), lambda x: x.cumsum(1), (N,)),
    "diff": (lambda x: x.diff(2), lambda x: np.diff(x, 2), (X,)),
    "quantile": (lambda x: x.quantile(0.3, 1), lambda x: np.quantile(x, 0.3, 1), (X,)),
    "median": (lambda x: x[:, :3].median(1)[0], lambda x: np.median(x[:, :3], 1), (X,)),
    "sort": (lambda x: x.sort(1)[1], lambda x: np.argsort(x, 1, kind="stable"), (X,)),
    "isin": (lambda a, b: T.isin(a, b[0]), lambda a, b: np.isin(a, b[0]), (N, N)),
    "matmul": (lambda x, y: x @ y.T, lambda x, y: x @ y.T, (X, Y)),
    "integers": (lambda x: x @ x.T, lambda x: x @ x.T, (N,)),
    "einsum": (
        lambda x, y: T.einsum("ij,kj->ki", x, y),
        lambda x, y: np.einsum("ij,kj->ki", x, y),
        (X, Y),
    ),
    "kron": (T.kron, np.kron, (X, Y)),
    "maximum": (T.maximum, np.maximum, (X, Y)),
    "fmax": (lambda h: T.fmax(h, h.flip(1)), lambda h: np.fmax(h, h[:, ::-1]), (H,)),
    "isclose": (lambda x: T.isclose(x, x + 1e-9), lambda x: np.isclose(x, x + 1e-9), (X,)),
    "xor": (lambda x: x ^ 3, lambda x: x ^ 3, (N,)),
    "shift": (lambda x: x >> 1, lambda x: x >> 1, (N,)),
    "where": (T.where, np.where, (B, X, Y)),
    "nonzero": (lambda b: T.nonzero(b), lambda b: np.argwhere(b), (B,)),
    "masked": (lambda x, b: x.masked_select(b), lambda x, b: x[b], (X, B)),
    "roll": (lambda x: x.roll((1, -2), (0, 1)), lambda x: np.roll(x, (1, -2), (0, 1)), (X,)),
    "rot90": (lambda x: x.rot90(3), lambda x: np.rot90(x, 3), (X,)),
    "tile": (lambda x: x.tile(2, 3), lambda x: np.tile(x, (2, 3)), (X,)),
    "repeat": (lambda x: x.repeat_interleave(2, 0), lambda x: x.repeat(2, 0), (X,)),
    "tril": (lambda x: x.tril(-1), lambda x: np.tril(x, -1), (X,)),
    "diagonal": (lambda x: x.diagonal(1), lambda x: x.diagonal(1), (X,)),
    "unique": (lambda x: T.unique(x), lambda x: np.unique(x), (N,)),
    "bincount": (lambda x: T.bincount(x[0].abs()), lambda x: np.bincount(np.abs(x[0])), (N,)),
    "inverse": (T.linalg.inv, np.linalg.inv, (A,)),
    "det": (T.linalg.det, np.linalg.det, (A,)),
    "solve": (lambda a, x: T.linalg.solve(a, x), np.linalg.solve, (A, X)),
    "norm": (lambda x: T.linalg.norm(x, "nuc"), lambda x: np.linalg.norm(x, "nuc"), (X,)),
    "pinv": (T.linalg.pinv, np.linalg.pinv, (X,)),
    "rank": (T.linalg.matrix_rank, np.linalg.matrix_rank, (X,)),
    "power": (lambda a: T.linalg.matrix_power(a, 5), lambda a: np.linalg.matrix_power(a, 5), (A,)),
    "fft": (lambda x: T.fft.fft(x, norm="ortho"), lambda x: np.fft.fft(x, norm="ortho"), (X,)),
    "irfft": (lambda x: T.fft.irfft(T.fft.rfft(x)), lambda x: x, (X,)),
    "fft2": (T.fft.fft2, np.fft.fft2, (X,)),
    "sinc": (T.sinc, np.sinc, (X,)),
    "hypot": (T.hypot, np.hypot, (X, Y)),
    "gcd": (T.gcd, np.gcd, (N, N[::-1].copy())),
    "heaviside": (T.heaviside, np.heaviside, (X, Y)),
    "nan_to_num": (T.nan_to_num, np.nan_to_num, (H,)),
    "frexp": (T.frexp, np.frexp, (X,)),
    "angle": (T.angle, np.angle, (X + 1j * Y,)),
    "cov": (lambda x: T.cov(x), np.cov, (X,)),
    "corrcoef": (lambda x: T.corrcoef(x), np.corrcoef, (X,)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_agrees_with_numpy(name: str) -> None:
    ours, theirs, arrays = PAIRS[name]
    found = ours(*(T.from_numpy(array) for array in arrays))
    wanted = theirs(*arrays)
    if not isinstance(wanted, tuple):
        found, wanted = (found,), (wanted,)
    for left, right in zip(found, wanted, strict=True):
        np.testing.assert_allclose(left.numpy(), right, rtol=1e-10, atol=1e-10)


def test_named_results_print_their_fields() -> None:
    found = T.tensor([[1.0, 2.0]]).max(1)
    assert repr(found).startswith("torch.return_types.max(\nvalues=tensor([2.])")
    assert found.indices.tolist() == [1]


def test_singular_matrices_are_refused() -> None:
    with pytest.raises(T.linalg.LinAlgError, match="singular"):
        T.linalg.inv(T.zeros(2, 2))


def test_nan_wins_and_is_found_first() -> None:
    found = T.from_numpy(H).max(1)
    assert found.values.isnan().tolist() == [True, False]
    assert found.indices.tolist() == [1, 0]


def test_an_empty_extreme_does_not_exist() -> None:
    with pytest.raises(IndexError, match="non-zero size"):
        T.zeros(0, 3).max(0)
