"""User-written operations, under PyTorch's module path."""

from lampas.engine.tensor.custom_function import (
    Function,
    FunctionContext,
    once_differentiable,
)

FunctionCtx = FunctionContext

__all__ = ["Function", "FunctionCtx", "once_differentiable"]
