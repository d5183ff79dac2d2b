"""A graph network: messages gathered along edges and summed at nodes."""

from __future__ import annotations

import functools
from typing import Any

from bench.workloads.registry import Program, workload

WIDTH, CLASSES, EDGES_A_NODE = 64, 10, 5


@functools.cache
def message_layer(lib: Any) -> Any:
    """The class of a layer that sends each edge's message to its target."""
    nn = lib.nn

    class MessageLayer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.message = nn.Linear(2 * WIDTH, WIDTH)
            self.update = nn.Linear(2 * WIDTH, WIDTH)

        def forward(self, nodes: Any, sources: Any, targets: Any) -> Any:
            ends = lib.cat([nodes[sources], nodes.index_select(0, targets)], 1)
            messages = lib.relu(self.message(ends))  # (edges, width)
            received = lib.zeros_like(nodes).index_add(0, targets, messages)
            return lib.relu(self.update(lib.cat([nodes, received], 1)))

    return MessageLayer


@workload("graph-network", batch=2000)
def graph_network(lib: Any) -> Program:
    """Two rounds of message passing on 2,000 nodes and 10,000 edges, 64 wide, training with Adam."""
    nn = lib.nn
    layers = nn.ModuleList([message_layer(lib)() for _ in range(2)])
    head, criterion = nn.Linear(WIDTH, CLASSES), nn.CrossEntropyLoss()

    def loss(nodes: Any, sources: Any, targets: Any, classes: Any) -> Any:
        for layer in layers:
            nodes = layer(nodes, sources, targets)
        return criterion(head(nodes), classes)

    def draw(count: int, _: int) -> tuple[Any, ...]:
        edges = lib.randint(0, count, (2, EDGES_A_NODE * count))
        classes = lib.randint(0, CLASSES, (count,))
        return lib.randn(count, WIDTH), edges[0], edges[1], classes

    optimizer = lib.optim.Adam([*layers.parameters(), *head.parameters()], lr=1e-3)
    return Program(loss, draw, optimizer)
