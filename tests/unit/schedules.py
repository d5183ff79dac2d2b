"""Helpers for tests of the schedule: leaves, graphs, and runs of programs beside the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.device.buffer import Buffer
from lampas.engine.device.launch import Program as NativeProgram
from lampas.engine.dtype import float32
from lampas.engine.graph.layout import as_row_major
from lampas.engine.graph.linear import linearize
from lampas.engine.graph.node import Node, buffer_node
from lampas.engine.graph.reference import evaluate
from lampas.engine.realize.building import build_program
from lampas.engine.realize.hosts import HostCall
from lampas.engine.schedule.fuse import fuse
from lampas.engine.schedule.settle import settle
from lampas.engine.schedule.simplify import simplify
from lampas.engine.schedule.text import graph_text, steps_text
from lampas.engine.settings import settings

if TYPE_CHECKING:
    from lampas.engine.graph.linear import LinearGraph
    from lampas.engine.realize.program import Program


def leaf(*shape: int, kind: Any = float32, seed: int = 0) -> Node:
    """A leaf of small whole numbers (exact in every dtype)."""
    numbers = np.random.default_rng(seed).integers(0, 5, shape)
    array = np.ascontiguousarray(numbers.astype(kind.numpy)).reshape(shape)
    return buffer_node(array, shape, kind)


def graph_of(*outputs: Node) -> LinearGraph:
    return linearize(outputs).graph()


def simplified(*outputs: Node) -> str:
    """The text of a graph after simplification."""
    return graph_text(simplify(graph_of(*outputs)))


def steps_of(*outputs: Node, fused: bool = True) -> str:
    """The text of the steps that a graph becomes."""
    settled = settle(simplify(graph_of(*outputs)))
    steps, _ = fuse(settled, fused)
    return steps_text(steps, settled)


def leaves_of(*outputs: Node) -> tuple[list[Buffer], list[Any], list[np.ndarray]]:
    """Buffers and scalars of a graph's leaves, and all of them as arrays."""
    found = linearize(outputs)
    nodes = [found.nodes[number] for number in found.leaves]
    buffers = [Buffer.from_array(n.buffer) for n in nodes if n.op.name == "buffer"]
    scalars = [n.value for n in nodes if n.op.name == "scalar"]
    arrays = [n.buffer if n.op.name == "buffer" else np.asarray(n.value) for n in nodes]
    return buffers, scalars, arrays


def check(*outputs: Node, tolerance: float = 1e-5) -> Program:
    """Compile with the schedule verified, run, compare with the reference; return the program."""
    buffers, scalars, arrays = leaves_of(*outputs)
    graph = graph_of(*outputs)
    expected = evaluate(graph, arrays)
    with settings.override(verify=True):
        program = build_program(graph)
    results = program.run(buffers, scalars)
    listed = zip(outputs, expected, results, program.layouts, strict=True)
    for node, wanted, buffer, layout in listed:
        got = buffer.array(node.dtype.numpy, layout.memory if layout else node.shape)
        got = as_row_major(got, layout) if layout else got
        np.testing.assert_allclose(
            got.astype(np.float64), np.asarray(wanted, np.float64), tolerance, tolerance
        )
    return program


def records(program: Program) -> list[str]:
    """The names of a program's records, host calls among them."""
    found: list[str] = []
    for segment in program.segments:
        if isinstance(segment, HostCall):
            found.append(segment.name)
        elif isinstance(segment, NativeProgram):
            found.extend(record.name for record in segment.records)
    return found
