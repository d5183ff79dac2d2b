"""`ExponentialFamily`: densities h(x) exp(θ·t(x) - A(θ)) (PyTorch's `torch.distributions.exp_family`).

Entropy and KL divergence follow from the log normalizer A and its gradient alone (F. Nielsen and
R. Nock, Entropies and cross-entropies of exponential families, ICIP 2010).
"""

from __future__ import annotations

from typing import Any

from lampas.distributions.distribution import Distribution
from lampas.distributions.utils import Undefined, sum_rightmost
from lampas.engine.tensor import Tensor
from lampas.engine.tensor.backward import grad

__all__ = ["ExponentialFamily"]


class ExponentialFamily(Distribution):
    """A distribution with natural parameters θ and log normalizer A(θ).

    A subclass defines `_natural_params`, `_log_normalizer` and `_mean_carrier_measure`, the mean of
    log h; `entropy` needs no more than these. It raises NotImplementedError where they are missing.
    """

    _natural_params: Any = Undefined("The natural parameters, a tuple of tensors.")
    _mean_carrier_measure: Any = Undefined("The mean of log h.")

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        raise self._missing("_log_normalizer")

    def entropy(self) -> Tensor:
        """A(θ) - θ·∇A(θ) less the mean of log h."""
        result = -self._mean_carrier_measure
        parameters = [each.detach().requires_grad_() for each in self._natural_params]
        normalizer = self._log_normalizer(*parameters)
        slopes = grad(normalizer.sum(), parameters, create_graph=True)
        result = result + normalizer
        for parameter, slope in zip(parameters, slopes):
            result = result - sum_rightmost(parameter * slope, len(self.event_shape))
        return result
