"""Linear algebra: decompositions, solvers, norms (PyTorch's `torch.linalg`)."""

from lampas.engine.tensor import PUBLIC
from lampas.engine.tensor.linear_algebra import LinAlgError

globals().update(
    {entry.name: entry.function for entry in PUBLIC.values() if entry.namespace == "linalg"}
)

__all__ = [
    "LinAlgError",
    *sorted(entry.name for entry in PUBLIC.values() if entry.namespace == "linalg"),
]
