"""The few names of `torch._dynamo` that programs use: resetting, switches, exceptions, and `explain`."""

from lampas._dynamo import config, eval_frame, exc
from lampas.compiler import (
    OptimizedModule,
    allow_in_graph,
    assume_constant_result,
    disable,
    explain,
    list_backends,
    reset,
)

__all__ = [
    "OptimizedModule",
    "allow_in_graph",
    "assume_constant_result",
    "config",
    "disable",
    "eval_frame",
    "exc",
    "explain",
    "list_backends",
    "reset",
]
