"""The `dim` and `keepdim` arguments of reductions, with PyTorch's checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lampas.engine.graph import build as g
from lampas.engine.shape import normalize_dim, normalize_dims

if TYPE_CHECKING:
    from lampas.engine.graph.node import Node, Shape


def reduced_dims(name: str, dim: Any, rank: int) -> tuple[int, ...]:
    """The dimensions that `dim` (None, an integer, or several) stands for; none means all."""
    if dim is None:
        return tuple(range(rank))
    if type(dim) is int:
        if -rank <= dim < rank:
            return (dim % rank,)
        position = normalize_dim(dim, rank)
        return (position,) if rank else ()
    if isinstance(dim, (tuple, list)):
        found = normalize_dims(dim, rank)
        return tuple(sorted(found)) if found and rank else tuple(range(rank))
    if hasattr(dim, "__index__"):
        return reduced_dims(name, dim.__index__(), rank)
    raise TypeError(
        f"{name}(): argument 'dim' must be int or tuple of ints, not {type(dim).__name__}"
    )


def one_dim(name: str, dim: Any, rank: int) -> int:
    """A single dimension, counted from the front; 0-d tensors have dimension 0."""
    if type(dim) is int and -rank <= dim < rank:
        return dim % rank
    if isinstance(dim, bool) or not hasattr(dim, "__index__"):
        raise TypeError(f"{name}(): argument 'dim' must be int, not {type(dim).__name__}")
    return normalize_dim(dim, rank)


def check_keepdim(name: str, keepdim: Any) -> None:
    """TypeError unless `keepdim` is a boolean."""
    if keepdim is not True and keepdim is not False:
        raise TypeError(
            f"{name}(): argument 'keepdim' (position 2) must be bool, not {type(keepdim).__name__}"
        )


def numpy_names(name: str, renamed: dict[str, Any], dim: Any, keepdim: bool) -> tuple[Any, bool]:
    """`dim` and `keepdim` given under NumPy's names, `axis` and `keepdims`."""
    for key in renamed:
        if key not in ("axis", "keepdims"):
            raise TypeError(f"{name}() got an unexpected keyword argument '{key}'")
    return renamed.get("axis", dim), renamed.get("keepdims", keepdim)


def kept_shape(shape: Shape, dims: tuple[int, ...]) -> Shape:
    """The shape with size 1 in the reduced dimensions."""
    return tuple([1 if d in dims else n for d, n in enumerate(shape)])


def dropped_shape(shape: Shape, dims: tuple[int, ...]) -> Shape:
    """The shape without the reduced dimensions."""
    return tuple([n for d, n in enumerate(shape) if d not in dims])


def count_of(shape: Shape, dims: tuple[int, ...]) -> int:
    """How many elements one result is made of."""
    count = 1
    for d in dims:
        count *= shape[d]
    return count


def finish(reduced: Node, dims: tuple[int, ...], keepdim: bool) -> Node:
    """A reduction's node in its final shape."""
    return reduced if keepdim else g.reshape(reduced, dropped_shape(reduced.shape, dims))


def refuse_empty(name: str, shape: Shape, dims: tuple[int, ...], given: bool) -> None:
    """An extreme of nothing does not exist."""
    if 0 not in shape:
        return
    if not given:
        raise IndexError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the "
            "reduction dim with the 'dim' argument."
        )
    for d in dims:
        if shape[d] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {d} to have non-zero size.")
