"""Factorisations of arrays against NumPy's, and the threads of the libraries below."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from lampas.engine.host import blas_threads
from lampas.engine.tensor import lapack

SIZES = (3, lapack.SMALL, 40)


def stack(size: int, kind: str = "float64") -> np.ndarray:
    numbers = np.random.default_rng(size)
    a = numbers.standard_normal((2, size, size))
    return (a + 1j * numbers.standard_normal(a.shape) if kind == "complex128" else a).astype(kind)


@pytest.mark.parametrize("kind", ["float64", "complex128"])
@pytest.mark.parametrize("size", SIZES)
def test_factors_give_the_matrix_back(size: int, kind: str) -> None:
    a = stack(size, kind)
    turned = np.conj(np.swapaxes(a, -1, -2))
    positive = a @ turned + size * np.eye(size)
    factor, info = lapack.cholesky(positive)
    np.testing.assert_allclose(factor @ np.conj(np.swapaxes(factor, -1, -2)), positive, atol=1e-10)
    assert not info.any()
    assert not np.triu(factor, 1).any()
    u, s, vh = lapack.svd(a, True)
    np.testing.assert_allclose((u * s[..., None, :]) @ vh, a, atol=1e-10)
    q, r = lapack.qr(a, "reduced")
    np.testing.assert_allclose(q @ r, a, atol=1e-10)
    values, vectors = lapack.eigh(positive, "L")
    np.testing.assert_allclose((vectors * values[..., None, :]) @ np.conj(np.swapaxes(vectors, -1, -2)), positive, atol=1e-9)  # fmt: skip
    packed, pivots, _ = lapack.lu_packed(a)
    for matrix, both, exchanged in zip(a, packed, pivots, strict=True):
        order = lapack.order_of(exchanged, size)
        lower = np.tril(both, -1) + np.eye(size)
        np.testing.assert_allclose(lower @ np.triu(both), matrix[order], atol=1e-10)


@pytest.mark.parametrize("kind", ["float64", "complex128"])
@pytest.mark.parametrize("size", SIZES)
def test_numbers_agree_with_numpy(size: int, kind: str) -> None:
    a = stack(size, kind)
    np.testing.assert_allclose(lapack.det(a), np.linalg.det(a), 1e-10)
    for mine, expected in zip(lapack.slogdet(a), np.linalg.slogdet(a), strict=True):
        np.testing.assert_allclose(mine, expected, 1e-10)
    np.testing.assert_allclose(lapack.inverse(a)[0], np.linalg.inv(a), 1e-7, 1e-9)
    np.testing.assert_allclose(lapack.svdvals(a), np.linalg.svd(a, compute_uv=False), 1e-9, 1e-12)
    for uplo in ("L", "U"):
        mine, expected = lapack.eigvalsh(a, uplo), np.linalg.eigvalsh(a, UPLO=uplo)
        np.testing.assert_allclose(mine, expected, atol=1e-10)


@pytest.mark.parametrize("size", SIZES)
def test_a_singular_matrix_spoils_only_itself(size: int) -> None:
    a = stack(size)
    a[1, :, 2] = 0
    found, info = lapack.solve(a, np.ones((2, size, 1)))
    assert info.tolist() == [0, 3]
    np.testing.assert_allclose(a[0] @ found[0], 1, atol=1e-9)
    assert np.isnan(found[1]).all()
    assert lapack.det(a)[1] == 0
    sign, log = lapack.slogdet(a)
    assert sign[1] == 0
    assert log[1] == -np.inf


@pytest.mark.parametrize("package", blas_threads.PACKAGES)
def test_threads_come_back(package: str) -> None:
    functions = blas_threads.switches(package)
    if functions is None:
        pytest.skip("another BLAS")
    before = functions[0]()
    with blas_threads.at_most(1, package):
        assert functions[0]() == 1
        with blas_threads.at_most(2, package):
            assert functions[0]() == 1
    assert functions[0]() == before
    with pytest.raises(ValueError, match="inside"), blas_threads.at_most(1, package):
        raise ValueError("inside")
    assert functions[0]() == before


@pytest.mark.parametrize("package", blas_threads.PACKAGES)
def test_threads_come_back_after_the_last_of_many_callers(package: str) -> None:
    functions = blas_threads.switches(package)
    if functions is None:
        pytest.skip("another BLAS")
    before = functions[0]()
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with blas_threads.at_most(1, package):
            entered.set()
            leave.wait(10)

    other = threading.Thread(target=hold)
    other.start()
    entered.wait(10)
    with blas_threads.at_most(1, package):
        pass
    leave.set()
    other.join()
    assert functions[0]() == before
