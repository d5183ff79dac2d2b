"""PyTorch's `torch._dynamo.exc`: the exceptions that programs catch by name."""

from lampas.compiler.errors import InvalidBackend, TorchDynamoException, Unsupported

__all__ = ["InvalidBackend", "TorchDynamoException", "Unsupported"]
