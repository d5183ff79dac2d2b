"""What families of one probability share: `probs` or `logits`, whichever was given, and the other lazily."""

from __future__ import annotations

from typing import Any

from lampas.distributions import constraints
from lampas.distributions.distribution import Distribution, parameters
from lampas.distributions.utils import lazy_property, logits_to_probs, probs_to_logits
from lampas.engine.shape import Size
from lampas.engine.tensor import Tensor

PROBABILITY = parameters(probs=constraints.unit_interval, logits=constraints.real)


class BinaryParameters(Distribution):
    """`probs`, or the log odds `logits`; the one that is not set is computed when it is first read."""

    _given: str

    def _set_parameter(self, name: str, value: Tensor) -> None:
        """Keep what was given: `name` is "probs" or "logits"."""
        setattr(self, name, value)
        self._given = name

    @property
    def _param(self) -> Tensor:
        """The parameter that was given."""
        return getattr(self, self._given)

    def _new(self, *args: Any, **kwargs: Any) -> Tensor:
        return self._param.new_empty(*args, **kwargs)

    @lazy_property
    def probs(self) -> Any:
        """The probability of one."""
        return logits_to_probs(self.logits, is_binary=True)

    @lazy_property
    def logits(self) -> Any:
        """log(p/(1 - p)) of the probability p."""
        return probs_to_logits(self.probs, is_binary=True)

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter."""
        return self._param.size()
