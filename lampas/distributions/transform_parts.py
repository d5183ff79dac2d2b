"""Transforms of parts of a tensor: consecutive slices of a dimension, or its single indices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lampas.distributions import constraints
from lampas.distributions.transform_base import Transform
from lampas.distributions.utils import sum_rightmost
from lampas.engine.tensor import Tensor, cat, stack


class _Parts(Transform):
    """Several transforms along one dimension."""

    def __init__(self, tseq: Sequence[Transform], dim: int, cache_size: int) -> None:
        if not all(isinstance(each, Transform) for each in tseq):
            raise AssertionError("All elements of tseq must be Transform instances")
        super().__init__(cache_size=cache_size)
        self.transforms = [each.with_cache(cache_size) if cache_size else each for each in tseq]
        self.dim = dim

    @property
    def bijective(self) -> bool:
        """Whether all transforms are."""
        return all(each.bijective for each in self.transforms)

    def _check(self, length: int, *values: Tensor) -> None:
        """AssertionError unless the values have this length along the dimension."""
        for value in values:
            if not -value.dim() <= self.dim < value.dim():
                raise AssertionError(f"dim {self.dim} out of range for {value.dim()} dimensions")
            if value.size(self.dim) != length:
                raise AssertionError(
                    f"dimension {self.dim} must have size {length}, got {value.size(self.dim)}"
                )


class CatTransform(_Parts):
    """Transforms consecutive slices, of `lengths`, along `dim`, each by its own transform.

    Raises AssertionError where `lengths` and transforms, or a value's size, do not match.

    >>> import lampas
    >>> from lampas.distributions import ExpTransform, identity_transform
    >>> CatTransform([ExpTransform(), identity_transform], lengths=[1, 2])(lampas.zeros(3))
    tensor([1., 0., 0.])
    """

    def __init__(
        self,
        tseq: Sequence[Transform],
        dim: int = 0,
        lengths: Sequence[int] | None = None,
        cache_size: int = 0,
    ) -> None:
        super().__init__(tseq, dim, cache_size)
        self.lengths = [1] * len(self.transforms) if lengths is None else list(lengths)
        if len(self.lengths) != len(self.transforms):
            raise AssertionError(
                f"lengths ({len(self.lengths)}) must match transforms ({len(self.transforms)})"
            )

    @property
    def event_dim(self) -> int:
        """The most of any part."""
        return max(each.event_dim for each in self.transforms)

    @property
    def length(self) -> int:
        """The size of the dimension."""
        return sum(self.lengths)

    @property
    def domain(self) -> Any:
        """The parts' domains."""
        parts = [each.domain for each in self.transforms]
        return constraints.cat(parts, self.dim, self.lengths)

    @property
    def codomain(self) -> Any:
        """The parts' codomains."""
        parts = [each.codomain for each in self.transforms]
        return constraints.cat(parts, self.dim, self.lengths)

    def with_cache(self, cache_size: int = 1) -> Transform:
        if self._cache_size == cache_size:
            return self
        return CatTransform(self.transforms, self.dim, self.lengths, cache_size)

    def _parts(self, value: Tensor) -> Any:
        self._check(self.length, value)
        return value.split(self.lengths, self.dim)

    def _call(self, x: Tensor) -> Tensor:
        pairs = zip(self.transforms, self._parts(x))
        return cat([transform(part) for transform, part in pairs], dim=self.dim)

    def _inverse(self, y: Tensor) -> Tensor:
        pairs = zip(self.transforms, self._parts(y))
        return cat([transform.inv(part) for transform, part in pairs], dim=self.dim)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        terms = [
            sum_rightmost(
                transform.log_abs_det_jacobian(start, end), self.event_dim - transform.event_dim
            )
            for transform, start, end in zip(self.transforms, self._parts(x), self._parts(y))
        ]
        place = (self.dim - x.dim() if self.dim >= 0 else self.dim) + self.event_dim
        # Parts along an event dimension belong to one event, whose terms add up.
        return cat(terms, dim=place) if place < 0 else sum(terms[1:], start=terms[0])


class StackTransform(_Parts):
    """Transforms each index along `dim` by its own transform.

    Raises AssertionError where a value's size is not the number of transforms.

    >>> import lampas
    >>> from lampas.distributions import ExpTransform, identity_transform
    >>> StackTransform([ExpTransform(), identity_transform])(lampas.zeros(2))
    tensor([1., 0.])
    """

    def __init__(self, tseq: Sequence[Transform], dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(tseq, dim, cache_size)

    @property
    def domain(self) -> Any:
        """The transforms' domains."""
        return constraints.stack([each.domain for each in self.transforms], self.dim)

    @property
    def codomain(self) -> Any:
        """The transforms' codomains."""
        return constraints.stack([each.codomain for each in self.transforms], self.dim)

    def with_cache(self, cache_size: int = 1) -> Transform:
        if self._cache_size == cache_size:
            return self
        return StackTransform(self.transforms, self.dim, cache_size)

    def _parts(self, value: Tensor) -> Any:
        self._check(len(self.transforms), value)
        return value.unbind(self.dim)

    def _call(self, x: Tensor) -> Tensor:
        pairs = zip(self.transforms, self._parts(x))
        return stack([transform(part) for transform, part in pairs], dim=self.dim)

    def _inverse(self, y: Tensor) -> Tensor:
        pairs = zip(self.transforms, self._parts(y))
        return stack([transform.inv(part) for transform, part in pairs], dim=self.dim)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        triples = zip(self.transforms, self._parts(x), self._parts(y))
        terms = [transform.log_abs_det_jacobian(start, end) for transform, start, end in triples]
        return stack(terms, dim=self.dim)
