"""Transforms of vectors and matrices: onto the simplex, onto Cholesky factors, onto definite matrices.

Stick breaking takes x = 0 to equal shares, as Stan does (Stan reference manual, unit simplex);
correlation factors follow D. Lewandowski, D. Kurowicka and H. Joe, Generating random correlation
matrices based on vines and extended onion method (2009).
"""

from __future__ import annotations

import math
from typing import Any

from lampas.distributions import constraints
from lampas.distributions.transform_base import FEW_DIMENSIONS, PlainTransform, Transform
from lampas.distributions.transform_elements import clipped_sigmoid
from lampas.distributions.utils import limits, tril_matrix_to_vec, vec_to_tril_matrix
from lampas.engine.tensor import Tensor, arange, eye
from lampas.engine.tensor.linear_algebra import cholesky
from lampas.nn.functional.activation import logsigmoid, softplus
from lampas.nn.functional.padding import pad


def _require_vectors(shape: Any) -> Any:
    if len(shape) < 1:
        raise ValueError(FEW_DIMENSIONS)
    return shape


class SoftmaxTransform(PlainTransform):
    """y = exp(x), divided by its sum; the inverse is log, so that only sums of zero come back."""

    domain = constraints.real_vector
    codomain = constraints.simplex

    def _call(self, x: Tensor) -> Tensor:
        heights = (x - x.amax(-1, True)).exp()
        return heights / heights.sum(-1, True)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()

    def forward_shape(self, shape: Any) -> Any:
        return _require_vectors(shape)

    def inverse_shape(self, shape: Any) -> Any:
        return _require_vectors(shape)


class StickBreakingTransform(PlainTransform):
    """n real numbers become n + 1 shares: each breaks its part off what is left of a stick.

    >>> import lampas
    >>> StickBreakingTransform()(lampas.zeros(3))
    tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """

    domain = constraints.real_vector
    codomain = constraints.simplex
    bijective = True

    @staticmethod
    def _remaining(x: Tensor, count: int) -> Tensor:
        """log n, ..., log 1 for the n broken parts: zero then breaks off an equal share."""
        return arange(count, 0, -1, dtype=x.dtype, device=x.device).log()

    def _call(self, x: Tensor) -> Tensor:
        parts = clipped_sigmoid(x - self._remaining(x, x.shape[-1]))
        left = (1 - parts).cumprod(-1)
        return pad(parts, [0, 1], value=1) * pad(left, [1, 0], value=1)

    def _inverse(self, y: Tensor) -> Tensor:
        broken = y[..., :-1]
        # Rounding may leave nothing, or less.
        left = (1 - broken.cumsum(-1)).clamp(min=limits(y).tiny)
        return broken.log() - left.log() + self._remaining(y, broken.shape[-1])

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        x = x - self._remaining(x, x.shape[-1])
        return (-x + logsigmoid(x) + y[..., :-1].log()).sum(-1)

    def forward_shape(self, shape: Any) -> Any:
        return _require_vectors(shape)[:-1] + (shape[-1] + 1,)

    def inverse_shape(self, shape: Any) -> Any:
        return _require_vectors(shape)[:-1] + (shape[-1] - 1,)


class CorrCholeskyTransform(Transform):
    """D(D - 1)/2 real numbers become the Cholesky factor of a D × D correlation matrix.

    tanh makes them canonical partial correlations z; row i then breaks a stick of squared length
    one: y[i, j] = z[i, j] ∏ √(1 - z[i, k]²) over k < j, and the diagonal takes the rest.
    """

    domain = constraints.real_vector
    codomain = constraints.corr_cholesky
    bijective = True

    def _call(self, x: Tensor) -> Tensor:
        eps = limits(x).eps
        partial = vec_to_tril_matrix(x.tanh().clamp(min=-1 + eps, max=1 - eps), diag=-1)
        left = (1 - partial * partial).sqrt().cumprod(-1)
        partial = partial + eye(partial.shape[-1], dtype=partial.dtype, device=partial.device)
        return partial * pad(left[..., :-1], [1, 0], value=1)

    def _inverse(self, y: Tensor) -> Tensor:
        left = pad((1 - (y * y).cumsum(-1))[..., :-1], [1, 0], value=1)
        partial = tril_matrix_to_vec(y, -1) / tril_matrix_to_vec(left, -1).sqrt()
        return (partial.log1p() - partial.neg().log1p()) / 2

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        left = tril_matrix_to_vec(1 - (y * y).cumsum(-1), -2)
        of_sticks = 0.5 * left.log().sum(-1)
        of_tanh = -2 * (x + softplus(-2 * x) - math.log(2.0)).sum(-1)
        return of_sticks + of_tanh

    def forward_shape(self, shape: Any) -> Any:
        length = _require_vectors(shape)[-1]
        size = round((0.25 + 2 * length) ** 0.5 + 0.5)
        if size * (size - 1) // 2 != length:
            raise ValueError("Input is not a flattened lower-diagonal number")
        return shape[:-1] + (size, size)

    def inverse_shape(self, shape: Any) -> Any:
        if len(shape) < 2:
            raise ValueError(FEW_DIMENSIONS)
        if shape[-2] != shape[-1]:
            raise ValueError("Input is not square")
        return shape[:-2] + (shape[-1] * (shape[-1] - 1) // 2,)


class LowerCholeskyTransform(PlainTransform):
    """The lower triangle of a matrix, with exp of its diagonal: a Cholesky factor."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.lower_cholesky

    def _call(self, x: Tensor) -> Tensor:
        return x.tril(-1) + x.diagonal(dim1=-2, dim2=-1).exp().diag_embed()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.tril(-1) + y.diagonal(dim1=-2, dim2=-1).log().diag_embed()


class PositiveDefiniteTransform(PlainTransform):
    """A matrix becomes the positive definite L Lᵀ, where L is its `LowerCholeskyTransform`."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.positive_definite

    def _call(self, x: Tensor) -> Tensor:
        factor = LowerCholeskyTransform()(x)
        return factor @ factor.mT

    def _inverse(self, y: Tensor) -> Tensor:
        return LowerCholeskyTransform().inv(cholesky(y))
