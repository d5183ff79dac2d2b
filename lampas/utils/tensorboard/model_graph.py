"""A model's graph in TensorBoard's form, read from the tape of one run.

A node of the tape belongs to the innermost module that was running when it was recorded; its name is
that module's path and the operation's. TensorBoard folds the paths into boxes.
"""

import itertools
from collections.abc import Iterable
from typing import Any

from tensorboardX.proto import (
    attr_value_pb2,
    graph_pb2,
    node_def_pb2,
    tensor_shape_pb2,
    versions_pb2,
)

from lampas.engine.derive.tape import GradNode
from lampas.engine.tensor.core import LeafGrad, Tensor
from lampas.engine.tensor.grad_switches import enable_grad
from lampas.nn.modules.module import Module
from lampas.show.tape_graph import inputs_first

GRAPH_VERSION = 22

# These modules make their classes when they are loaded, out of sight of a type checker.
_attributes: Any = attr_value_pb2
_graphs: Any = graph_pb2
_nodes: Any = node_def_pb2
_shapes: Any = tensor_shape_pb2
_versions: Any = versions_pb2


class _Scopes:
    """Which stretch of the recording belongs to which module."""

    def __init__(self, model: Module) -> None:
        self.root = type(model).__name__
        self.running: list[str] = []
        self.marks: list[tuple[int, str]] = []  # from this sequence number on, this path
        self.handles = []
        for name, module in model.named_modules():
            path = "/".join([self.root, *name.split(".")] if name else [self.root])
            enter = module.register_forward_pre_hook(lambda *_, path=path: self._enter(path))
            leave = module.register_forward_hook(lambda *_: self._leave())
            self.handles += [enter, leave]

    def _enter(self, path: str) -> None:
        self.running.append(path)
        self._mark()

    def _leave(self) -> None:
        self.running.pop()
        self._mark()

    def _mark(self) -> None:
        path = self.running[-1] if self.running else self.root
        self.marks.append((GradNode((), ()).sequence, path))

    def path_of(self, node: GradNode) -> str:
        """The module that recorded a node."""
        return next(
            (path for start, path in reversed(self.marks) if start < node.sequence), self.root
        )


def describe_model(model: Module, arguments: tuple[Any, ...]) -> Any:
    """Run `model` once and describe its tape; ValueError where its result has none."""
    scopes = _Scopes(model)
    inputs = [
        each.detach().requires_grad_()
        if isinstance(each, Tensor) and each.is_floating_point()
        else each
        for each in arguments
    ]
    training = model.training
    try:
        with enable_grad():
            outputs = list(_tensors(model.eval()(*inputs)))
    finally:
        model.train(training)
        for handle in scopes.handles:
            handle.remove()
    roots = [edge.node for out in outputs if (edge := out._tape_edge()) is not None]
    if not roots:
        raise ValueError("the model's result has no tape: nothing in it requires a gradient")
    leaves = {
        "/".join([scopes.root, *name.split(".")]): parameter
        for name, parameter in model.named_parameters()
    }
    leaves |= {
        f"input/{number}": each for number, each in enumerate(inputs) if isinstance(each, Tensor)
    }
    edges = {name: tensor._tape_edge() for name, tensor in leaves.items()}
    names = {id(edge.node): name for name, edge in edges.items() if edge is not None}
    return _describe(roots, names, scopes)


def _describe(roots: list[GradNode], names: dict[int, str], scopes: _Scopes) -> Any:
    order = {id(node): node for root in roots for node in inputs_first(root)}
    numbers: dict[str, Any] = {}
    nodes = []
    for key, node in order.items():
        if isinstance(node, LeafGrad):
            kind = "Parameter" if key in names else "Constant"
            name = names.setdefault(key, f"{scopes.root}/leaf_{len(nodes)}")
        else:
            kind = node.name()
            stem = f"{scopes.path_of(node)}/{kind.removesuffix('Backward0')}"
            count = next(numbers.setdefault(stem, itertools.count()))
            name = names[key] = f"{stem}_{count}" if count else stem
        sources = [names[id(edge.node)] for edge in node.edges if edge is not None]
        shapes = [tuple(each.shape) for each in node.metadata]
        nodes.append(_node(name, kind, sources, shapes))
    for number, root in enumerate(roots):
        nodes.append(_node(f"output/{number}", "Output", [names[id(root)]], []))
    return _graphs.GraphDef(node=nodes, versions=_versions.VersionDef(producer=GRAPH_VERSION))


def _node(name: str, kind: str, sources: list[str], shapes: list[tuple[int, ...]]) -> Any:
    sizes = [
        _shapes.TensorShapeProto(dim=[_shapes.TensorShapeProto.Dim(size=size) for size in shape])
        for shape in shapes
    ]
    attributes = {
        "_output_shapes": _attributes.AttrValue(list=_attributes.AttrValue.ListValue(shape=sizes))
    }
    return _nodes.NodeDef(name=name, op=kind, input=sources, attr=attributes if shapes else {})


def _tensors(value: Any) -> Iterable[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _tensors(each)
