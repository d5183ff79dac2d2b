"""Sums of padded parts that cover a whole are the parts joined, and parts that share their last steps are joined before them.

The derivative of a split is a sum of its parts' derivatives, each padded with zeros to the whole: read
as written, each element asks every part whether it lies there.  A concatenation copies each part once.
As PyTorch's derivative of a split does, it keeps the sign of a zero, which the sum would lose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lampas.engine.graph import primitives as p

if TYPE_CHECKING:
    from lampas.engine.graph.linear import Entry

MOST_PARTS = 300


def joined_pads(w: Any, entry: Entry) -> int | None:
    """A sum of parts padded with zeros, which lie side by side along one dimension and cover it."""
    pads = padded_terms(w, entry)
    if pads is None or entry.dtype.is_complex:
        return None
    dims = {dim for pad in pads for dim, ends in enumerate(zip(*pad.attributes)) if any(ends)}
    if len(dims) != 1:
        return None
    (dim,) = dims
    pads.sort(key=lambda pad: pad.attributes[0][dim])
    reach = 0
    for pad in pads:
        low, high = (ends[dim] for ends in pad.attributes)
        if low != reach or high < 0:
            return None
        reach = entry.shape[dim] - high
    if reach != entry.shape[dim]:
        return None
    return w.emit(p.CONCATENATE, [pad.sources[0] for pad in pads], dim)


def padded_terms(w: Any, entry: Entry) -> list[Entry] | None:
    """The terms of a sum if all are paddings with zeros to the sum's shape and there are few."""
    open_terms, found = list(entry.sources), []
    while open_terms:
        term = w.entries[open_terms.pop()]
        if term.shape != entry.shape or len(found) == MOST_PARTS:
            return None
        if term.op is p.ADD:
            open_terms.extend(term.sources)
        elif term.op is p.PAD and is_zero(w.entries[term.sources[1]]):
            found.append(term)
        else:
            return None
    return found


def is_zero(fill: Entry) -> bool:
    return fill.op is p.CONSTANT and fill.attributes[0] == 0


def join_before_reshape(w: Any, entry: Entry) -> int | None:
    """Parts whose dimension joined is made of two, the inner one alike, are joined along the outer one.

    Heads side by side make the width of a row: joined while they are apart, they are copied from where
    they lie, transposed or not.
    """
    dim = entry.attributes[0]
    made = [w.entries[source] for source in entry.sources]
    if any(part.op is not p.RESHAPE for part in made):
        return None
    shapes = [w.entries[part.sources[0]].shape for part in made]
    if any(not splits(part.shape, shape, dim) for part, shape in zip(made, shapes, strict=True)):
        return None
    if len({shape[dim + 1] for shape in shapes}) != 1:
        return None
    whole = w.emit(p.CONCATENATE, [part.sources[0] for part in made], dim)
    return w.emit(p.RESHAPE, (whole,), entry.shape)


def splits(shape: tuple[int, ...], finer: tuple[int, ...], dim: int) -> bool:
    """Whether `finer` is `shape` with dimension `dim` made of two."""
    if len(finer) != len(shape) + 1 or 0 in finer:
        return False
    return finer[:dim] == shape[:dim] and finer[dim + 2 :] == shape[dim + 1 :]
