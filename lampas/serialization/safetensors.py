"""Dicts of tensors in the safetensors format, through the safetensors package."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors
from safetensors import SafetensorError

import lampas
from lampas.engine.tensor.core import Tensor
from lampas.serialization.errors import SerializationError
from lampas.serialization.files import replacing

_CODES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
    "C64": "complex64",
}
# The package has no types of its own.
_package: Any = safetensors
_serialize = _package.serialize
_deserialize = _package.deserialize
_SPEC: Any = getattr(safetensors, "TensorSpec", None)
_NAMES = {name: code for code, name in _CODES.items()}


def dump(tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """The bytes of a safetensors file. Raises TypeError for values that are no tensors, ValueError
    for a dtype that the format does not have."""
    # The arrays must outlive the call below, which is given their addresses.
    arrays: dict[str, np.ndarray] = {}
    entries = {}
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"safetensors hold tensors only: {name!r} is a {type(tensor).__name__}")
        kind = tensor.dtype.name
        if kind not in _NAMES:
            raise ValueError(f"safetensors have no dtype {kind} (tensor {name!r})")
        arrays[name] = _array_of(tensor)
        entries[name] = _entry(kind, list(tensor.shape), arrays[name])
    return bytes(_serialize(entries, metadata=metadata))


def _array_of(tensor: Tensor) -> np.ndarray:
    flat = tensor.detach().contiguous()
    if flat.dtype is lampas.bfloat16:
        flat = flat.view(lampas.int16)
    return np.ascontiguousarray(flat.numpy())


def _entry(kind: str, shape: list[int], array: np.ndarray) -> Any:
    """One tensor as the package wants it: described by address since 0.7, by its bytes before."""
    if _SPEC is None:
        return {"dtype": kind, "shape": shape, "data": array.tobytes()}
    return _SPEC(dtype=kind, shape=shape, data_ptr=array.ctypes.data, data_len=array.nbytes)


def parse(data: bytes) -> dict[str, Tensor]:
    """The tensors of a safetensors file's bytes. Raises SerializationError for a malformed one."""
    try:
        entries = _deserialize(data)
    except SafetensorError as error:
        raise SerializationError(f"cannot load the safetensors file: {error}") from None
    return {name: _tensor_of(name, entry) for name, entry in entries}


def _tensor_of(name: str, entry: Any) -> Tensor:
    if entry["dtype"] not in _CODES:
        raise SerializationError(
            f"cannot load the safetensors file: {name!r} has the unsupported dtype {entry['dtype']}"
        )
    kind = getattr(lampas, _CODES[entry["dtype"]])
    data = bytearray(entry["data"])
    if not data:
        return lampas.empty(entry["shape"], dtype=kind)
    return lampas.frombuffer(data, dtype=kind).reshape(entry["shape"])


def save_file(
    tensors: Mapping[str, Tensor],
    filename: str | os.PathLike[str],
    metadata: dict[str, str] | None = None,
) -> None:
    """Writes a safetensors file, replaced whole or not at all."""
    data = dump(tensors, metadata)
    with replacing(filename) as stream:
        stream.write(data)


def load_file(filename: str | os.PathLike[str], device: Any = "cpu") -> dict[str, Tensor]:
    """Reads a safetensors file."""
    with open(filename, "rb") as stream:
        tensors = parse(stream.read())
    return {name: tensor.to(device) for name, tensor in tensors.items()}
