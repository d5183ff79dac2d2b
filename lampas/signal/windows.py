"""Window functions (PyTorch's `torch.signal.windows`)."""

from lampas.engine.tensor import PUBLIC

_PLACE = "signal.windows"

globals().update({each.name: each.function for each in PUBLIC.values() if each.namespace == _PLACE})

__all__ = sorted(each.name for each in PUBLIC.values() if each.namespace == _PLACE)
