"""PyTorch's private path of a worker's own information."""

from lampas.utils.data.worker import WorkerInfo, get_worker_info

__all__ = ["WorkerInfo", "get_worker_info"]
