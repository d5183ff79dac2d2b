"""The workloads: programs written for PyTorch's API, as functions of the library that runs them."""

from bench.workloads import (
    dense,
    gpt,
    graphs,
    images,
    pixels,
    pointwise,
    recurrent,
    resnet,
    signals,
    transformers,
)
from bench.workloads.registry import WORKLOADS, Program, Step, Workload, make_program, make_step

__all__ = [
    "WORKLOADS",
    "Program",
    "Step",
    "Workload",
    "dense",
    "gpt",
    "graphs",
    "images",
    "make_program",
    "make_step",
    "pixels",
    "pointwise",
    "recurrent",
    "resnet",
    "signals",
    "transformers",
]
