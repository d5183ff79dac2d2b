"""`Variable`: the old name of a tensor."""

from lampas.engine.tensor import Tensor as Variable

__all__ = ["Variable"]
