"""Which transform maps the reals onto a constraint (PyTorch's `torch.distributions.constraint_registry`).

`biject_to(constraint)` gives a bijection, with a Jacobian, for Hamiltonian sampling and variational
inference; `transform_to(constraint)` one that optimises well and may map many points to one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lampas.distributions import constraints, transforms
from lampas.distributions.constraints import Constraint
from lampas.distributions.utils import is_number

__all__ = ["ConstraintRegistry", "biject_to", "transform_to"]


class ConstraintRegistry:
    """Factories of transforms by the class of constraint; calling it looks one up.

    >>> transform_to(constraints.simplex)
    SoftmaxTransform()
    """

    def __init__(self) -> None:
        self._registry: dict[type, Callable[[Any], Any]] = {}

    def register(self, constraint: Any, factory: Callable[[Any], Any] | None = None) -> Any:
        """Register a factory for a constraint's class; without one, a decorator that does.

        Raises TypeError for what is neither a constraint nor a class of them.
        """
        if factory is None:
            return lambda factory: self.register(constraint, factory)
        kind = type(constraint) if isinstance(constraint, Constraint) else constraint
        if not isinstance(kind, type) or not issubclass(kind, Constraint):
            raise TypeError(
                "Expected constraint to be either a Constraint subclass or instance, "
                f"but got {constraint}"
            )
        self._registry[kind] = factory
        return factory

    def __call__(self, constraint: Any) -> Any:
        """A transform onto the constraint; NotImplementedError where none is registered."""
        factory = self._registry.get(type(constraint))
        if factory is None:
            raise NotImplementedError(
                f"Cannot transform {type(constraint).__name__} constraints"
            ) from None
        return factory(constraint)


biject_to = ConstraintRegistry()
transform_to = ConstraintRegistry()


def _above(constraint: Any) -> Any:
    return transforms.ComposeTransform(
        [transforms.ExpTransform(), transforms.AffineTransform(constraint.lower_bound, 1)]
    )


def _below(constraint: Any) -> Any:
    return transforms.ComposeTransform(
        [transforms.ExpTransform(), transforms.AffineTransform(constraint.upper_bound, -1)]
    )


def _between(constraint: Any) -> Any:
    low, high = constraint.lower_bound, constraint.upper_bound
    if is_number(low, high) and low == 0 and high == 1:
        return transforms.SigmoidTransform()
    moved = transforms.AffineTransform(low, high - low)
    return transforms.ComposeTransform([transforms.SigmoidTransform(), moved])


def _register_shared(registry: ConstraintRegistry) -> None:
    """What both registries answer alike; the parts of composed constraints go to the registry itself."""

    def independent(constraint: Any) -> Any:
        return transforms.IndependentTransform(
            registry(constraint.base_constraint), constraint.reinterpreted_batch_ndims
        )

    def joined(constraint: Any) -> Any:
        parts = [registry(each) for each in constraint.cseq]
        return transforms.CatTransform(parts, constraint.dim, constraint.lengths)

    def stacked(constraint: Any) -> Any:
        return transforms.StackTransform(
            [registry(each) for each in constraint.cseq], constraint.dim
        )

    for constraint, factory in (
        (constraints.real, lambda constraint: transforms.identity_transform),
        (constraints.independent, independent),
        (constraints.positive, _above),
        (constraints.nonnegative, _above),
        (constraints.less_than, _below),
        (constraints.interval, _between),
        (constraints.half_open_interval, _between),
        (constraints.corr_cholesky, lambda constraint: transforms.CorrCholeskyTransform()),
        (constraints.cat, joined),
        (constraints.stack, stacked),
    ):
        registry.register(constraint, factory)


_register_shared(biject_to)
_register_shared(transform_to)
biject_to.register(constraints.simplex, lambda constraint: transforms.StickBreakingTransform())
transform_to.register(constraints.simplex, lambda constraint: transforms.SoftmaxTransform())
transform_to.register(
    constraints.lower_cholesky, lambda constraint: transforms.LowerCholeskyTransform()
)
for _definite in (constraints.positive_definite, constraints.positive_semidefinite):
    transform_to.register(_definite, lambda constraint: transforms.PositiveDefiniteTransform())
