"""What the relaxed distributions have in common: a transformed one, with the parameters of its base."""

from __future__ import annotations

from typing import Any

from lampas.distributions.transformed_distribution import TransformedDistribution
from lampas.engine.tensor import Tensor


class Relaxation(TransformedDistribution):
    """Samples that become discrete as the temperature goes to zero."""

    has_rsample: Any = True

    @property
    def temperature(self) -> Tensor:
        """How far samples are from discrete values."""
        return self.base_dist.temperature

    @property
    def logits(self) -> Tensor:
        """The log odds, or the log probabilities of categories."""
        return self.base_dist.logits

    @property
    def probs(self) -> Tensor:
        """The probability of one, or those of categories, which sum to one."""
        return self.base_dist.probs
