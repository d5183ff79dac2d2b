"""The named tuples that functions with several results return (PyTorch's `torch.return_types`)."""

from lampas.engine.tensor import PUBLIC
from lampas.engine.tensor.returns import RETURN_TYPES

globals().update(RETURN_TYPES if PUBLIC else {})

__all__ = sorted(RETURN_TYPES)
