"""`Tensor`: a shape, strides and offset over a storage, and its place on the tape.

Only what every tensor must have stands here: its value, views, writes, gradients.  Operations come from
the families (`pointwise.py`, `reduction.py`, …), whose declarations attach the methods.

Invariants.  `_node` is the value that was read at storage revision `_seen`.  A view's tape edge was made
at storage history `_past`; when the storage's record has changed since (an in-place operation through
another view), the edge is made again from the base.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from lampas.engine.derive.operation import Operation, ghost
from lampas.engine.derive.tape import Edge, Flow, GradNode, OperationGrad
from lampas.engine.derive.trail import Mark
from lampas.engine.graph import build as g
from lampas.engine.graph.node import Node
from lampas.engine.shape import Size, contiguous_strides
from lampas.engine.shape import is_contiguous as strides_are_contiguous
from lampas.engine.tensor.device import META, device
from lampas.engine.tensor.grad_mode import grad_mode
from lampas.engine.tensor.storage import Storage, strided_reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.dtype import dtype
    from lampas.engine.tensor.methods import TensorMethods
else:

    class TensorMethods:
        """Stands for the members that the families attach; `methods.pyi` lists them."""

        __slots__ = ()


AS_STRIDED = Operation(
    "as_strided",
    lambda x, shape, strides, offset: g.as_strided(x, shape, strides, offset),
    grad_name="AsStridedBackward0",
    saves="none",
)
ACCUMULATE = Operation("add", lambda sum, more: g.add(sum, more), saves="none")
COPY_SLICES = Operation(
    "copy_slices",
    lambda base, value, shape, strides, offset: g.as_strided_scatter(
        base, value, shape, strides, offset
    ),
    grad_name="torch::autograd::CopySlices",
    saves="none",
)


class TensorMeta(type):
    """`isinstance(x, Parameter)` and the like may be refined by subclasses of this."""


class Tensor(TensorMethods, metaclass=TensorMeta):
    """A multi-dimensional array that knows how it was computed.

    Made by `tensor(...)`, the creation functions and operations; see `lampas.tensor`.
    """

    __slots__ = (
        "__dict__",
        "__weakref__",
        "_base",
        "_edge",
        "_grad",
        "_leaf",
        "_node",
        "_offset",
        "_past",
        "_requires_grad",
        "_seen",
        "_shape",
        "_silent",
        "_storage",
        "_strides",
    )

    _storage: Storage
    _shape: tuple[int, ...]
    _strides: tuple[int, ...] | None
    _offset: int
    _node: Node
    _seen: int
    _edge: Edge | Mark | None
    _leaf: LeafGrad | None
    _requires_grad: bool
    _grad: Tensor | None
    _base: Tensor | None
    _past: int
    _silent: bool

    # Value ---------------------------------------------------------------------------------------

    def _value(self) -> Node:
        """The node of the current value."""
        storage = self._storage
        if storage.shared and storage.is_shared():
            kind = self._node.dtype
            return storage.snapshot(kind, self._shape, self._layout(), self._offset)
        if self._seen != storage.revision:
            source = g.reinterpret(storage.node, self._node.dtype)
            self._node = strided_reading(source, self._shape, self._layout(), self._offset)
            self._seen = storage.revision
        return self._node

    def _layout(self) -> tuple[int, ...]:
        """The strides, in elements."""
        strides = self._strides
        if strides is None:
            strides = self._strides = contiguous_strides(self._shape)
        return strides

    def _scattered(self, node: Node) -> Node:
        """The storage's value with this tensor's part replaced."""
        before = self._storage.node
        place = (self._shape, self._layout(), self._offset)
        if before.dtype is node.dtype:
            return g.as_strided_scatter(before, node, *place)
        changed = g.as_strided_scatter(g.reinterpret(before, node.dtype), node, *place)
        return g.reshape(g.reinterpret(changed, before.dtype), before.shape)

    def _covers_storage(self) -> bool:
        """Whether the tensor is its whole storage, in row-major order."""
        stored = self._storage.node
        if self._node is stored and self._strides is None and self._shape == stored.shape:
            return True
        return (
            self._offset == 0
            and (self._strides is None or strides_are_contiguous(self._shape, self._strides))
            and self._node_count() == self._storage.node.numel
            and self._node.dtype is self._storage.node.dtype
        )

    def _node_count(self) -> int:
        count = 1
        for size in self._shape:
            count *= size
        return count

    def _write(self, node: Node, edge: Edge | Mark | None, recorded: bool = True) -> None:
        """Replace the value (same shape and dtype); `edge` is the tape's place of the new value.

        With `recorded` False (`no_grad`) the tape's record of the tensor stays as it was.
        """
        storage = self._storage
        base = self._base
        if self._covers_storage():
            storage.write(node, silent=self._silent)
            self._node, self._seen = node, storage.revision
            if storage.shared:
                self._seen = -1
        else:
            storage.write(self._scattered(node), silent=self._silent)
        if not recorded:
            return
        if base is None:
            if edge is not None or self._edge is not None:
                self._edge = edge
                storage.history += 1
                self._past = storage.history
        elif edge is not None or base._edge is not None:
            self._rewrite_base(base, node, edge)

    def _rewrite_base(self, base: Tensor, node: Node, edge: Edge | Mark | None) -> None:
        """Record at the base that a part of it has been replaced; views find out by `history`."""
        place = (self._shape, self._layout(), self._offset - base._offset)
        before = base._tape_edge()
        if type(edge) is Mark:
            edge = edge.edge()
        entry = OperationGrad(
            COPY_SLICES, (base._value(), node), (base._value(),), place, (before, edge)
        )
        base._edge = Edge(entry, 0)
        self._storage.history += 1
        base._past = self._storage.history
        self._past = -1

    # Tape ----------------------------------------------------------------------------------------

    def _tape_edge(self) -> Edge | None:
        """Where this tensor's cotangent goes, or None."""
        base = self._base
        if base is not None and self._past != self._storage.history:
            self._regenerate_edge(base)
        edge = self._edge
        if edge is not None:
            if type(edge) is Mark:
                edge = self._edge = edge.edge()
            return edge  # type: ignore[return-value]
        if self._requires_grad:
            leaf = self._leaf
            if leaf is None:
                leaf = self._leaf = LeafGrad(self)
            return leaf.edge
        return None

    def _regenerate_edge(self, base: Tensor) -> None:
        self._past = self._storage.history
        above = base._tape_edge()
        if above is None or self._requires_grad:
            return
        place = (self._shape, self._layout(), self._offset - base._offset)
        entry = OperationGrad(AS_STRIDED, (base._value(),), (self._value(),), place, (above,))
        self._edge = Edge(entry, 0)

    @property
    def grad_fn(self) -> GradNode | None:
        """The operation that made this tensor, when it is recorded; None for leaves."""
        return None if self.is_leaf else self._tape_edge().node.shown()  # type: ignore[union-attr]

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made this tensor."""
        if self._base is not None and self._past != self._storage.history:
            self._regenerate_edge(self._base)
        return self._edge is None

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded."""
        return self._requires_grad or not self.is_leaf

    @requires_grad.setter
    def requires_grad(self, flag: bool) -> None:
        if not self.is_leaf:
            if not flag:
                raise RuntimeError(
                    "you can only change requires_grad flags of leaf variables. If you want to "
                    "use a computed variable in a subgraph that doesn't require differentiation "
                    "use var_no_grad = var.detach()."
                )
            return
        if flag and not (self.dtype.is_floating_point or self.dtype.is_complex):
            raise RuntimeError(
                "only Tensors of floating point dtype can require gradients; "
                f"this one has dtype {self.dtype}"
            )
        self._requires_grad = bool(flag)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set `requires_grad` in place and return the tensor."""
        self.requires_grad = requires_grad
        return self

    @property
    def grad(self) -> Tensor | None:
        """The accumulated gradient of a leaf; None before the first backward."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            _check_grad(self, value)
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    @property
    def output_nr(self) -> int:
        """Which output of `grad_fn` this tensor is."""
        edge = self._edge
        return 0 if edge is None else edge.index

    @property
    def _version(self) -> int:
        return self._storage.version

    # Shape ---------------------------------------------------------------------------------------

    @property
    def shape(self) -> Size:
        """The sizes of the dimensions."""
        return Size(self._shape)

    @property
    def dtype(self) -> dtype:
        """The element type."""
        return self._node.dtype

    @property
    def device(self) -> device:
        """Where the tensor lives."""
        return self._storage.device

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self._shape)

    @property
    def is_meta(self) -> bool:
        """Whether the tensor has a shape but no values."""
        return self._storage.device is META


class LeafGrad(GradNode):
    """The end of the tape at a leaf: adds what arrives to `.grad`."""

    __slots__ = ("accumulate_hooks", "edge", "variable")

    def __init__(self, tensor: Tensor) -> None:
        super().__init__((), (ghost(tensor._node),))
        self.sequence = 1 << 62
        self.variable = weakref.ref(tensor)
        self.edge = Edge(self, 0)
        self.accumulate_hooks: dict[int, Any] | None = None

    def name(self) -> str:
        return "torch::autograd::AccumulateGrad"

    def apply(self, flows: tuple[Flow | None, ...], create_graph: bool) -> Sequence[Flow | None]:
        tensor = self.variable()
        flow = flows[0]
        if tensor is not None and flow is not None:
            accumulate_grad(tensor, flow)
            for hook in list((self.accumulate_hooks or {}).values()):
                hook(tensor)
        return ()


def accumulate_grad(tensor: Tensor, flow: Flow) -> None:
    """Add a cotangent to `tensor.grad`, in place where no derivative of it is recorded."""
    node = g.cast(flow.node, tensor.dtype)
    before = tensor._grad
    if before is None:
        tensor._grad = wrap(node, tensor._storage.device, flow.edge)
    elif flow.edge is None and not before.requires_grad:
        before._write(ACCUMULATE.compute((before._value(), node), ())[0], None)
    else:
        tensor._grad = before + wrap(node, tensor._storage.device, flow.edge)  # type: ignore[operator]


def _check_grad(tensor: Tensor, grad: Tensor) -> None:
    if not isinstance(grad, Tensor):
        raise TypeError(
            f"assigned grad expected to be a Tensor or None but got grad of type "
            f"{type(grad).__name__}"
        )
    if grad._shape != tensor._shape:
        raise RuntimeError(
            f"assigned grad has data of a different size: {list(grad._shape)} for a tensor of "
            f"shape {list(tensor._shape)}"
        )
    if grad.dtype is not tensor.dtype:
        raise RuntimeError(
            f"assigned grad has data of a different type: {grad.dtype} for a tensor of "
            f"{tensor.dtype}"
        )


def rebind(tensors: Sequence[Tensor], nodes: Sequence[Node]) -> None:
    """Replace the values of many tensors (same shapes and dtypes) behind the tape's back: an optimizer's step."""
    for tensor, node in zip(tensors, nodes, strict=True):
        storage = tensor._storage
        stored = storage.node
        if (
            tensor._node is stored
            and tensor._strides is None
            and tensor._shape == stored.shape
            and not (storage.shared or tensor._silent)
        ):
            storage.write(node)
            tensor._node, tensor._seen = node, storage.revision
        else:
            tensor._write(node, None, recorded=False)


_NEW = object.__new__


def wrap(node: Node, place: device, edge: Edge | None = None, kind: type = Tensor) -> Any:
    """A tensor with a storage of its own for the value `node`."""
    tensor = _NEW(kind)
    tensor._storage = Storage(node, place)
    tensor._shape = node.shape
    tensor._strides = None
    tensor._offset = 0
    tensor._node = node
    tensor._seen = 0
    tensor._edge = edge
    tensor._leaf = None
    tensor._requires_grad = False
    tensor._grad = None
    tensor._base = None
    tensor._past = 0
    tensor._silent = False
    return tensor


def wrap_view(
    source: Tensor,
    node: Node,
    strides: tuple[int, ...] | None,
    offset: int,
    edge: Edge | None = None,
    kind: type = Tensor,
) -> Any:
    """A tensor that shares `source`'s storage and reads it as `node` does."""
    storage = source._storage
    tensor = _NEW(kind)
    tensor._storage = storage
    tensor._shape = node.shape
    tensor._strides = strides
    tensor._offset = offset
    tensor._node = node
    tensor._seen = storage.revision
    tensor._edge = edge
    tensor._leaf = None
    tensor._requires_grad = False
    tensor._grad = None
    tensor._base = source if source._base is None else source._base
    tensor._past = storage.history
    tensor._silent = source._silent
    return tensor


def share(source: Tensor, kind: type = Tensor, *, silent: bool = False) -> Any:
    """A tensor over the same storage that the tape does not connect with `source` (`detach`)."""
    tensor = wrap_view(source, source._value(), source._strides, source._offset, None, kind)
    tensor._base = None
    tensor._silent = silent or source._silent
    return tensor


def should_record(*tensors: Any) -> bool:
    """Whether an operation on these is to be recorded on the tape."""
    return grad_mode.enabled and any(
        isinstance(tensor, Tensor) and tensor.requires_grad for tensor in tensors
    )
