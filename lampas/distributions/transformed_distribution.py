"""`TransformedDistribution`: what becomes of a distribution under transforms.

If Y = f(X), then log p(y) = log p(f⁻¹(y)) - log |det f′(f⁻¹(y))|.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lampas.distributions import constraints
from lampas.distributions.distribution import Distribution, parameters
from lampas.distributions.independent import Independent
from lampas.distributions.transform_base import ComposeTransform, Transform
from lampas.distributions.utils import sum_rightmost
from lampas.engine.shape import Size
from lampas.engine.tensor import Tensor, no_grad

__all__ = ["TransformedDistribution"]


class TransformedDistribution(Distribution):
    """Samples of a base distribution, passed through one transform or a list of them, first to last.

    Batch and event shapes are those that the transforms leave. `log_prob` and `icdf` need invertible
    transforms, `cdf` monotone ones; others raise NotImplementedError. Raises ValueError for what is
    no transform, and for a base of too few dimensions.

    >>> import lampas
    >>> from lampas.distributions import ExpTransform, Normal
    >>> TransformedDistribution(Normal(0.0, 1.0), ExpTransform()).log_prob(lampas.tensor(1.0))
    tensor(-0.9189)
    """

    arg_constraints = parameters()

    def __init__(
        self,
        base_distribution: Distribution,
        transforms: Transform | Sequence[Transform],
        validate_args: bool | None = None,
    ) -> None:
        self.transforms = _as_list(transforms)
        base = base_distribution
        base_shape = base.batch_shape + base.event_shape
        event_dims = len(base.event_shape)
        whole = ComposeTransform(self.transforms)
        if len(base_shape) < whole.domain.event_dim:
            raise ValueError(
                "base_distribution needs to have shape with size at least "
                f"{whole.domain.event_dim}, but got {base_shape}."
            )
        shape = whole.forward_shape(base_shape)
        expanded = whole.inverse_shape(shape)
        if base_shape != expanded:
            base = base.expand(expanded[: len(expanded) - event_dims])
        reinterpreted = whole.domain.event_dim - event_dims
        if reinterpreted > 0:
            base = Independent(base, reinterpreted)
        self.base_dist: Any = base
        change = whole.codomain.event_dim - whole.domain.event_dim
        cut = len(shape) - max(whole.codomain.event_dim, event_dims + change)
        super().__init__(shape[:cut], shape[cut:], validate_args=validate_args)

    def _expanded(self, name: str, value: Any, batch_shape: Size) -> Any:
        if name == "base_dist":
            shape = batch_shape + self._event_shape
            for transform in reversed(self.transforms):
                shape = transform.inverse_shape(shape)
            return value.expand(shape[: len(shape) - len(value.event_shape)])
        return super()._expanded(name, value, batch_shape)

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> Any:
        if not self.transforms:
            return self.base_dist.support
        support = self.transforms[-1].codomain
        more = len(self._event_shape) - support.event_dim
        return constraints.independent(support, more) if more > 0 else support

    @property
    def has_rsample(self) -> bool:
        """Whether the base has it."""
        return self.base_dist.has_rsample

    def _forward(self, value: Tensor) -> Tensor:
        for transform in self.transforms:
            value = transform(value)
        return value

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with no_grad():
            return self._forward(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self._forward(self.base_dist.rsample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        event_dims = len(self.event_shape)
        result: Any = 0.0
        for transform in reversed(self.transforms):
            before = transform.inv(value)
            event_dims += transform.domain.event_dim - transform.codomain.event_dim
            term = transform.log_abs_det_jacobian(before, value)
            result = result - sum_rightmost(term, event_dims - transform.domain.event_dim)
            value = before
        of_base = self.base_dist.log_prob(value)
        return result + sum_rightmost(of_base, event_dims - len(self.base_dist.event_shape))

    def _monotone(self, value: Tensor) -> Tensor:
        """A cumulative probability, turned around where the transforms turn the order around."""
        sign: Any = 1
        for transform in self.transforms:
            sign = sign * transform.sign
        if isinstance(sign, int) and sign == 1:
            return value
        return sign * (value - 0.5) + 0.5

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value)
        for transform in reversed(self.transforms):
            value = transform.inv(value)
        return self._monotone(self.base_dist.cdf(value))

    def icdf(self, value: Tensor) -> Tensor:
        return self._forward(self.base_dist.icdf(self._monotone(value)))


def _as_list(transforms: Any) -> list[Transform]:
    if isinstance(transforms, Transform):
        return [transforms]
    if not isinstance(transforms, list):
        raise ValueError(f"transforms must be a Transform or list, but was {transforms}")
    if not all(isinstance(each, Transform) for each in transforms):
        raise ValueError("transforms must be a Transform or a list of Transforms")
    return transforms
