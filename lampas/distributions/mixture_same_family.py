"""Mixtures of distributions of one family, with weights of a categorical distribution."""

from __future__ import annotations

from typing import Any

from lampas.distributions import constraints
from lampas.distributions.categorical import Categorical
from lampas.distributions.distribution import Distribution, parameters
from lampas.engine.shape import Size
from lampas.engine.tensor import Tensor, no_grad

__all__ = ["MixtureSameFamily"]


class MixtureSameFamily(Distribution):
    """Σₖ P(k) pₖ(x): the components lie along the last batch dimension of `component_distribution`.

    Batch shape is that of the components without it. Raises ValueError where weights and components
    do not match in kind or shape.

    >>> import lampas
    >>> from lampas.distributions import Normal
    >>> weights = Categorical(lampas.tensor([0.25, 0.75]))
    >>> MixtureSameFamily(weights, Normal(lampas.tensor([0.0, 4.0]), 1.0)).mean
    tensor(3.)
    """

    arg_constraints = parameters()
    has_rsample = False

    def __init__(
        self,
        mixture_distribution: Categorical,
        component_distribution: Distribution,
        validate_args: bool | None = None,
    ) -> None:
        self._mixture_distribution = mixture_distribution
        self._component_distribution = component_distribution
        self._check_parts()
        self._num_component = component_distribution.batch_shape[-1]
        event_shape = component_distribution.event_shape
        self._event_ndims = len(event_shape)
        batch_shape = component_distribution.batch_shape[:-1]
        super().__init__(batch_shape, event_shape, validate_args=validate_args)

    def _check_parts(self) -> None:
        mixture, component = self._mixture_distribution, self._component_distribution
        if not isinstance(mixture, Categorical):
            raise ValueError(
                " The Mixture distribution needs to be an  instance of torch.distributions.Categorical"
            )
        if not isinstance(component, Distribution):
            raise ValueError(
                "The Component distribution needs to be an instance of "
                "torch.distributions.Distribution"
            )
        weights, wanted = mixture.batch_shape, component.batch_shape[:-1]
        for size, other in zip(reversed(weights), reversed(wanted)):
            if size != 1 and other not in (1, size):
                raise ValueError(
                    f"`mixture_distribution.batch_shape` ({weights}) is not compatible with "
                    f"`component_distribution.batch_shape`({wanted})"
                )
        count, components = mixture.logits.shape[-1], component.batch_shape[-1]
        if count != components:
            raise ValueError(
                f"`mixture_distribution component` ({count}) does not equal "
                f"`component_distribution.batch_shape[-1]` ({components})"
            )

    def _expanded(self, name: str, value: Any, batch_shape: Size) -> Any:
        if name == "_component_distribution":
            return value.expand(batch_shape + (self._num_component,))
        return super()._expanded(name, value, batch_shape)

    @constraints.dependent_property
    def support(self) -> Any:
        return constraints.MixtureSameFamilyConstraint(self._component_distribution.support)

    @property
    def mixture_distribution(self) -> Categorical:
        """The weights."""
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Distribution:
        """The components."""
        return self._component_distribution

    def _pad(self, value: Tensor) -> Tensor:
        """A value for each component."""
        return value.unsqueeze(-1 - self._event_ndims)

    def _weights(self) -> Tensor:
        """The components' probabilities, with the events' dimensions after them."""
        probs = self.mixture_distribution.probs
        return probs.reshape(probs.shape + (1,) * self._event_ndims)

    @property
    def mean(self) -> Tensor:
        weighted = self._weights() * self.component_distribution.mean
        return weighted.sum(dim=-1 - self._event_ndims)

    @property
    def variance(self) -> Tensor:
        """The mean of the components' variances, and the variance of their means."""
        weights, place = self._weights(), -1 - self._event_ndims
        offsets = self.component_distribution.mean - self._pad(self.mean)
        within = (weights * self.component_distribution.variance).sum(dim=place)
        return within + (weights * offsets.pow(2)).sum(dim=place)

    def cdf(self, x: Tensor) -> Tensor:
        below = self.component_distribution.cdf(self._pad(x))
        return (below * self.mixture_distribution.probs).sum(dim=-1)

    def log_prob(self, x: Tensor) -> Tensor:
        self._check_value(x)
        of_components = self.component_distribution.log_prob(self._pad(x))
        of_weights = self.mixture_distribution.logits.log_softmax(dim=-1)
        return (of_components + of_weights).logsumexp(dim=-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        sample_shape = Size(sample_shape)
        with no_grad():
            chosen = self.mixture_distribution.sample(sample_shape)
            drawn = self.component_distribution.sample(sample_shape)
            chosen = chosen.expand(sample_shape + self._batch_shape)
            place = len(sample_shape) + len(self._batch_shape)
            index = chosen.reshape(chosen.shape + (1,) * (self._event_ndims + 1))
            index = index.expand(chosen.shape + (1,) + self._event_shape)
            return drawn.gather(place, index).squeeze(place)

    def __repr__(self) -> str:
        parts = f"{self.mixture_distribution},\n  {self.component_distribution}"
        return f"MixtureSameFamily(\n  {parts})"
