"""Derivatives of operations against central differences, in double precision."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lampas as T

STEP = 1e-6


def _inputs() -> dict[str, np.ndarray]:
    g = np.random.default_rng(3)
    base = g.standard_normal((3, 3))
    return {
        "x": g.standard_normal((2, 3)),
        "y": g.standard_normal((2, 3)),
        "p": g.uniform(0.2, 0.8, (2, 3)),
        "v": g.standard_normal(3),
        "A": base + 3 * np.eye(3),
        "S": base @ base.T + 3 * np.eye(3),
        "B": g.standard_normal((2, 2, 3)),
    }


INPUTS = _inputs()
ROWS = T.tensor([[0, 1, 1]])
MASK = T.tensor([[True, False, True], [False, False, True]])

CASES: dict[str, Callable[..., Any]] = {
    "sum": lambda x: x.sum(1),
    "mean": lambda x: x.mean(0, keepdim=True),
    "prod": lambda x: x.prod(1),
    "amax": lambda x: x.amax(1),
    "max": lambda x: x.max(1).values,
    "var": lambda x: x.var(1),
    "std": lambda x: x.std(),
    "logsumexp": lambda x: x.logsumexp((0, 1)),
    "cumprod": lambda x: x.cumprod(1),
    "logcumsumexp": lambda x: x.logcumsumexp(1),
    "median": lambda x: x.median(1).values,
    "quantile": lambda x: x.quantile(0.3, 1),
    "norm": lambda x: x.norm(3, 1),
    "nuclear": lambda x: T.linalg.matrix_norm(x, "nuc"),
    "cdist": lambda x, y: T.cdist(x, y),
    "matmul": lambda x, A: x @ A,
    "layer_norm": lambda B, y, x: T.nn.functional.layer_norm(B, (2, 3), y, x),
    "gelu": lambda x: T.nn.functional.gelu(x),
    "gelu_tanh": lambda x: T.nn.functional.gelu(x, approximate="tanh"),
    "layer_norm_rows": lambda x, v: T.nn.functional.layer_norm(x, (3,), v),
    "batched": lambda B, A: B @ A,
    "vector": lambda B, v: B @ v,
    "einsum": lambda x, y, v: T.einsum("ij,kj,j->ik", x, y, v),
    "addmm": lambda x, y, A: T.addmm(y, x, A, beta=0.5, alpha=2),
    "linear": lambda B, A, v: T.nn.functional.linear(B, A, v),
    "kron": lambda x, v: T.kron(x, v),
    "sort": lambda x: x.sort(1).values,
    "topk": lambda x: x.topk(2).values,
    "gather": lambda x: x.gather(0, ROWS),
    "scatter": lambda x, y: x.scatter(0, ROWS, y[:1]),
    "scatter_prod": lambda x, y: x.scatter_reduce(0, ROWS, y[:1], "prod"),
    "scatter_max": lambda x, y: x.scatter_reduce(0, ROWS, y[:1], "amax"),
    "index_add": lambda x, y: x.index_add(0, T.tensor([1, 1]), y),
    "masked_fill": lambda x: x.masked_fill(MASK, 2.0),
    "masked_select": lambda x: x.masked_select(MASK),
    "where": lambda x, y: T.where(MASK, x, y),
    "diagonal": lambda A: A.diagonal(1),
    "diag_embed": lambda x: x.diag_embed(),
    "unfold": lambda x: x.unfold(1, 2, 1),
    "roll": lambda x: x.roll(1, 1),
    "repeat": lambda x: x.repeat(2, 3),
    "inverse": lambda A: T.linalg.inv(A),
    "solve": lambda A, v: T.linalg.solve(A, v),
    "det": lambda A: T.linalg.det(A),
    "slogdet": lambda A: T.linalg.slogdet(A)[1],
    "cholesky": lambda S: T.linalg.cholesky((S + S.T) / 2),
    "lu": lambda A: T.linalg.lu(A)[1:],
    "eigh": lambda S: T.linalg.eigvalsh((S + S.T) / 2),
    "vectors": lambda S: T.linalg.eigh((S + S.T) / 2).eigenvectors.abs(),
    "svd": lambda x: T.linalg.svd(x, full_matrices=False).U.abs(),
    "qr": lambda A: T.linalg.qr(A),
    "pinv": lambda x: T.linalg.pinv(x),
    "matrix_exp": lambda A: T.linalg.matrix_exp(A),
    "rfft": lambda x: T.view_as_real(T.fft.rfft(x)),
    "irfft": lambda x, y: T.fft.irfft(T.complex(x, y), n=5),
    "digamma": lambda p: p.digamma(),
    "polygamma": lambda p: T.polygamma(1, p),
    "i0": lambda x: T.special.i0(x),
    "i1e": lambda x: T.special.i1e(x),
    "ndtri": lambda p: T.special.ndtri(p),
    "erfcx": lambda x: T.special.erfcx(x),
    "logit": lambda p: p.logit(),
    "sinc": lambda x: x.sinc(),
    "hypot": lambda x, y: T.hypot(x, y),
    "xlogy": lambda x, p: T.xlogy(x, p),
    "logaddexp": lambda x, y: T.logaddexp(x, y),
    "polar": lambda p, x: T.view_as_real(T.polar(p, x)),
}


def names_of(function: Callable[..., Any]) -> list[str]:
    code = function.__code__
    return list(code.co_varnames[: code.co_argcount])


def total(function: Callable[..., Any], arrays: list[Any]) -> Any:
    """A weighted sum of all results."""
    found = function(*arrays)
    parts = found if isinstance(found, tuple) else (found,)
    weights = [T.from_numpy(np.cos(np.arange(part.numel()) + 1.0)) for part in parts]
    return sum((part.reshape(-1) * w).sum() for part, w in zip(parts, weights, strict=True))


def difference(function: Callable[..., Any], arrays: list[np.ndarray], place: int) -> np.ndarray:
    """The gradient by central differences."""
    result = np.zeros_like(arrays[place])
    for position in np.ndindex(result.shape):
        values = []
        for step in (STEP, -STEP):
            moved = [np.array(array) for array in arrays]
            moved[place][position] += step
            values.append(total(function, [T.from_numpy(array) for array in moved]).item())
        result[position] = (values[0] - values[1]) / (2 * STEP)
    return result


@pytest.mark.parametrize("name", CASES)
def test_first_derivative(name: str) -> None:
    function = CASES[name]
    arrays = [INPUTS[each] for each in names_of(function)]
    tensors = [T.from_numpy(np.array(array)).requires_grad_() for array in arrays]
    total(function, tensors).backward()
    for place, tensor in enumerate(tensors):
        wanted = difference(function, arrays, place)
        np.testing.assert_allclose(tensor.grad.numpy(), wanted, rtol=1e-5, atol=1e-6)


SECOND = "gelu gelu_tanh prod var logsumexp matmul linear inverse solve cholesky eigh pinv matrix_exp i0".split()


@pytest.mark.parametrize("name", SECOND)
def test_second_derivative(name: str) -> None:
    """The derivative of the squared gradient's sum."""
    function = CASES[name]
    arrays = [INPUTS[each] for each in names_of(function)]

    def slope(*tensors: Any) -> Any:
        live = [t if t.requires_grad else t.requires_grad_() for t in tensors]
        grads = T.autograd.grad(total(function, live), live, create_graph=True)
        return sum((grad * grad).sum() for grad in grads)

    tensors = [T.from_numpy(np.array(array)).requires_grad_() for array in arrays]
    total(slope, tensors).backward()
    for place, tensor in enumerate(tensors):
        wanted = difference(slope, arrays, place)
        found = np.zeros_like(wanted) if tensor.grad is None else tensor.grad.numpy()
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
