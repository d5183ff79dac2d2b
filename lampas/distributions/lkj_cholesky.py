"""The LKJ distribution of Cholesky factors of correlation matrices.

D. Lewandowski, D. Kurowicka and H. Joe, Generating random correlation matrices based on vines and
extended onion method (2009); samples by the onion method, row by row.
"""

from __future__ import annotations

import math
from typing import Any

from lampas.distributions import constraints
from lampas.distributions.beta import Beta
from lampas.distributions.distribution import Distribution, parameters
from lampas.distributions.utils import broadcast_all, limits
from lampas.engine.shape import Size
from lampas.engine.tensor import Tensor, arange, lgamma, mvlgamma, no_grad, randn

__all__ = ["LKJCholesky"]


class LKJCholesky(Distribution):
    """Lower factors L of correlation matrices with p(L Lᵀ) ∝ det(L Lᵀ)^(concentration - 1).

    Events are (dim, dim); batch shape is that of the concentration. At concentration 1 all matrices
    are equally likely. Raises ValueError for dim < 2 and unless the concentration is positive.

    >>> import lampas
    >>> LKJCholesky(2, 1.0).log_prob(lampas.eye(2))
    tensor(-0.6931)
    """

    arg_constraints = parameters(concentration=constraints.positive)
    support = constraints.corr_cholesky

    def __init__(
        self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None
    ) -> None:
        if dim < 2:
            raise ValueError(
                f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}."
            )
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        # The squared length of row i off the diagonal; row 0 has none, and its number is not used.
        row = (arange(dim, dtype=self.concentration.dtype) - 1).clamp(min=0)
        marginal = self.concentration + 0.5 * (dim - 2)
        self._beta = Beta(row + 0.5, marginal.unsqueeze(-1) - 0.5 * row)
        super().__init__(self.concentration.size(), Size((dim, dim)), validate_args)

    def _expanded(self, name: str, value: Any, batch_shape: Size) -> Any:
        if name == "_beta":
            return value.expand(batch_shape + (self.dim,))
        return super()._expanded(name, value, batch_shape)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            squares = self._beta.sample(sample_shape).unsqueeze(-1)
            shape = self._extended_shape(sample_shape)
            normal = randn(shape, dtype=squares.dtype, device=squares.device).tril(-1)
            directions = normal / normal.square().sum(-1, keepdim=True).sqrt()
            directions[..., 0, :].fill_(0.0)  # the first row has no direction: 0/0
            below = squares.sqrt() * directions
            rest = (1 - below.square().sum(-1)).clamp(min=limits(below).tiny)
            return below + rest.sqrt().diag_embed()

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        concentration, rows = self.concentration, self.dim - 1
        diagonal = value.diagonal(dim1=-1, dim2=-2)[..., 1:]
        places = arange(2, self.dim + 1, dtype=concentration.dtype, device=concentration.device)
        powers = 2 * (concentration - 1).unsqueeze(-1) + self.dim - places
        height = (powers * diagonal.log()).sum(-1)
        alpha = concentration + 0.5 * rows
        volume = 0.5 * rows * math.log(math.pi) + mvlgamma(alpha - 0.5, p=rows)
        return height - (volume - lgamma(alpha) * rows)
