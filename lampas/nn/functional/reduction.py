"""How a loss gathers its elements: "none", "mean" or "sum", and the two flags that came before."""

from __future__ import annotations

import warnings

from lampas.engine.tensor import Tensor

__all__ = ["legacy_reduction", "reduced"]


def reduced(values: Tensor, reduction: str) -> Tensor:
    """All elements, their mean or their sum. Raises ValueError for another word."""
    if reduction == "mean":
        return values.mean()
    if reduction == "sum":
        return values.sum()
    if reduction == "none":
        return values
    raise ValueError(f"{reduction} is not a valid value for reduction")


def legacy_reduction(
    reduction: str, size_average: bool | None = None, reduce: bool | None = None
) -> str:
    """The word that the deprecated flags `size_average` and `reduce` stand for."""
    if size_average is None and reduce is None:
        return reduction
    average = True if size_average is None else size_average
    if reduce is False:
        chosen = "none"
    else:
        chosen = "mean" if average else "sum"
    warnings.warn(
        "size_average and reduce args will be deprecated, "
        f"please use reduction='{chosen}' instead.",
        stacklevel=4,
    )
    return chosen
