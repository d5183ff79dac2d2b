"""Matrices large enough for SciPy's LAPACK, distances of many rows, and transforms of real data, beside PyTorch."""

from typing import Any

import numpy as np
import pytest

import lampas

torch = pytest.importorskip("torch")

# `a`, `b`: matrices; `h`: positive definite where its lower triangle is read, spoilt above; `c`: columns.
WITH_GRADIENTS = (
    "T.linalg.svdvals(a)", "T.linalg.lu(a)[1]", "T.linalg.lu(a)[2]", "T.linalg.lu_factor(a)[0]",
    "T.linalg.svd(a, full_matrices=False)[1]", "T.linalg.eigvalsh((a + a.mH) / 2)",
    "T.linalg.det(a)", "T.linalg.slogdet(a)[1]", "T.linalg.solve(a, c)", "T.linalg.inv(a)",
    "T.linalg.solve_triangular(h, c, upper=False)", "T.linalg.pinv(a)",
)  # fmt: skip
VALUES = (
    "T.linalg.cholesky(h)", "T.linalg.cholesky(h.mH, upper=True)", "T.linalg.eigvalsh(h)",
    "T.linalg.eigvalsh(h.mH, 'U')", "T.linalg.eigh(h)[0]", "T.linalg.slogdet(a)[0]",
    "T.linalg.lu(a)[0]", "T.linalg.qr(a, mode='r')[1].abs()", "T.linalg.qr(a)[1].abs()",
    "T.linalg.qr(a, mode='complete')[0].abs()", "T.linalg.matrix_rank(a)",
    "T.linalg.solve_triangular(h, c, upper=True, unitriangular=True)",
    "T.linalg.inv_ex(z)[1]", "T.linalg.solve_ex(z, c)[1]", "T.linalg.det(z)",
    "T.linalg.slogdet(z)[1]", "T.linalg.cholesky_ex(z)[1]", "T.linalg.lu_factor_ex(z)[2]",
    "T.linalg.svd(a)[0].abs()", "T.linalg.svd(a)[2].abs()",
)  # fmt: skip


def matrices(complex_numbers: bool, size: int = 26) -> dict[str, np.ndarray]:
    numbers = np.random.default_rng(0)

    def drawn(*shape: int) -> np.ndarray:
        found = numbers.standard_normal(shape)
        return found + 1j * numbers.standard_normal(shape) if complex_numbers else found

    a = drawn(2, size, size)
    h = a @ np.conj(np.swapaxes(a, -1, -2)) + size * np.eye(size)
    z = drawn(2, size, size)
    z[1, :, 3] = 0
    return {"a": a, "h": h + np.triu(np.ones((size, size)), 1), "c": drawn(2, size, 3), "z": z}


def both(text: str, arrays: dict[str, np.ndarray], tolerance: float, gradients: bool) -> None:
    found: list[list[Any]] = []
    for library in (lampas, torch):
        names = {key: library.tensor(array) for key, array in arrays.items()}
        if gradients:
            names = {key: value.requires_grad_() for key, value in names.items()}
        made = eval(text, {"T": library, **names})
        found.append([made.detach().resolve_conj().numpy()])
        if gradients:
            weights = np.random.default_rng(1).standard_normal(tuple(made.shape))
            total = made * library.tensor(weights)
            (total.abs() if total.is_complex() else total).sum().backward()
            grads = [value.grad for value in names.values()]
            found[-1] += [None if grad is None else grad.resolve_conj().numpy() for grad in grads]
    for mine, expected in zip(*found, strict=True):
        if expected is not None:
            np.testing.assert_allclose(mine, expected, tolerance, tolerance, err_msg=text)


@pytest.mark.parametrize("complex_numbers", [False, True], ids=["real", "complex"])
@pytest.mark.parametrize("text", WITH_GRADIENTS)
def test_values_and_gradients(text: str, complex_numbers: bool) -> None:
    both(text, matrices(complex_numbers), 1e-7, True)


@pytest.mark.parametrize("complex_numbers", [False, True], ids=["real", "complex"])
@pytest.mark.parametrize("text", VALUES)
def test_values(text: str, complex_numbers: bool) -> None:
    both(text, matrices(complex_numbers), 1e-8, False)


@pytest.mark.parametrize("shape", [(30, 40), (40, 30)])
def test_oblong(shape: tuple[int, int]) -> None:
    arrays = {"a": np.random.default_rng(2).standard_normal(shape)}
    for text in ("svdvals(a)", "lu(a)[1]", "lu(a)[2]", "lu_factor(a)[0]", "qr(a)[1].abs()"):
        both(f"T.linalg.{text}", arrays, 1e-7, "abs" not in text)


@pytest.mark.parametrize("mode", ["use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist",
                                  "donot_use_mm_for_euclid_dist"])  # fmt: skip
@pytest.mark.parametrize(
    ("first", "second"),
    [((30, 4), (40, 4)), ((2, 30, 4), (3, 4)), ((1, 5, 4), (6, 30, 4)), ((2, 1, 30, 3), (4, 7, 3))],
)
def test_distances(first: tuple[int, ...], second: tuple[int, ...], mode: str) -> None:
    numbers = np.random.default_rng(3)
    arrays = {"a": numbers.standard_normal(first), "b": numbers.standard_normal(second)}
    both(f"T.cdist(a, b, compute_mode={mode!r})", arrays, 1e-7, True)


def test_distances_of_equal_rows_have_no_gradient() -> None:
    found = []
    for library in (lampas, torch):
        a = library.ones(30, 4, dtype=library.float64).requires_grad_()
        distances = library.cdist(a, library.ones(30, 4, dtype=library.float64))
        distances.sum().backward()
        found.append((distances.detach().numpy(), a.grad.numpy()))
    for mine, expected in zip(*found, strict=True):
        np.testing.assert_array_equal(mine, expected)


@pytest.mark.parametrize("seed", range(12))
def test_fourier_transforms_of_real_data(seed: int) -> None:
    numbers = np.random.default_rng(seed)
    rank = int(numbers.integers(1, 4))
    arrays = {"a": numbers.standard_normal(tuple(numbers.integers(1, 7, rank)))}
    dims = tuple(int(d) for d in numbers.permutation(rank)[: numbers.integers(1, rank + 1)])
    sizes = None if seed % 2 else tuple(int(n) for n in numbers.integers(1, 8, len(dims)))
    norm = (None, "ortho", "forward", "backward")[seed % 4]
    for name in ("fftn", "ifftn", "rfftn", "ihfftn"):
        call = f"T.fft.{name}(a, {sizes}, {dims}, {norm!r})"
        both(call, arrays, 1e-9, True)


@pytest.mark.parametrize(("rows", "columns", "offset"), [(4, 6, 0), (6, 4, -2), (5, 5, 3), (3, 3, -4),
                                                         (0, 3, 0), (3, 0, 1), (2, 5, 9)])  # fmt: skip
def test_triangles(rows: int, columns: int, offset: int) -> None:
    for name in ("tril_indices", "triu_indices"):
        both(f"T.{name}({rows}, {columns}, {offset})", {}, 0, False)
