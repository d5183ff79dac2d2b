"""Parts of the cursor's native function: new nodes, marks and tensors, as `_promise`, `Mark` and `wrap` make them.

Each is a function of the module that returns an owned reference, or null where memory ran out.
"""

from __future__ import annotations

from lampas.engine.derive.trail import Mark, Trail
from lampas.engine.device.buffer import Buffer
from lampas.engine.graph.journal import Entry, Journal
from lampas.engine.graph.node import Node
from lampas.engine.llvm.python_objects import NULL, ObjectBuilder, slot_place
from lampas.engine.llvm.text import Module, Value, constant
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.cursor_table import Common
from lampas.engine.tensor.storage import Storage

MAKE_NODE, MAKE_TENSOR, MAKE_MARK = "lampas_node", "lampas_tensor", "lampas_mark"
WRAP = "lampas_wrap"
CLASSES = {
    kind.__name__: kind for kind in (Tensor, Storage, Node, Mark, Trail, Journal, Entry, Buffer)
}


def place(name: str) -> int:
    """The place of a slot, as "Tensor._node"."""
    kind, _, slot = name.partition(".")
    return slot_place(CLASSES[kind], slot)


def fresh(o: ObjectBuilder, kind: Value) -> Value:
    """A new object of a class without `__dict__`, its slots empty."""
    return o.b.call("PyType_GenericAlloc", "ptr", [kind, constant(0, "i64")])


def write_node(module: Module) -> None:
    """A promised node: `graph.journal._promise`."""
    parameters = [("ptr", n) for n in ("common", "journal", "shape", "kind")] + [("i64", "number")]
    b = module.function(MAKE_NODE, parameters, "ptr", internal=True)
    o = ObjectBuilder(b)
    common, journal, shape, kind, number = b.arguments
    none = o.word(common, Common.NONE, "ptr")
    made = fresh(o, o.word(common, Common.NODE, "ptr"))
    o.leave_if(o.is_same(made, NULL), "failed")
    for name, value in (("shape", shape), ("dtype", kind), ("buffer", none), ("value", none), ("journal", journal)):  # fmt: skip
        o.put(made, place(f"Node.{name}"), value)
    o.give(made, place("Node.number"), b.call("PyLong_FromLongLong", "ptr", [number]))
    b.ret(made)
    b.begin("failed")
    b.ret(NULL)


def write_mark(module: Module) -> None:
    """`Mark(trail, place, index)`."""
    names = ("common", "trail", "place", "index", "source")
    b = module.function(MAKE_MARK, [("ptr", n) for n in names], "ptr", internal=True)
    o = ObjectBuilder(b)
    common, *values = b.arguments
    made = fresh(o, o.word(common, Common.MARK, "ptr"))
    o.leave_if(o.is_same(made, NULL), "failed")
    for name, value in zip(names[1:], values, strict=True):
        o.put(made, place(f"Mark.{name}"), value)
    b.ret(made)
    b.begin("failed")
    b.ret(NULL)


def write_tensor(module: Module) -> None:
    """`core.wrap(node, cpu, edge)`: a tensor with a storage of its own, which waits for its value."""
    b = module.function(
        MAKE_TENSOR, [("ptr", n) for n in ("common", "node", "edge")], "ptr", internal=True
    )
    o = ObjectBuilder(b)
    common, node, edge = b.arguments
    none, false, zero = (
        o.word(common, each, "ptr") for each in (Common.NONE, Common.FALSE, Common.ZERO)
    )
    storage = fresh(o, o.word(common, Common.STORAGE, "ptr"))
    o.leave_if(o.is_same(storage, NULL), "failed")
    listed = [("node", node), ("device", o.word(common, Common.CPU, "ptr")), ("shared", false)]
    listed += [(name, zero) for name in ("version", "revision", "history")]
    for name, value in listed:
        o.put(storage, place(f"Storage.{name}"), value)
    reference = b.call("PyWeakref_NewRef", "ptr", [storage, NULL])
    o.leave_if(o.is_same(reference, NULL), "failed")
    o.give(storage, place("Storage.reference"), reference)
    with b.when(o.is_same(o.at(node, place("Node.buffer")), none)):
        o.append(o.word(common, Common.PENDING, "ptr"), reference)
    new, kind = o.word(common, Common.NEW, "ptr"), o.word(common, Common.TENSOR, "ptr")
    made = b.call("PyObject_CallOneArg", "ptr", [new, kind])
    o.leave_if(o.is_same(made, NULL), "failed")
    o.give(made, place("Tensor._storage"), storage)
    values = {"_shape": o.at(node, place("Node.shape")), "_node": node, "_edge": edge}
    values |= dict.fromkeys(("_strides", "_leaf", "_grad", "_base"), none)
    values |= dict.fromkeys(("_offset", "_seen", "_past"), zero)
    values |= dict.fromkeys(("_requires_grad", "_silent"), false)
    for name, value in values.items():
        o.put(made, place(f"Tensor.{name}"), value)
    b.ret(made)
    b.begin("failed")
    b.ret(NULL)


def write_wrap(module: Module) -> None:
    """A builtin function of its own: a tensor on the CPU for a node, with its place on the trail or None."""
    parameters = [("ptr", "own"), ("ptr", "arguments"), ("i64", "count")]
    b = module.function(WRAP, parameters, "ptr")
    o = ObjectBuilder(b)
    own, arguments, _ = b.arguments
    common = b.call("PyBytes_AsString", "ptr", [own])
    node, edge = (o.word(arguments, place, "ptr") for place in range(2))
    b.ret(b.call(MAKE_TENSOR, "ptr", [common, node, edge]))
