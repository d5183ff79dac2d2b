"""Checks of derivatives by finite differences.

The Jacobian by central differences, J_ij = (f_i(x + eps e_j) - f_i(x - eps e_j)) / 2 eps, is compared
with the one that backward gives, one row for each output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.tensor import Tensor
from lampas.engine.tensor.backward import grad
from lampas.engine.tensor.conversion import array_of, from_numpy
from lampas.engine.tensor.grad_switches import enable_grad, no_grad

if TYPE_CHECKING:
    from collections.abc import Callable


class GradcheckError(RuntimeError):
    """The numerical and the analytical derivative differ."""


def _outputs(function: Callable[..., Any], inputs: tuple[Any, ...]) -> tuple[Tensor, ...]:
    result = function(*inputs)
    results = result if isinstance(result, (tuple, list)) else (result,)
    return tuple(out for out in results if isinstance(out, Tensor) and _is_differentiable(out))


def _is_differentiable(tensor: Tensor) -> bool:
    return tensor.dtype.is_floating_point or tensor.dtype.is_complex


def _values(outputs: tuple[Tensor, ...]) -> list[np.ndarray]:
    return [np.array(array_of(out.detach())) for out in outputs]  # type: ignore[attr-defined]


def _numerical(
    function: Callable[..., Any], inputs: tuple[Any, ...], place: int, eps: float
) -> list[np.ndarray]:
    """For each output: d out[i] / d input[j], the imaginary direction added as 1j·d/dy."""
    source = inputs[place]
    base = np.array(array_of(source.detach()))
    columns: list[list[np.ndarray]] = []
    directions = (eps, 1j * eps) if source.dtype.is_complex else (eps,)
    for direction in directions:
        for index in np.ndindex(base.shape):
            moved = []
            for sign in (1, -1):
                changed = base.copy()
                changed[index] += sign * direction
                trial = list(inputs)
                trial[place] = from_numpy(changed).clone()  # type: ignore[attr-defined]
                with no_grad():
                    moved.append(_values(_outputs(function, tuple(trial))))
            columns.append([(a - b) / (2 * eps) for a, b in zip(*moved, strict=True)])
    count = base.size
    result = []
    for out in range(len(columns[0]) if columns else 0):
        table = np.stack([column[out].reshape(-1) for column in columns], -1)
        result.append((table[:, :count], table[:, count:]))
    return result  # type: ignore[return-value]


def _analytical(
    outputs: tuple[Tensor, ...], source: Tensor, out: int, weight: complex
) -> np.ndarray:
    """Rows: the cotangent of the source for cotangent `weight` at each place of one output."""
    shape = outputs[out]._shape
    kind = outputs[out].dtype.numpy
    rows = []
    for index in np.ndindex(shape):
        seed = np.zeros(shape, kind)
        seed[index] = weight
        (found,) = grad(
            outputs[out], source, from_numpy(seed), retain_graph=True, allow_unused=True
        )
        empty = np.zeros(source._shape, source.dtype.numpy)
        rows.append((empty if found is None else np.array(array_of(found.detach()))).reshape(-1))  # type: ignore[attr-defined]
    return np.stack(rows) if rows else np.zeros((0, source._node_count()))


def _expected(real: np.ndarray, imaginary: np.ndarray, weight: complex) -> np.ndarray:
    """The cotangent conj-linear in the directions: Re(conj(w)·df/dx) + i·Re(conj(w)·df/dy)."""
    along = (np.conj(weight) * real).real
    if not imaginary.size:
        return along
    return along + 1j * (np.conj(weight) * imaginary).real


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Whether backward of `func` at `inputs` (float64) equals central differences.

    Raises GradcheckError (a RuntimeError) naming output and input, or returns False without
    `raise_exception`.
    """
    given = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    sources = [
        place for place, each in enumerate(given) if isinstance(each, Tensor) and each.requires_grad
    ]
    if not sources:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of the them "
            "have requires_grad=True."
        )
    try:
        _check_all(func, given, sources, eps, atol, rtol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _check_all(
    func: Callable[..., Any], given: Any, sources: list[int], eps: float, atol: float, rtol: float
) -> None:
    outputs = _outputs(func, given)
    for place in sources:
        tables = _numerical(func, given, place, eps)
        for out, (real, imaginary) in enumerate(tables):  # type: ignore[misc]
            weights = (1, 1j) if outputs[out].dtype.is_complex else (1,)
            for weight in weights:
                if not outputs[out].requires_grad:
                    continue
                found = _analytical(outputs, given[place], out, weight)
                wanted = _expected(real, imaginary, weight)
                if not np.allclose(found, wanted, rtol, atol, equal_nan=True):
                    raise GradcheckError(
                        f"Jacobian mismatch for output {out} with respect to input {place},\n"
                        f"numerical:{wanted}\nanalytical:{found}\n"
                    )


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """`gradcheck` of the gradient itself: second derivatives."""
    given = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    outputs = _outputs(func, given)
    seeds = _seeds(outputs, grad_outputs)
    count = len(given)

    def gradient(*arguments: Any) -> tuple[Tensor, ...]:
        sources = tuple(
            each.detach().requires_grad_()
            if isinstance(each, Tensor)
            and not each.requires_grad
            and _is_differentiable(each)
            and given[place].requires_grad
            else each  # type: ignore[attr-defined]
            for place, each in enumerate(arguments[:count])
        )
        wanted = [
            source
            for source, each in zip(sources, given, strict=True)
            if isinstance(each, Tensor) and each.requires_grad
        ]
        with enable_grad():
            results = _outputs(func, sources)
            found = grad(results, wanted, arguments[count:], create_graph=True, allow_unused=True)
        return tuple(each for each in found if each is not None)

    return gradcheck(
        gradient, (*given, *seeds), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception
    )


def _seeds(outputs: tuple[Tensor, ...], grad_outputs: Any) -> tuple[Tensor, ...]:
    if grad_outputs is not None:
        return tuple(grad_outputs) if isinstance(grad_outputs, (tuple, list)) else (grad_outputs,)
    generator = np.random.default_rng(0)
    seeds = []
    for out in outputs:
        values = generator.standard_normal(out._shape).astype(out.dtype.numpy)
        seeds.append(from_numpy(np.array(values)).clone().requires_grad_())  # type: ignore[attr-defined]
    return tuple(seeds)
