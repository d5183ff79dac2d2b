"""The names that programs take from PyTorch's private `torch.utils.data._utils`."""

from lampas.utils.data._utils import collate, worker

__all__ = ["collate", "worker"]
