"""Tensor, storage, the door, and the families of operations.

Importing this package declares every operation; `PUBLIC` then lists them, and each top-level one is an
attribute of this package.
"""

from lampas.engine.tensor import families
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import PUBLIC
from lampas.engine.tensor.device import device
from lampas.engine.tensor.grad_mode import is_grad_enabled, is_inference_mode_enabled
from lampas.engine.tensor.grad_switches import (
    enable_grad,
    inference_mode,
    no_grad,
    set_grad_enabled,
)

globals().update({name: entry.function for name, entry in PUBLIC.items() if not entry.namespace})

__all__ = [
    "PUBLIC",
    "Tensor",
    "device",
    "enable_grad",
    "families",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "set_grad_enabled",
    *(name for name, entry in PUBLIC.items() if not entry.namespace),
]
