"""Saving and loading: PyTorch's formats, atomically written, and read without executing anything."""

from lampas.serialization.errors import SerializationError
from lampas.serialization.loading import load
from lampas.serialization.safe_globals import (
    add_safe_globals,
    clear_safe_globals,
    get_safe_globals,
    safe_globals,
)
from lampas.serialization.saving import DEFAULT_PROTOCOL, save

__all__ = [
    "DEFAULT_PROTOCOL",
    "SerializationError",
    "add_safe_globals",
    "clear_safe_globals",
    "get_safe_globals",
    "load",
    "safe_globals",
    "save",
]
