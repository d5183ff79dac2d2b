"""KL divergences of registered pairs of distributions (PyTorch's `torch.distributions.kl`)."""

from lampas.distributions import kl_cross, kl_gaussian, kl_same
from lampas.distributions.kl_registry import _KL_REGISTRY as _KL_REGISTRY
from lampas.distributions.kl_registry import kl_divergence, register_kl

__all__ = ["kl_divergence", "register_kl"]

PAIRS = (kl_cross, kl_gaussian, kl_same)  # importing them has registered their functions
