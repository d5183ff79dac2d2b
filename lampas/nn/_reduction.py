"""Reductions as the numbers that PyTorch's own losses pass on: 0 none, 1 mean, 2 sum."""

from __future__ import annotations

from lampas.nn.functional.reduction import legacy_reduction

__all__ = ["get_enum", "legacy_get_enum", "legacy_get_string"]

NUMBERS = {"none": 0, "mean": 1, "elementwise_mean": 1, "sum": 2}


def get_enum(reduction: str) -> int:
    """The number of a reduction. Raises ValueError for another word."""
    if reduction not in NUMBERS:
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return NUMBERS[reduction]


def legacy_get_string(
    size_average: bool | None, reduce: bool | None, emit_warning: bool = True
) -> str:
    """The word that the deprecated flags stand for."""
    if size_average is None and reduce is None:
        return "mean"
    return legacy_reduction("mean", size_average, reduce)


def legacy_get_enum(
    size_average: bool | None, reduce: bool | None, emit_warning: bool = True
) -> int:
    """The number that the deprecated flags stand for."""
    return get_enum(legacy_get_string(size_average, reduce, emit_warning))
