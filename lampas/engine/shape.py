"""Shapes and strides: arithmetic on sequences of integers, with no arrays involved.

Strides count elements, not bytes. A row-major ("contiguous") shape has the strides of
``contiguous_strides``; sizes of 1 may have any stride. Messages keep PyTorch's key phrases.
"""

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any, SupportsIndex

Ints = tuple[int, ...]


class Size(tuple[int, ...]):
    """A shape: a tuple of integers that stays one under slicing, ``+`` and ``*``.

    >>> Size([2, 3]) + (4,)
    torch.Size([2, 3, 4])
    """

    __slots__ = ()

    def __new__(cls, sizes: Iterable[SupportsIndex] = (), /) -> "Size":
        items = tuple(sizes)
        for item in items:
            if type(item) is not int:
                items = _as_integers(items)
                break
        return tuple.__new__(cls, items)

    def numel(self) -> int:
        """The number of elements in a tensor of this shape."""
        return prod(self)

    def __repr__(self) -> str:
        return f"torch.Size([{', '.join(map(str, self))}])"

    def __add__(self, other: Any) -> "Size":
        if not isinstance(other, tuple):
            kind = type(other).__name__
            raise TypeError(f'can only concatenate tuple (not "{kind}") to torch.Size')
        return Size(tuple.__add__(self, other))

    def __radd__(self, other: Any) -> "Size":
        return Size(other) + self if isinstance(other, tuple) else NotImplemented

    def __mul__(self, count: SupportsIndex) -> "Size":
        return tuple.__new__(Size, tuple.__mul__(self, count))

    __rmul__ = __mul__

    def __getitem__(self, key: Any) -> Any:
        found = tuple.__getitem__(self, key)
        return tuple.__new__(Size, found) if isinstance(key, slice) else found

    def __reduce__(self) -> tuple[Any, ...]:
        return Size, (tuple(self),)


def _as_integers(items: tuple[Any, ...]) -> Ints:
    for position, item in enumerate(items):
        if not hasattr(item, "__index__"):
            kind = type(item).__name__
            raise TypeError(
                f"torch.Size() takes an iterable of 'int' (item {position} is '{kind}')"
            )
    return tuple([item.__index__() for item in items])


def numel(shape: Sequence[int]) -> int:
    """The number of elements: the product of the sizes, 1 for a 0-d shape."""
    return prod(shape)


def contiguous_strides(shape: Sequence[int]) -> Ints:
    """Row-major strides; a size of 0 counts as 1, so that strides never become 0.

    >>> contiguous_strides((2, 3, 4))
    (12, 4, 1)
    """
    strides = []
    step = 1
    for size in shape[::-1]:
        strides.append(step)
        if size > 1:
            step *= size
    return tuple(strides[::-1])


def is_contiguous(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether the elements lie in row-major order without gaps."""
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size == 0:
            return True
        if size != 1 and stride != expected:
            break
        expected *= size
    else:
        return True
    return 0 in shape


def normalize_dim(dim: SupportsIndex, ndim: int, *, wrap_scalar: bool = True) -> int:
    """Turn a dimension that may count from the end into one in ``range(ndim)``.

    A 0-d tensor takes 0 and -1 as if it had one dimension, unless ``wrap_scalar`` is false.
    Raises IndexError when out of range.
    """
    position = dim.__index__()
    count = ndim
    if count == 0:
        if not wrap_scalar:
            raise IndexError(f"Dimension specified as {position} but tensor has no dimensions")
        count = 1
    if not -count <= position < count:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-count}, {count - 1}], "
            f"but got {position})"
        )
    return position + count if position < 0 else position


def normalize_dims(dims: Iterable[SupportsIndex], ndim: int) -> Ints:
    """``normalize_dim`` for each of several dimensions; RuntimeError where one comes twice."""
    found: list[int] = []
    for dim in dims:
        position = normalize_dim(dim, ndim)
        if position in found:
            raise RuntimeError(f"dim {position} appears multiple times in the list of dims")
        found.append(position)
    return tuple(found)


def broadcast_shapes(*shapes: Sequence[int]) -> Ints:
    """The shape that all given shapes (an integer counts as one size) expand to, by NumPy's rules.

    Raises RuntimeError for sizes that differ where neither is 1, ValueError for negative sizes.

    >>> broadcast_shapes((2, 1), (3,))
    (2, 3)
    """
    if int in map(type, shapes):
        shapes = tuple([(each,) if isinstance(each, int) else each for each in shapes])
    if len(shapes) == 2:
        if shapes[0] == shapes[1] and (not shapes[0] or min(shapes[0]) >= 0):
            return tuple(shapes[0])
        return _broadcast_pair(shapes[0], shapes[1])
    result: Ints = ()
    for shape in shapes:
        result = _broadcast_pair(result, shape)
    return result


def _broadcast_pair(a: Sequence[int], b: Sequence[int]) -> Ints:
    longer, shorter = (a, b) if len(a) >= len(b) else (b, a)
    result = list(longer)
    dim = len(longer) - len(shorter)
    for size in shorter:
        other = result[dim]
        if size != other:
            if other == 1:
                result[dim] = size
            elif size != 1:
                raise _mismatch(a, b)
        dim += 1
    if result and min(result) < 0:
        raise ValueError("Attempting to broadcast a dimension with negative length!")
    return tuple(result)


def _mismatch(a: Sequence[int], b: Sequence[int]) -> Exception:
    """The error for the last dimension in which two shapes differ and neither is 1."""
    ndim = max(len(a), len(b))
    left = (1,) * (ndim - len(a)) + tuple(a)
    right = (1,) * (ndim - len(b)) + tuple(b)
    if min(min(left), min(right)) < 0:
        return ValueError("Attempting to broadcast a dimension with negative length!")
    pairs = zip(left, right, strict=True)
    dim = max(dim for dim, (x, y) in enumerate(pairs) if x != y and 1 not in (x, y))
    return RuntimeError(
        f"The size of tensor a ({left[dim]}) must match the size of tensor b ({right[dim]}) "
        f"at non-singleton dimension {dim}"
    )


def infer_size(shape: Sequence[int], count: int) -> Ints:
    """Fill in the one -1 of a shape that is to hold ``count`` elements.

    Raises RuntimeError if two sizes are -1, a size is below -1, or the sizes do not fit.

    >>> infer_size((2, -1), 6)
    (2, 3)
    """
    known = 1
    unknown = -1
    for position, size in enumerate(shape):
        if size == -1:
            if unknown >= 0:
                raise RuntimeError("only one dimension can be inferred")
            unknown = position
        elif size < 0:
            raise RuntimeError(
                f"invalid shape dimension {size} at index {position} of shape {list(shape)}"
            )
        else:
            known *= size
    if unknown < 0 and known == count:
        return tuple(shape)
    if unknown < 0 or (known == 0 and count != 0) or (known != 0 and count % known):
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {count}")
    if known == 0:
        raise RuntimeError(
            f"cannot reshape tensor of 0 elements into shape {list(shape)} because the "
            "unspecified dimension size -1 can be any value and is ambiguous"
        )
    return (*shape[:unknown], count // known, *shape[unknown + 1 :])


def view_strides(
    shape: Sequence[int], strides: Sequence[int], new_shape: Sequence[int]
) -> Ints | None:
    """The strides that show the same memory as ``new_shape``, or None where a copy is needed.

    Both shapes hold the same number of elements. Adjacent dimensions that step evenly through
    memory form one run; each run must be covered by whole dimensions of the new shape.
    """
    if 0 in shape:
        same = tuple(shape) == tuple(new_shape)
        return tuple(strides) if same else contiguous_strides(new_shape)
    result = [1] * len(new_shape)
    new_dim = len(new_shape)
    for run_size, run_stride in _even_runs(shape, strides):
        covered = 1
        while new_dim > 0 and (covered < run_size or new_shape[new_dim - 1] == 1):
            new_dim -= 1
            result[new_dim] = covered * run_stride
            covered *= new_shape[new_dim]
        if covered != run_size:
            return None
    return tuple(result) if new_dim == 0 else None


def _even_runs(shape: Sequence[int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """(elements, innermost stride) of each run of dimensions, from the last to the first."""
    runs: list[tuple[int, int]] = []
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if runs and (size == 1 or stride == runs[-1][0] * runs[-1][1]):
            runs[-1] = (runs[-1][0] * size, runs[-1][1])
        else:
            runs.append((size, stride))
    return runs or [(1, 1)]


def expand_strides(
    shape: Sequence[int], strides: Sequence[int], target: Sequence[int]
) -> tuple[Ints, Ints]:
    """The shape and strides of ``expand(target)``, where -1 keeps a size.

    Raises RuntimeError where a size other than 1 would have to change.

    >>> expand_strides((3, 1), (1, 1), (2, -1, 4))
    ((2, 3, 4), (0, 1, 0))
    """
    added = len(target) - len(shape)
    if added < 0:
        raise RuntimeError(
            f"expand(size={list(target)}): the number of sizes provided ({len(target)}) must be "
            f"greater or equal to the number of dimensions in the tensor ({len(shape)})"
        )
    sizes: list[int] = []
    steps: list[int] = []
    for dim, wanted in enumerate(target):
        if dim < added:
            _check_leading(wanted, dim)
            sizes.append(wanted)
            steps.append(0)
            continue
        size = shape[dim - added]
        if wanted not in (-1, size) and (size != 1 or wanted < 0):
            raise RuntimeError(
                f"The expanded size of the tensor ({wanted}) must match the existing size "
                f"({size}) at non-singleton dimension {dim}.  Target sizes: {list(target)}.  "
                f"Tensor sizes: {list(shape)}"
            )
        sizes.append(size if wanted == -1 else wanted)
        steps.append(strides[dim - added] if sizes[-1] == size else 0)
    return tuple(sizes), tuple(steps)


def _check_leading(wanted: int, dim: int) -> None:
    if wanted < 0:
        raise RuntimeError(
            f"The expanded size of the tensor ({wanted}) isn't allowed in a leading, "
            f"non-existing dimension {dim}"
        )
