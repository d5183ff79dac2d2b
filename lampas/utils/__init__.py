"""Helpers that stand beside the library: data loading, checkpointing, hook handles."""

from lampas import _lazy

__getattr__, __dir__ = _lazy.attach(__name__, ["checkpoint", "data", "hooks"])
