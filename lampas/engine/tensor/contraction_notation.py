"""Products given by a notation: einsum, tensordot, inner, kron, chains of matrices.

`einsum` goes from left to right, one pair at a time: labels that nobody needs later are contracted in one
matrix product of (kept by both, kept by the left, contracted) and (…, contracted, kept by the right).
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

from lampas.engine.derive.operation import Operation
from lampas.engine.dtype import int64
from lampas.engine.graph import build as g
from lampas.engine.shape import contiguous_strides, normalize_dims
from lampas.engine.tensor.contraction import matmul, same_dtype
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.door import record
from lampas.engine.tensor.operands import common_dtype, require_tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.graph.node import Node

Labels = tuple[int, ...]
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ELLIPSIS = 100  # labels from here on stand for the dimensions under "..."


# Reading the notation -----------------------------------------------------------------------------


def _read_equation(equation: str, ranks: Sequence[int]) -> tuple[list[Labels], Labels]:
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) > len(ranks):
        raise RuntimeError(
            "einsum(): more operands were provided than specified in the equation"
            if len(terms) < len(ranks)
            else "einsum(): fewer operands were provided than specified in the equation"
        )
    if len(terms) < len(ranks):
        raise RuntimeError("einsum(): more operands were provided than specified in the equation")
    parsed = [_read_term(term) for term in terms]
    return _resolve(parsed, ranks, _read_term(right) if arrow else None)


def _read_term(term: str) -> list[Any]:
    head, dots, tail = term.partition("...")
    for letter in head + tail:
        if letter not in _LETTERS:
            raise RuntimeError(
                f"einsum(): invalid subscript given at index in the equation string ({letter!r}), "
                "subscripts must be in [a-zA-Z]"
            )
    numbers = [_LETTERS.index(letter) for letter in head]
    return [*numbers, *([...] if dots else []), *(_LETTERS.index(letter) for letter in tail)]


def _resolve(
    terms: Sequence[Sequence[Any]], ranks: Sequence[int], result: Sequence[Any] | None
) -> tuple[list[Labels], Labels]:
    """Every term with labels in place of the ellipsis; the result's labels, inferred if not given."""
    hidden = 0
    for position, (term, rank) in enumerate(zip(terms, ranks, strict=True)):
        named = len([label for label in term if label is not ...])
        if named > rank or (named < rank and ... not in term):
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({named}) "
                f"{'does not match' if ... not in term else 'is more than'} the number of "
                f"dimensions ({rank}) for operand {position}"
                f"{' and no ellipsis was given' if ... not in term else ''}"
            )
        hidden = max(hidden, rank - named)
    labels = [
        _expanded(term, rank - len([label for label in term if label is not ...]), hidden)
        for term, rank in zip(terms, ranks, strict=True)
    ]
    if result is not None:
        wanted = _expanded(result, hidden, hidden)
        _check_result(wanted, labels)
        return labels, wanted
    counts: dict[int, int] = {}
    for term in labels:
        for label in term:
            counts[label] = counts.get(label, 0) + 1
    free = sorted(label for label, n in counts.items() if n == 1 and label < _ELLIPSIS)
    return labels, (*range(_ELLIPSIS, _ELLIPSIS + hidden), *free)


def _check_result(wanted: Labels, labels: list[Labels]) -> None:
    known = {label for term in labels for label in term}
    for label in wanted:
        name = _LETTERS[label] if label < len(_LETTERS) else "..."
        if wanted.count(label) > 1:
            raise RuntimeError(
                f"einsum(): output subscript {name} appears more than once in the output"
            )
        if label not in known and label < _ELLIPSIS:
            raise RuntimeError(
                f"einsum(): output subscript {name} does not appear in the equation for any input "
                "operand"
            )


def _expanded(term: Sequence[Any], count: int, hidden: int) -> Labels:
    labels: list[int] = []
    for label in term:
        if label is ...:
            labels.extend(range(_ELLIPSIS + hidden - count, _ELLIPSIS + hidden))
        else:
            labels.append(int(label))
    return tuple(labels)


def _sizes(labels: Sequence[Labels], shapes: Sequence[tuple[int, ...]]) -> dict[int, int]:
    sizes: dict[int, int] = {}
    for position, (term, shape) in enumerate(zip(labels, shapes, strict=True)):
        for label, size in zip(term, shape, strict=True):
            before = sizes.setdefault(label, size)
            if before == 1:
                sizes[label] = size
            elif size not in (1, before):
                name = _LETTERS[label] if label < len(_LETTERS) else "..."
                raise RuntimeError(
                    f"einsum(): subscript {name} has size {size} for operand {position} which does "
                    f"not broadcast with previously seen size {before}"
                )
    return sizes


# Computing ----------------------------------------------------------------------------------------


def _einsum(*arguments: Any) -> Node:
    *nodes, labels, result = arguments
    sizes = _sizes(labels, [node.shape for node in nodes])
    terms = [
        _without_ones(*_diagonal(node, term), sizes)
        for node, term in zip(nodes, labels, strict=True)
    ]
    terms = [
        _summed(node, term, {x for n, (_, t) in enumerate(terms) if n != place for x in t}, result)
        for place, (node, term) in enumerate(terms)
    ]
    node, term = terms[0]
    for position in range(1, len(terms)):
        later = {label for _, rest in terms[position + 1 :] for label in rest} | set(result)
        node, term = _pair(node, term, *terms[position], later)
    for label in result:
        if label not in term:
            node, term = g.reshape(node, (*node.shape, 1)), (*term, label)
    node = g.permute(node, [term.index(label) for label in result])
    return g.expand(node, tuple(sizes.get(label, 1) for label in result))


def _diagonal(node: Node, term: Labels) -> tuple[Node, Labels]:
    """A label that comes twice in one term walks the diagonal."""
    kept = tuple(dict.fromkeys(term))
    if len(kept) == len(term):
        return node, term
    strides = contiguous_strides(node.shape)
    shape = tuple(node.shape[term.index(label)] for label in kept)
    steps = tuple(
        sum(s for s, other in zip(strides, term, strict=True) if other == label) for label in kept
    )
    return g.as_strided(node, shape, steps, 0), kept


def _without_ones(node: Node, term: Labels, sizes: dict[int, int]) -> tuple[Node, Labels]:
    """Sizes of 1 that broadcast are dropped: the other operand brings the label."""
    kept = [d for d, label in enumerate(term) if node.shape[d] == sizes[label]]
    if len(kept) == len(term):
        return node, term
    return g.reshape(node, tuple(node.shape[d] for d in kept)), tuple(term[d] for d in kept)


def _summed(node: Node, term: Labels, others: set[int], result: Labels) -> tuple[Node, Labels]:
    """Labels that stand in this term alone are summed at once."""
    dims = [d for d, label in enumerate(term) if label not in others and label not in result]
    if dims and not others and not (node.dtype.is_floating_point or node.dtype.is_complex):
        node = g.cast(node, int64)
    kept = [d for d in range(len(term)) if d not in dims]
    total = g.sum_dims(node, dims)
    return g.reshape(total, tuple(node.shape[d] for d in kept)), tuple(term[d] for d in kept)


def _pair(a: Node, left: Labels, b: Node, right: Labels, later: set[int]) -> tuple[Node, Labels]:
    both = [label for label in left if label in right]
    batch = [label for label in both if label in later]
    inner = [label for label in both if label not in later]
    free_left = [label for label in left if label not in right]
    free_right = [label for label in right if label not in left]
    size = {**dict(zip(right, b.shape, strict=True)), **dict(zip(left, a.shape, strict=True))}

    def count(labels: list[int]) -> int:
        return math.prod(size[label] for label in labels)

    lead = tuple(size[label] for label in batch)
    first = g.permute(a, [left.index(label) for label in (*batch, *free_left, *inner)])
    second = g.permute(b, [right.index(label) for label in (*batch, *inner, *free_right)])
    terms = (*batch, *free_left, *free_right)
    if not inner:
        first = g.reshape(first, (*first.shape, *(1 for _ in free_right)))
        second = g.reshape(
            second, (*lead, *(1 for _ in free_left), *(size[label] for label in free_right))
        )
        return g.multiply(first, second), terms
    first = g.reshape(first, (*lead, count(free_left), count(inner)))
    second = g.reshape(second, (*lead, count(inner), count(free_right)))
    total = g.matmul(first, second)
    return g.reshape(total, tuple(size[label] for label in terms)), terms


EINSUM = Operation("einsum", _einsum, grad_name="ViewBackward0", saves="inputs")


@public()
def einsum(*args: Any) -> Tensor:
    """Sums of products in Einstein's notation: einsum("bij,bjk->bik", a, b).

    Also einsum(a, [0, 1], b, [1, 2], [0, 2]).  RuntimeError where sizes of one label differ.
    """
    if not args:
        raise ValueError("einsum(): must specify the equation string and at least one operand")
    if isinstance(args[0], Tensor):
        return _einsum_lists(args)
    equation, *operands = args
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = list(operands[0])
    if not operands:
        raise RuntimeError("einsum(): must provide at least one operand")
    labels, result = _read_equation(equation, [len(tensor._shape) for tensor in operands])
    return _record_einsum(operands, labels, result)


def _einsum_lists(args: tuple[Any, ...]) -> Tensor:
    operands = list(args[0 : 2 * (len(args) // 2) : 2])
    terms = list(args[1::2])
    result = args[-1] if len(args) % 2 else None
    ranks = [len(tensor._shape) for tensor in operands]
    return _record_einsum(operands, *_resolve(terms, ranks, result))


def _record_einsum(operands: list[Tensor], labels: list[Labels], result: Labels) -> Tensor:
    _sizes(labels, [tensor._shape for tensor in operands])
    for other in operands[1:]:
        same_dtype("einsum", operands[0], other)
    return record(EINSUM, tuple(operands), (tuple(labels), result))


@public(out=True)
def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """The sum of products over `dims`: a count of last and first dimensions, or two lists of them."""
    if isinstance(dims, Tensor):
        dims = dims.tolist()  # type: ignore[attr-defined]
    rank_a, rank_b = len(a._shape), len(b._shape)
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(rank_a, rank_b):
            raise RuntimeError(
                f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims} (a has {rank_a}, "
                f"b has {rank_b} dimensions)"
            )
        left, right = tuple(range(rank_a - dims, rank_a)), tuple(range(dims))
    else:
        first, second = ([d] if isinstance(d, int) else list(d) for d in dims)
        left, right = normalize_dims(first, rank_a), normalize_dims(second, rank_b)
    return _tensordot(a, b, left, right)


def _tensordot(a: Tensor, b: Tensor, left: Labels, right: Labels) -> Tensor:
    if len(left) != len(right):
        raise RuntimeError("both dimension lists should have same length")
    for i, j in zip(left, right, strict=True):
        if a._shape[i] != b._shape[j] and 1 not in (a._shape[i], b._shape[j]):
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {a._shape[i]} in dim {i} "
                f"and second has size {b._shape[j]} in dim {j}"
            )
    first = list(range(len(a._shape)))
    second = [len(first) + d for d in range(len(b._shape))]
    for i, j in zip(left, right, strict=True):
        second[j] = first[i]
    result = [label for d, label in enumerate(first) if d not in left]
    result += [label for d, label in enumerate(second) if d not in right]
    return _record_einsum([a, b], [tuple(first), tuple(second)], tuple(result))


@public(method=True, out=True)
def inner(input: Tensor, other: Tensor) -> Tensor:
    """The sum of products over the last dimension of both."""
    require_tensor("inner", "other", other, 2)
    a, b = input._shape, other._shape
    if not a or not b:
        return input * other  # type: ignore[operator]
    if a[-1] != b[-1]:
        raise RuntimeError(
            "inner() the last dimension must match on both input tensors but got shapes "
            f"{list(a)} and {list(b)}"
        )
    return _tensordot(input, other, (len(a) - 1,), (len(b) - 1,))


def _kron(a: Node, b: Node, kind: Any) -> Node:
    rank = max(len(a.shape), len(b.shape))
    left = (1,) * (rank - len(a.shape)) + a.shape
    right = (1,) * (rank - len(b.shape)) + b.shape
    first = tuple(n for size in left for n in (size, 1))
    second = tuple(n for size in right for n in (1, size))
    grid = g.multiply(g.reshape(g.cast(a, kind), first), g.reshape(g.cast(b, kind), second))
    return g.reshape(grid, tuple(n * m for n, m in zip(left, right, strict=True)))


KRON = Operation("kron", _kron, grad_name="ViewBackward0", saves="inputs")


@public(method=True, out=True)
def kron(input: Tensor, other: Tensor) -> Tensor:
    """The Kronecker product: every element of input times the whole of other."""
    return record(KRON, (input, other), (common_dtype("kron", input, other),))


@public()
def chain_matmul(*matrices: Tensor, out: Tensor | None = None) -> Tensor:
    """The product of several matrices, in the cheapest order."""
    if len(matrices) == 1 and isinstance(matrices[0], (tuple, list)):
        matrices = tuple(matrices[0])
    result = matrices[0] if len(matrices) == 1 else multi_dot(matrices)
    return result if out is None else out.copy_(result)  # type: ignore[attr-defined]


@public(namespace="linalg", out=True)
def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of several matrices, in the cheapest order; the ends may be vectors.

    The order is found by dynamic programming over all splits (Cormen et al., "Introduction to
    Algorithms", on matrix-chain multiplication).
    """
    if len(tensors) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(tensors)}")
    first, last = tensors[0], tensors[-1]
    chain = list(tensors)
    if len(first._shape) == 1:
        chain[0] = first.unsqueeze(0)  # type: ignore[attr-defined]
    if len(last._shape) == 1:
        chain[-1] = last.unsqueeze(-1)  # type: ignore[attr-defined]
    _check_chain(chain)
    result = _multiplied(chain, *_best_splits([chain[0]._shape[0], *(t._shape[1] for t in chain)]))
    if len(last._shape) == 1:
        result = result.squeeze(-1)  # type: ignore[attr-defined]
    return result.squeeze(0) if len(first._shape) == 1 else result  # type: ignore[attr-defined]


def _check_chain(chain: list[Tensor]) -> None:
    for position, tensor in enumerate(chain):
        if len(tensor._shape) != 2:
            raise RuntimeError(
                f"multi_dot(): tensor {position} must be 2D but got {len(tensor._shape)}D"
            )
    for position, (a, b) in enumerate(itertools.pairwise(chain)):
        if a._shape[1] != b._shape[0]:
            raise RuntimeError(
                f"multi_dot(): tensors {position} and {position + 1} with shapes {list(a._shape)} "
                f"and {list(b._shape)} cannot be multiplied"
            )


def _best_splits(sizes: list[int]) -> tuple[list[list[int]], int]:
    count = len(sizes) - 1
    cost = [[0] * count for _ in range(count)]
    split = [[0] * count for _ in range(count)]
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            choices = [
                (cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            ]
            cost[i][j], split[i][j] = min(choices)
    return split, count


def _multiplied(chain: list[Tensor], split: list[list[int]], count: int) -> Tensor:
    def product(i: int, j: int) -> Tensor:
        return chain[i] if i == j else matmul(product(i, split[i][j]), product(split[i][j] + 1, j))

    return product(0, count - 1)
