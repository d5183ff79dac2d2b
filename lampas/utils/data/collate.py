"""Collation: from a list of samples to a batch.

`collate` takes the first sample's type as the pattern, and a table says what to do with the leaves.
Programs extend `default_collate_fn_map` in place, so its name and form are PyTorch's.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

import lampas
from lampas.utils.data.memory import stack_tensors

CollateTable = dict[Any, Callable[..., Any]]

# NumPy dtypes that no tensor can hold: byte strings, unicode strings, objects.
np_str_obj_array_pattern = re.compile(r"[SaUO]")

default_collate_err_msg_format = (
    "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
)


def _is_namedtuple(value: Any) -> bool:
    return isinstance(value, tuple) and hasattr(value, "_fields")


def _rebuild_mapping(pattern: Any, items: dict[Any, Any]) -> Any:
    """`items` in a mapping of `pattern`'s type; a plain dict where that type cannot be made so."""
    try:
        if isinstance(pattern, MutableMapping):
            # A copy keeps what else the type holds, for example a defaultdict's factory.
            clone = copy.copy(pattern)
            clone.update(items)
            return clone
        return type(pattern)(items)
    except TypeError:
        return items


def _rebuild_sequence(pattern: Any, items: list[Any]) -> Any:
    try:
        if isinstance(pattern, MutableSequence):
            clone = copy.copy(pattern)
            for place, item in enumerate(items):
                clone[place] = item
            return clone
        return type(pattern)(items)
    except TypeError:
        return items


def default_convert(data: Any) -> Any:
    """Turns every NumPy array inside `data` into a tensor; all else is left as it is.

    >>> default_convert([np.array(3), "three"])
    [tensor(3), 'three']
    """
    kind = type(data)
    if isinstance(data, lampas.Tensor):
        return data
    if kind.__module__ == "numpy" and kind.__name__ not in ("str_", "bytes_", "string_"):
        if kind.__name__ == "ndarray" and np_str_obj_array_pattern.search(data.dtype.str):
            return data
        return lampas.as_tensor(data)
    if isinstance(data, Mapping):
        return _rebuild_mapping(data, {key: default_convert(data[key]) for key in data})
    if _is_namedtuple(data):
        return kind(*(default_convert(item) for item in data))
    if isinstance(data, tuple):
        return [default_convert(item) for item in data]
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return _rebuild_sequence(data, [default_convert(item) for item in data])
    return data


def collate(batch: Sequence[Any], *, collate_fn_map: CollateTable | None = None) -> Any:
    """Joins samples of one structure, leaf by leaf, with the functions in `collate_fn_map`.

    A function is looked up by the exact type first, then by isinstance in the table's order.
    Raises TypeError for a leaf that the table does not know, RuntimeError where sequences in the
    batch differ in length.
    """
    first = batch[0]
    kind = type(first)
    for known, function in (collate_fn_map or {}).items():
        if known is kind:
            return function(batch, collate_fn_map=collate_fn_map)
    for known, function in (collate_fn_map or {}).items():
        if isinstance(first, known):
            return function(batch, collate_fn_map=collate_fn_map)

    def join(samples: Sequence[Any]) -> Any:
        return collate(samples, collate_fn_map=collate_fn_map)

    if isinstance(first, Mapping):
        return _rebuild_mapping(first, {key: join([item[key] for item in batch]) for key in first})
    if _is_namedtuple(first):
        return kind(*(join(samples) for samples in zip(*batch, strict=False)))
    if isinstance(first, Sequence):
        if any(len(item) != len(first) for item in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        joined = [join(samples) for samples in zip(*batch, strict=True)]
        return joined if isinstance(first, tuple) else _rebuild_sequence(first, joined)
    raise TypeError(default_collate_err_msg_format.format(kind))


def collate_tensor_fn(batch: Sequence[Any], *, collate_fn_map: CollateTable | None = None) -> Any:
    """Stacks tensors along a new first dimension."""
    return stack_tensors(batch)


def collate_numpy_array_fn(
    batch: Sequence[Any], *, collate_fn_map: CollateTable | None = None
) -> Any:
    """Stacks NumPy arrays into a tensor. Raises TypeError for arrays of strings or objects."""
    if np_str_obj_array_pattern.search(batch[0].dtype.str):
        raise TypeError(default_collate_err_msg_format.format(batch[0].dtype))
    return collate([lampas.as_tensor(array) for array in batch], collate_fn_map=collate_fn_map)


def collate_numpy_scalar_fn(
    batch: Sequence[Any], *, collate_fn_map: CollateTable | None = None
) -> Any:
    """A one-dimensional tensor of NumPy numbers, of their own dtype."""
    return lampas.as_tensor(batch)


def collate_float_fn(batch: Sequence[Any], *, collate_fn_map: CollateTable | None = None) -> Any:
    """A float64 tensor of Python floats."""
    return lampas.tensor(batch, dtype=lampas.float64)


def collate_int_fn(batch: Sequence[Any], *, collate_fn_map: CollateTable | None = None) -> Any:
    """A tensor of Python ints (int64) or bools."""
    return lampas.tensor(batch)


def collate_str_fn(batch: Sequence[Any], *, collate_fn_map: CollateTable | None = None) -> Any:
    """Strings and bytes stay the list that they are."""
    return batch


default_collate_fn_map: CollateTable = {
    lampas.Tensor: collate_tensor_fn,
    np.ndarray: collate_numpy_array_fn,
    (np.bool_, np.number, np.object_): collate_numpy_scalar_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    str: collate_str_fn,
    bytes: collate_str_fn,
}


def default_collate(batch: Sequence[Any]) -> Any:
    """Joins samples into a batch with an added first dimension.

    Tensors, NumPy arrays and numbers become tensors; strings stay lists; mappings, named tuples,
    tuples and lists are joined member by member (a tuple becomes a list).
    Raises TypeError for anything else.

    >>> default_collate([(1, "a"), (2, "b")])
    [tensor([1, 2]), ('a', 'b')]
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)
