"""The grad modes, under PyTorch's module path."""

from lampas.engine.tensor.grad_switches import (
    enable_grad,
    inference_mode,
    no_grad,
    set_grad_enabled,
)

__all__ = ["enable_grad", "inference_mode", "no_grad", "set_grad_enabled"]
