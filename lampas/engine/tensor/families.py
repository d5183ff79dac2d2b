"""Imports every family of operations, so that all of them are declared."""

from lampas.engine.tensor import (
    arithmetic,
    backward,
    comparison,
    contraction,
    conversion,
    creation,
    indexing,
    joining,
    operators,
    pointwise,
    reduction,
    representation,
    shaping,
)

__all__ = [
    "arithmetic",
    "backward",
    "comparison",
    "contraction",
    "conversion",
    "creation",
    "indexing",
    "joining",
    "operators",
    "pointwise",
    "reduction",
    "representation",
    "shaping",
]
