"""KL divergences between multivariate normal distributions, of full and of low rank.

KL(p ‖ q) = (log det Σq - log det Σp + tr(Σq⁻¹ Σp) + |x|² - n)/2, where |x|² is the distance of the
means by Σq⁻¹. Traces are sums of squares of factors, so that no covariance is formed.
"""

from __future__ import annotations

from typing import Any

from lampas.distributions.gaussian_factors import lengths_before, log_diagonal
from lampas.distributions.kl_registry import register_kl
from lampas.distributions.lowrank_multivariate_normal import (
    LowRankMultivariateNormal,
    low_rank_distance,
    low_rank_log_determinant,
)
from lampas.distributions.multivariate_normal import MultivariateNormal
from lampas.engine.tensor import Tensor
from lampas.engine.tensor.linear_algebra import solve_triangular


def _squares(matrices: Tensor) -> Tensor:
    """tr(X Xᵀ)."""
    return matrices.square().sum((-2, -1))


def _log_determinant(p: Any) -> Tensor:
    if isinstance(p, LowRankMultivariateNormal):
        return low_rank_log_determinant(p._unbroadcasted_cov_diag, p._capacitance_tril)
    return 2 * log_diagonal(p._unbroadcasted_scale_tril)


def _distance(q: Any, difference: Tensor) -> Tensor:
    if isinstance(q, LowRankMultivariateNormal):
        factor, diagonal = q._unbroadcasted_cov_factor, q._unbroadcasted_cov_diag
        return low_rank_distance(factor, diagonal, difference, q._capacitance_tril)
    return lengths_before(q._unbroadcasted_scale_tril, difference)


def _parts(p: Any) -> list[Tensor]:
    """Factors F of which the sum of F Fᵀ is p's covariance."""
    if isinstance(p, LowRankMultivariateNormal):
        return [p._unbroadcasted_cov_factor, p._unbroadcasted_cov_diag.sqrt().diag_embed()]
    return [p._unbroadcasted_scale_tril]


def _trace(q: Any, factor: Tensor) -> Tensor:
    """tr(Σq⁻¹ F Fᵀ)."""
    if not isinstance(q, LowRankMultivariateNormal):
        return _squares(solve_triangular(q._unbroadcasted_scale_tril, factor, upper=False))
    diagonal = q._unbroadcasted_cov_diag
    scaled = q._unbroadcasted_cov_factor.mT / diagonal.unsqueeze(-2)
    inner = solve_triangular(q._capacitance_tril, scaled @ factor, upper=False)
    return _squares(factor * diagonal.rsqrt().unsqueeze(-1)) - _squares(inner)


@register_kl(MultivariateNormal, MultivariateNormal)
@register_kl(MultivariateNormal, LowRankMultivariateNormal)
@register_kl(LowRankMultivariateNormal, MultivariateNormal)
@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
def _multivariate_normal(p: Any, q: Any) -> Tensor:
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two (Low Rank) Multivariate Normals with different event shapes "
            f"cannot be computed: {p.event_shape} and {q.event_shape}"
        )
    trace = sum((_trace(q, part) for part in _parts(p)), start=0.0)
    determinants = _log_determinant(q) - _log_determinant(p)
    distance = _distance(q, q.loc - p.loc)
    return 0.5 * (determinants + trace + distance - p.event_shape[0])
