"""`Distribution`: what all distributions have in common (PyTorch's `torch.distributions.distribution`).

A distribution is a batch of `batch_shape` independent ones, of which each gives events of
`event_shape`; samples have the shape sample_shape + batch_shape + event_shape. Parameters are
checked against `arg_constraints` when it is made, and values against `support` by `log_prob`.

A family states its parameters in `arg_constraints` and keeps everything it holds in attributes;
`expand` then works by itself: it expands tensors that are parameters, and distributions.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from lampas.distributions import constraints
from lampas.distributions.utils import Undefined, lazy_property
from lampas.engine.shape import Size
from lampas.engine.tensor import Tensor, no_grad

__all__ = ["Distribution"]

FAMILIES = __name__.rpartition(".")[0]  # classes of this package know how to expand themselves


def parameters(**constrained: constraints.Constraint) -> dict[str, constraints.Constraint]:
    """The constraints of a family's parameters, in the order in which a repr shows them."""
    return constrained


def _is_of_this_package(kind: type) -> bool:
    """Whether a class is one of ours. (One that `type()` has made may have no module at all.)"""
    return str(vars(kind).get("__module__")).startswith(FAMILIES)


class Distribution:
    """The base class of distributions; `validate_args` turns checks on or off for one of them.

    Raises ValueError for parameters outside their constraints.

    >>> from lampas.distributions import Normal
    >>> normal = Normal(0.0, 1.0)
    >>> normal.batch_shape, normal.event_shape, normal.expand((2,))
    (torch.Size([]), torch.Size([]), Normal(loc: torch.Size([2]), scale: torch.Size([2])))
    """

    arg_constraints: Any = Undefined("The constraint of each parameter, by name.")
    support: Any = Undefined("The constraint that samples satisfy.")
    mean: Any = Undefined("The mean, in the shape of one sample of the batch.")
    mode: Any = Undefined("The most likely value.")
    variance: Any = Undefined("The variance of each element.")
    has_rsample: Any = False
    has_enumerate_support: Any = False
    _validate_args = __debug__
    # Tensors that `expand` expands, besides the parameters in `arg_constraints`.
    _also_expanded: tuple[str, ...] = ()

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions check their arguments unless told otherwise."""
        if value not in (True, False):
            raise ValueError(f"set_default_validate_args takes True or False, not {value!r}")
        Distribution._validate_args = value

    def __init__(
        self,
        batch_shape: Sequence[int] = Size(),
        event_shape: Sequence[int] = Size(),
        validate_args: bool | None = None,
    ) -> None:
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()

    def _check_parameters(self) -> None:
        try:
            expected = self.arg_constraints
        except NotImplementedError:
            warnings.warn(
                f"{type(self)} does not define `arg_constraints`. Please set `arg_constraints = {{}}` "
                "or initialize the distribution with `validate_args=False` to turn off validation.",
                stacklevel=4,
            )
            return
        for name, constraint in expected.items():
            is_derived = name not in self.__dict__ and isinstance(
                getattr(type(self), name, None), lazy_property
            )
            if constraints.is_dependent(constraint) or is_derived:
                continue
            value = getattr(self, name)
            if not constraint.check(value).all():
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape "
                    f"{tuple(value.shape)}) of distribution {self!r} to satisfy the constraint "
                    f"{constraint!r}, but found invalid values:\n{value}"
                )

    # Shapes ---------------------------------------------------------------------------------------

    @property
    def batch_shape(self) -> Size:
        """The shape of the batch of distributions."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of one event."""
        return self._event_shape

    def _extended_shape(self, sample_shape: Any = ()) -> Size:
        """The shape of samples."""
        return Size(sample_shape) + self._batch_shape + self._event_shape

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """A distribution of the same class whose parameters are expanded to `batch_shape`.

        Raises NotImplementedError for a subclass that has its own `__init__` and no `expand`.
        """
        family = next(kind for kind in type(self).__mro__ if _is_of_this_package(kind))
        if family is Distribution:
            raise NotImplementedError(f"{type(self).__name__} does not implement expand")
        new = self._get_checked_instance(family, _instance)
        batch_shape = Size(batch_shape)
        for name, value in self.__dict__.items():
            if name not in new.__dict__:  # a subclass's `expand` may have set its own before
                new.__dict__[name] = self._expanded(name, value, batch_shape)
        new._batch_shape = batch_shape
        return new

    def _expanded(self, name: str, value: Any, batch_shape: Size) -> Any:
        """One attribute for a distribution of this batch shape."""
        if isinstance(value, Distribution):
            return value.expand(batch_shape)
        constraint = self.arg_constraints.get(name)
        if isinstance(value, Tensor) and (constraint is not None or name in self._also_expanded):
            kept = 0 if constraint is None else constraint.event_dim
            return value.expand(batch_shape + value.shape[value.dim() - kept :])
        return value

    def _get_checked_instance(self, cls: type, _instance: Any = None) -> Any:
        if _instance is None and type(self).__init__ is not cls.__init__:
            raise NotImplementedError(
                f"Subclass {type(self).__name__} of {cls.__name__} that defines a custom "
                "__init__ method must also define a custom .expand() method."
            )
        return type(self).__new__(type(self)) if _instance is None else _instance

    # What the family defines ----------------------------------------------------------------------

    def _missing(self, name: str) -> NotImplementedError:
        return NotImplementedError(f"{type(self)} does not implement {name}")

    @property
    def stddev(self) -> Tensor:
        """The standard deviation of each element."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Samples of the shape sample_shape + batch_shape + event_shape, without gradient."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Samples through which gradients reach the parameters, where `has_rsample`."""
        raise self._missing("rsample")

    def sample_n(self, n: int) -> Tensor:
        """n samples: the old name of `sample((n,))`."""
        warnings.warn(
            "`sample_n(n)` will be deprecated. Use `sample((n,))` instead.",
            FutureWarning,
            stacklevel=2,
        )
        return self.sample(Size((n,)))

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density or probability of `value`, in the batch's shape."""
        raise self._missing("log_prob")

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of at most `value`."""
        raise self._missing("cdf")

    def icdf(self, value: Tensor) -> Tensor:
        """The number that is not exceeded with probability `value`."""
        raise self._missing("icdf")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values of a discrete distribution along a new first dimension, in the batch's shape."""
        raise self._missing("enumerate_support")

    def entropy(self) -> Tensor:
        """The entropy, in nats."""
        raise self._missing("entropy")

    def perplexity(self) -> Tensor:
        """exp(entropy)."""
        return self.entropy().exp()

    # Checks ---------------------------------------------------------------------------------------

    def _check_value(self, value: Any) -> None:
        """What `log_prob` and `cdf` start with: `_validate_sample`, where checks are on."""
        if self._validate_args:
            self._validate_sample(value)

    def _validate_sample(self, value: Any) -> None:
        """ValueError unless `value` has a fitting shape and lies in the support."""
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        self._check_shape(value)
        try:
            support = self.support
        except NotImplementedError:
            warnings.warn(
                f"{type(self)} does not define `support` to enable sample validation. Please "
                "initialize the distribution with `validate_args=False` to turn off validation.",
                stacklevel=4,
            )
            return
        if not support.check(value).all():
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) to "
                f"be within the support ({support!r}) of the distribution {self!r}, but found "
                f"invalid values:\n{value}"
            )

    def _check_shape(self, value: Tensor) -> None:
        event_start = value.dim() - len(self._event_shape)
        if value.shape[event_start:] != self._event_shape:
            raise ValueError(
                "The right-most size of value must match event_shape: "
                f"{value.shape} vs {self._event_shape}."
            )
        expected = self._batch_shape + self._event_shape
        for size, wanted in zip(reversed(value.shape), reversed(expected)):
            if size not in (1, wanted) and wanted != 1:
                raise ValueError(
                    "Value is not broadcastable with batch_shape+event_shape: "
                    f"{value.shape} vs {expected}."
                )

    def __repr__(self) -> str:
        shown = {
            name: self.__dict__[name] for name in self.arg_constraints if name in self.__dict__
        }
        parts = (
            f"{name}: {value if value.numel() == 1 else value.size()}"
            for name, value in shown.items()
        )
        return f"{type(self).__name__}({', '.join(parts)})"
