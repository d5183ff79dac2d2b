"""`repr` of a tensor: PyTorch's text."""

from __future__ import annotations

from typing import Any

from lampas.engine.tensor.conversion import array_of
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import method
from lampas.engine.tensor.printing import format_tensor


@method("__repr__", "__str__")
def represent(self: Tensor, *, tensor_contents: Any = None) -> str:
    """The values, and what is worth knowing: dtype, gradient function, device."""
    node = self.grad_fn
    kind = type(self)
    # Only classes of users show their own name; a Parameter's values are those of a tensor.
    prefix = "tensor(" if kind.__module__.startswith("lampas.") else f"{kind.__name__}("
    return format_tensor(
        None if self.is_meta else array_of(self),
        dtype=self.dtype,
        shape=self._shape,
        requires_grad=self.requires_grad,
        grad_fn_name=None if node is None else node.name().rpartition("::")[2],
        device="meta" if self.is_meta else None,
        prefix=prefix,
    )
