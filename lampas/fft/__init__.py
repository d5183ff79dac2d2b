"""Fourier transforms (PyTorch's `torch.fft`)."""

from lampas.engine.tensor import PUBLIC

globals().update(
    {entry.name: entry.function for entry in PUBLIC.values() if entry.namespace == "fft"}
)

__all__ = sorted(entry.name for entry in PUBLIC.values() if entry.namespace == "fft")
