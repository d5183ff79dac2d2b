"""Which function computes the KL divergence of two classes of distributions.

Functions are registered by pairs of classes, and a pair of instances takes the registered pair that
is closest up both lines of ancestors.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from lampas.distributions.distribution import Distribution
from lampas.engine.tensor import Tensor

Divergence = Callable[[Any, Any], Any]

_KL_REGISTRY: dict[tuple[type, type], Divergence] = {}
_found: dict[tuple[type, type], Divergence | None] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Divergence], Divergence]:
    """A decorator that registers a function of p and q for KL(p ‖ q) of two classes.

    Raises TypeError for what is no class of distributions. Where two registered pairs fit equally
    well, the one that is closer in p is taken, with a RuntimeWarning.
    """
    for name, kind in (("p", type_p), ("q", type_q)):
        if not (isinstance(kind, type) and issubclass(kind, Distribution)):
            raise TypeError(f"Expected type_{name} to be a Distribution subclass but got {kind}")

    def register(function: Divergence) -> Divergence:
        _KL_REGISTRY[type_p, type_q] = function
        _found.clear()
        return function

    return register


def _dispatch(type_p: type, type_q: type) -> Divergence | None:
    """The function of the closest registered pair; None where there is none."""
    p_line, q_line = type_p.__mro__, type_q.__mro__
    fitting = [
        (p_line.index(p), q_line.index(q), (p, q))
        for p, q in _KL_REGISTRY
        if p in p_line and q in q_line
    ]
    if not fitting:
        return None
    by_p = min(fitting, key=lambda each: each[:2])[2]
    by_q = min(fitting, key=lambda each: (each[1], each[0]))[2]
    if _KL_REGISTRY[by_p] is not _KL_REGISTRY[by_q]:
        warnings.warn(
            f"Ambiguous kl_divergence({type_p.__name__}, {type_q.__name__}). Please "
            f"register_kl({by_p[0].__name__}, {by_q[1].__name__})",
            RuntimeWarning,
            stacklevel=3,
        )
    return _KL_REGISTRY[by_p]


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """KL(p ‖ q) = ∫ p log(p/q) in nats, in the batch's shape.

    Raises NotImplementedError for a pair of classes without a registered function.

    >>> from lampas.distributions import Normal, kl_divergence
    >>> kl_divergence(Normal(0.0, 1.0), Normal(1.0, 1.0))
    tensor(0.5000)
    """
    pair = type(p), type(q)
    if pair not in _found:
        _found[pair] = _dispatch(*pair)
    function = _found[pair]
    if function is None:
        raise NotImplementedError(
            f"No KL(p || q) is implemented for p type {pair[0].__name__} and q type "
            f"{pair[1].__name__}"
        )
    return function(p, q)
