"""Loading with Python's own pickle, which executes what a file says: for `load(..., unsafe=True)` only.

Names of PyTorch's are understood as ours; tensors are made by the same checked constructors.
"""

from __future__ import annotations

import pickle
from typing import IO, Any

from lampas.serialization.storages import StorageBank
from lampas.serialization.symbols import SYMBOLS, Constructor


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: IO[bytes], bank: StorageBank) -> None:
        super().__init__(stream)
        self.bank = bank

    def persistent_load(self, identifier: Any) -> Any:
        return self.bank.find(identifier)

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full in ("torch.Tensor", "torch.nn.parameter.Parameter"):
            return super().find_class("lampas" + module[len("torch") :], name)
        if full.startswith("torch.") and full in SYMBOLS:
            known = SYMBOLS[full]
            return _caller(known) if isinstance(known, Constructor) else known
        if full.startswith("torch."):
            module = "lampas" + module[len("torch") :]
        return super().find_class(module, name)


def _caller(constructor: Constructor) -> Any:
    def construct(*arguments: Any) -> Any:
        return constructor.apply(arguments)

    return construct


def unpickle(stream: IO[bytes], bank: StorageBank) -> Any:
    """The object of the pickle at the stream's place. Executes what it says."""
    return _Unpickler(stream, bank).load()
