"""Data parallelism in one process: scatter the batch, run replicas, gather the results."""

from lampas.nn.parallel.data_parallel import DataParallel, data_parallel
from lampas.nn.parallel.parallel_apply import parallel_apply
from lampas.nn.parallel.replicate import replicate
from lampas.nn.parallel.scatter_gather import gather, scatter, scatter_kwargs

__all__ = [
    "DataParallel",
    "data_parallel",
    "gather",
    "parallel_apply",
    "replicate",
    "scatter",
    "scatter_kwargs",
]
