"""Running a random graph through the compiler and comparing it with the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lampas.engine.device.buffer import Buffer
from lampas.engine.graph.layout import as_row_major
from lampas.engine.graph.linear import linearize
from lampas.engine.realize.building import build_program
from lampas.engine.settings import settings
from tests.fuzz.random_graphs import random_graph

if TYPE_CHECKING:
    from tests.fuzz.random_graphs import Item, RandomGraph


def run_compiled(graph: RandomGraph, fuse: bool = True) -> list[np.ndarray]:
    """The arrays of a graph's outputs, from a compiled program with its schedule verified."""
    found = linearize([item.node for item in graph.outputs])
    leaves = [found.nodes[number] for number in found.leaves]
    buffers = [Buffer.from_array(n.buffer) for n in leaves if n.op.name == "buffer"]
    scalars = [n.value for n in leaves if n.op.name == "scalar"]
    with settings.override(fuse=fuse, verify=True):
        program = build_program(found.graph())
    outputs = program.run(buffers, scalars)
    return [
        as_row_major(buffer.array(item.dtype.numpy, layout.memory), layout)
        if layout
        else buffer.array(item.dtype.numpy, item.shape)
        for buffer, item, layout in zip(outputs, graph.outputs, program.layouts, strict=True)
    ]


def tolerance(item: Item) -> np.ndarray:
    """How far a result may lie from the reference: by its dtype and by how it is conditioned."""
    value, shadow = item.value.astype(np.float64), item.shadow.astype(np.float64)
    finite = np.isfinite(value) & np.isfinite(shadow)
    spread = np.abs(np.where(finite, value - shadow, 0)).max(initial=0)
    size = np.abs(np.where(finite, value, 0)).max(initial=0)
    eps = float(np.finfo(np.float32).eps) if item.dtype.itemsize >= 4 else 0.0
    if item.dtype.itemsize == 8:
        eps = 1e-14
    if item.dtype.itemsize == 2:
        eps = 2.0**-10 if item.dtype.name == "float16" else 2.0**-7
    return np.asarray(16 * spread + 64 * eps * size)


def difference(item: Item, got: np.ndarray) -> str:
    """What is wrong with a result; empty if nothing is."""
    if got.dtype != item.value.dtype or got.shape != item.value.shape:
        return f"{got.dtype}{got.shape} in place of {item.value.dtype}{item.value.shape}"
    if not item.dtype.is_floating_point:
        bad = np.argwhere(got != item.value)
        return (
            ""
            if not len(bad)
            else f"{got[tuple(bad[0])]} != {item.value[tuple(bad[0])]} at {bad[0]}"
        )
    value, shadow = item.value.astype(np.float64), item.shadow.astype(np.float64)
    wide = got.astype(np.float64)
    sure = np.isfinite(value) == np.isfinite(shadow)
    same = (wide == value) | (np.isnan(wide) & np.isnan(value))
    with np.errstate(invalid="ignore"):
        near = np.abs(wide - value) <= tolerance(item)
    bad = np.argwhere(sure & ~same & ~near)
    if not len(bad):
        return ""
    place = tuple(bad[0])
    return f"{wide[place]} != {value[place]} (shadow {shadow[place]}) at {place}, {len(bad)} in all"


def check_seed(seed: int) -> None:
    """Fused and unfused, compiled equals the reference; raises AssertionError with the graph."""
    graph = random_graph(seed)
    if not graph.outputs:
        return
    for fuse in (True, False):
        results = run_compiled(graph, fuse)
        for place, (item, got) in enumerate(zip(graph.outputs, results, strict=True)):
            problem = difference(item, got)
            if problem:
                text = "\n".join(f"  %{n} {line}" for n, line in enumerate(graph.text))
                raise AssertionError(
                    f"seed {seed}, fuse={fuse}, output {place} {item.node!r}: {problem}\n{text}"
                )
