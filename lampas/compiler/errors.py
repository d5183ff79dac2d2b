"""What `lampas.compile` raises: PyTorch's types (`torch._dynamo.exc`), all of them RuntimeErrors."""

from __future__ import annotations

__all__ = ["InvalidBackend", "TorchDynamoException", "Unsupported"]


class TorchDynamoException(RuntimeError):
    """Anything that goes wrong with compiling a call."""


class Unsupported(TorchDynamoException):
    """With `fullgraph=True`: a value was read in the middle of the call."""


class InvalidBackend(TorchDynamoException):
    """No such backend."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Invalid backend: {name!r}, see `torch.compiler.list_backends()` for available backends."
        )
