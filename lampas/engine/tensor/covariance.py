"""Covariances and correlations of observations."""

from __future__ import annotations

from typing import Any

from lampas.engine.derive.operation import Operation
from lampas.engine.dtype import get_default_dtype
from lampas.engine.graph import build as g
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.door import record
from lampas.engine.tensor.values import array_of


def _check_weights(count: int, fweights: Tensor | None, aweights: Tensor | None) -> None:
    for name, weights in (("fweights", fweights), ("aweights", aweights)):
        if weights is None:
            continue
        floats = weights.dtype.is_floating_point or weights.dtype.is_complex
        if len(weights._shape) > 1:
            raise RuntimeError(
                f"cov(): expected {name} to have one or fewer dimensions but got {name} with "
                f"{len(weights._shape)} dimensions"
            )
        if floats != (name == "aweights"):
            raise RuntimeError(
                f"cov(): expected {name} to have {'integral' if floats else 'floating point'} "
                f"dtype but got {name} with {weights.dtype.title} dtype"
            )
        if weights._node.numel != count:
            raise RuntimeError(
                f"cov(): expected {name} to have the same numel as there are observations in the "
                f"input but got {weights._node.numel} != {count}"
            )
        if bool((array_of(weights) < 0).any()):
            raise RuntimeError(f"cov(): {name} cannot be negative")


@public(method=True)
def cov(
    input: Tensor,
    *,
    correction: int = 1,
    fweights: Tensor | None = None,
    aweights: Tensor | None = None,
) -> Tensor:
    """The covariances of the rows, columns being observations (with counts and weights)."""
    if len(input._shape) > 2:
        raise RuntimeError(
            f"cov(): expected input to have two or fewer dimensions but got an input with "
            f"{len(input._shape)} dimensions"
        )
    x: Any = input.reshape(1, -1) if len(input._shape) < 2 else input  # type: ignore[attr-defined]
    if not (x.dtype.is_floating_point or x.dtype.is_complex):
        x = x.to(get_default_dtype())
    count = x._shape[1]
    _check_weights(count, fweights, aweights)
    weights: Any = None
    for each in (fweights, aweights):
        if each is not None:
            weights = each if weights is None else weights * each
    if weights is None:
        total: Any = count
        mean = x.mean(1, True) if count else x.sum(1, True)
    else:
        total = weights.sum()
        mean = (x * weights).sum(1, True) / total
    if aweights is not None and correction:
        factor = total - correction * (weights * aweights).sum() / total
    else:
        factor = total - correction
    gap = x - mean
    right = gap if weights is None else gap * weights
    product = gap.matmul(right.mT.conj())
    if isinstance(factor, Tensor):
        factor = factor.clamp(min=0)  # type: ignore[attr-defined]
    else:
        factor = max(factor, 0)
    return (product / factor).squeeze()


@public(method=True)
def corrcoef(input: Tensor) -> Tensor:
    """The correlations of the rows: covariances divided by standard deviations, limited to [-1, 1]."""
    if len(input._shape) > 2:
        raise RuntimeError(
            "corrcoef(): expected input to have two or fewer dimensions but got an input with "
            f"{len(input._shape)} dimensions"
        )
    found: Any = cov(input)
    if not found._shape:
        return found / found
    spread = found.diagonal()
    spread = (spread.real if found.dtype.is_complex else spread).sqrt()
    result = found / spread.unsqueeze(1) / spread.unsqueeze(0)
    if not found.dtype.is_complex:
        return result.clip(-1, 1)
    return _complex(result.real.clip(-1, 1), result.imag.clip(-1, 1))


def _complex(real: Tensor, imag: Tensor) -> Tensor:
    return record(COMPLEX, (real, imag))


COMPLEX = Operation("complex", g.complex_pair, saves="none")
