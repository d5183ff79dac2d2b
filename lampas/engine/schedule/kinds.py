"""Which primitives run where: as nest instructions, as a hand-scheduled kernel, or on the host.

`HOST_REASONS` lists every primitive that a compiled program still gives to NumPy, with the reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lampas.engine.dtype import (
    bfloat16,
    bool_,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
)
from lampas.engine.graph import primitives as p

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.graph.linear import Entry
    from lampas.engine.graph.primitives import Primitive

ELEMENTWISE_KINDS: Final = frozenset({"unary", "binary", "compare", "ternary"})
NEST_DTYPES: Final = frozenset(
    {bool_, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64}
)
COMPLEX_ONLY: Final = frozenset({p.CONJUGATE, p.REAL, p.IMAGINARY, p.COMPLEX})
PICKING: Final = frozenset({p.GATHER, p.INDEX_SELECT, p.INDEX})
ASSEMBLED: Final = frozenset({p.CONCATENATE, p.AS_STRIDED_SCATTER, p.AS_STRIDED_ACCUMULATE})
SERIAL: Final = frozenset({p.SCATTER, p.INDEX_ADD, p.INDEX_PUT, p.CUMULATIVE})
CHEAP: Final = frozenset(
    {
        *(p.CAST, p.BITCAST, p.NEGATIVE, p.ABSOLUTE, p.LOGICAL_NOT, p.BITWISE_NOT, p.ADD),
        *(p.SUBTRACT, p.MULTIPLY, p.MAXIMUM, p.MINIMUM, p.EQUAL, p.NOT_EQUAL, p.LESS),
        *(p.LESS_EQUAL, p.GREATER, p.GREATER_EQUAL, p.WHERE, p.BITWISE_AND, p.BITWISE_OR),
    }
)

HOST_REASONS: Final[dict[Primitive, str]] = {
    p.SCATTER: "an index that does not cover the other dimensions, or a source that strides cannot fold",
    p.INDEX_ADD: "a source that strides cannot fold",
    p.INDEX_PUT: "indices of several dimensions",
    p.CUMULATIVE: "an operand that strides cannot fold",
    p.SORT_INDEX: "sorting",
    p.CONVOLUTION: "only empty ones and those of integers and complex numbers",
    p.CONVOLUTION_BACKWARD_INPUT: "as convolution",
    p.CONVOLUTION_BACKWARD_WEIGHT: "as convolution",
    p.ATTENTION: "only sizes and dtypes that have no kernel, which nothing asks for",
    p.ATTENTION_BACKWARD: "as attention",
    p.RECURRENT: "as attention",
    p.RECURRENT_BACKWARD: "as attention",
    p.MAX_POOL_INDEX: "only empty ones and those both padded and dilated",
    p.HOST: "a named NumPy or SciPy function",
}


def is_elementwise(entry: Entry) -> bool:
    """Whether the entry computes each element from those at the same place."""
    return entry.op.kind in ELEMENTWISE_KINDS


def fits_nest(entry: Entry, sources: Sequence[Entry]) -> bool:
    """Whether loops can compute the entry: they know no complex numbers and no wide unsigned ones."""
    if entry.op in COMPLEX_ONLY or entry.dtype not in NEST_DTYPES:
        return False
    return all(source.dtype in NEST_DTYPES for source in sources)


def is_looped(entry: Entry, sources: Sequence[Entry]) -> bool:
    """Whether the entry becomes part of a loop nest."""
    op = entry.op
    known = is_elementwise(entry) or op.kind == "reduce" or op in PICKING or op is p.PAD
    if op is p.PROD and entry.dtype is bool_:
        return False
    return known and fits_nest(entry, sources)
