"""`Function`: an operation whose forward and backward the user writes on tensors.

`Function.apply` runs `forward` without recording, then puts one grad node on the tape that calls
`backward`.  With `create_graph` the user's backward runs with recording on, so it can be derived again.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from lampas.engine.derive.operation import ghost, zeros_for
from lampas.engine.derive.tape import Edge, Flow, GradNode
from lampas.engine.dtype import float32
from lampas.engine.graph import build as g
from lampas.engine.tensor.core import Tensor, share, wrap
from lampas.engine.tensor.device import CPU
from lampas.engine.tensor.grad_mode import grad_mode
from lampas.engine.tensor.grad_switches import no_grad, set_grad_enabled

if TYPE_CHECKING:
    from collections.abc import Sequence


class FunctionContext:
    """`ctx`: carries values from a Function's forward to its backward."""

    def __init__(self) -> None:
        self._saved: tuple[Tensor | None, ...] = ()
        self._versions: tuple[int, ...] = ()
        self._dirty: tuple[Tensor, ...] = ()
        self._constant: tuple[Tensor, ...] = ()
        self._materialize = True
        self._released = False
        self._node: FunctionGrad | None = None
        self.needs_input_grad: tuple[bool, ...] = ()

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for `backward`, where they are `ctx.saved_tensors`."""
        self._saved = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for `jvp`."""
        self._saved_forward = tensors

    def mark_dirty(self, *args: Tensor) -> None:
        """Say which inputs `forward` has changed in place."""
        self._dirty = args

    def mark_non_differentiable(self, *args: Tensor) -> None:
        """Say which outputs have no gradient."""
        self._constant = args

    def set_materialize_grads(self, value: bool) -> None:
        """Whether missing gradients of outputs reach `backward` as zeros (the default) or None."""
        self._materialize = value

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """The tensors of `save_for_backward`; RuntimeError if one was changed in place since."""
        if self._released:
            raise RuntimeError(
                "Trying to backward through the graph a second time (or directly access saved "
                "tensors after they have already been freed). Saved intermediate values of the "
                "graph are freed when you call .backward() or autograd.grad(). Specify "
                "retain_graph=True if you need to backward through the graph a second time or if "
                "you need to access saved tensors after calling backward."
            )
        for tensor, version in zip(self._saved, self._versions, strict=True):
            if tensor is not None and tensor._storage.version != version:
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an "
                    f"inplace operation: [torch.{tensor.dtype.title}Tensor {list(tensor._shape)}] "
                    f"is at version {tensor._storage.version}; expected version {version} instead."
                )
        return self._saved

    saved_variables = saved_tensors


class FunctionGrad(GradNode):
    """The tape's entry for one `Function.apply`."""

    __slots__ = ("context", "function")

    def __init__(
        self, function: type[Function], context: FunctionContext, edges: Any, outputs: Any
    ) -> None:
        super().__init__(edges, outputs)
        self.function = function
        self.context = context

    def name(self) -> str:
        return f"{self.function.__name__}Backward"

    def release(self) -> None:
        self.context._released = bool(self.context._saved)

    def __getattr__(self, name: str) -> Any:
        # The grad node is the context as PyTorch's users know it: grad_fn.saved_tensors.
        if name in ("context", "function"):
            raise AttributeError(name)
        return getattr(self.context, name)

    def apply(self, flows: tuple[Flow | None, ...], create_graph: bool) -> Sequence[Flow | None]:
        grads = [self._gradient(place, flow) for place, flow in enumerate(flows)]
        with set_grad_enabled(create_graph):
            results = self.function._backward_function()(self.context, *grads)
        if not isinstance(results, tuple):
            results = (results,)
        count = len(self.edges)
        if len(results) > count and all(extra is None for extra in results[count:]):
            results = results[:count]
        if len(results) != count:
            raise RuntimeError(
                f"function {self.name()} returned an incorrect number of gradients (expected "
                f"{count}, got {len(results)})"
            )
        return [self._flow(place, result) for place, result in enumerate(results)]

    def _gradient(self, place: int, flow: Flow | None) -> Tensor | None:
        if flow is not None:
            return wrap(flow.node, CPU, flow.edge)
        return wrap(zeros_for(self.metadata[place]), CPU) if self.context._materialize else None

    def _flow(self, place: int, result: Any) -> Flow | None:
        edge = self.edges[place]
        if result is None or edge is None:
            return None
        if not isinstance(result, Tensor):
            raise TypeError(
                f"{self.name()} returned a {type(result).__name__} as gradient {place}; expected "
                "a Tensor or None"
            )
        wanted = edge.node.metadata[edge.index]
        node = result._value()
        if node.shape != wanted.shape:
            if not _sums_to(node.shape, wanted.shape):
                raise RuntimeError(
                    f"Function {self.name()} returned an invalid gradient at index {place} - got "
                    f"{list(node.shape)} but expected shape compatible with {list(wanted.shape)}"
                )
            node = g.sum_to(node, wanted.shape)
        return Flow(g.cast(node, wanted.dtype), result._tape_edge())


def _sums_to(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    lead = len(shape) - len(target)
    return lead >= 0 and all(
        want in (1, size) for size, want in zip(shape[lead:], target, strict=True)
    )


class Function:
    """The base of user-written operations.

    >>> class Double(Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return x * 2
    ...     @staticmethod
    ...     def backward(ctx, gradient):
    ...         return gradient * 2
    """

    generate_vmap_rule = False

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs; with `setup_context`, without `ctx`."""
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function."
        )

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The gradients of the inputs, given those of the outputs."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom "
            "autograd.Function to use it with backward mode AD."
        )

    setup_context: Any = None

    @classmethod
    def _backward_function(cls) -> Any:
        return (
            getattr(cls, "vjp", cls.backward) if cls.backward is Function.backward else cls.backward
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run the operation on tensors and other arguments."""
        context = FunctionContext()
        given = [arg for arg in args if isinstance(arg, Tensor)]
        recorded = grad_mode.enabled and any(tensor.requires_grad for tensor in given)
        context.needs_input_grad = tuple(
            isinstance(arg, Tensor) and arg.requires_grad for arg in args
        )
        edges = tuple(
            arg._tape_edge() if recorded and isinstance(arg, Tensor) else None for arg in args
        )
        result = cls._run_forward(context, args, kwargs)
        context._versions = tuple(
            0 if tensor is None else tensor._storage.version for tensor in context._saved
        )
        if not recorded:
            return result
        return _attach(cls, context, edges, args, result)

    @classmethod
    def _run_forward(cls, context: FunctionContext, args: Any, kwargs: Any) -> Any:
        with no_grad():
            if cls.setup_context is None:
                return cls.forward(context, *args, **kwargs)
            result = cls.forward(*args, **kwargs)
            cls.setup_context(context, args, result)
            return result


def _attach(
    function: type[Function], context: FunctionContext, edges: Any, args: Any, result: Any
) -> Any:
    """Put the outputs on the tape."""
    outputs = list(result) if isinstance(result, tuple) else [result]
    constant = {id(tensor) for tensor in context._constant}
    dirty = {id(tensor) for tensor in context._dirty}
    inputs = {id(arg) for arg in args if isinstance(arg, Tensor)}
    ghosts = tuple(
        ghost(out._value()) if isinstance(out, Tensor) else ghost(g.constant(0, float32))
        for out in outputs
    )
    entry = FunctionGrad(function, context, edges, ghosts)
    context._node = entry
    for place, out in enumerate(outputs):
        if not isinstance(out, Tensor) or id(out) in constant:
            continue
        if not (out.dtype.is_floating_point or out.dtype.is_complex):
            continue
        if id(out) in dirty:
            out._write(out._value(), Edge(entry, place))
            continue
        if id(out) in inputs:
            out = outputs[place] = share(out)
        out._edge = Edge(entry, place)
        out._requires_grad = False
    return tuple(outputs) if isinstance(result, tuple) else outputs[0]


def once_differentiable(function: Any) -> Any:
    """A backward that cannot be derived again: it runs without recording."""

    @functools.wraps(function)
    def call(ctx: Any, *args: Any) -> Any:
        with no_grad():
            return function(ctx, *args)

    return call
