"""Checkpointing: a part of a model keeps only its inputs and is run again during backward.

Two forms, as in PyTorch:

- reentrant: a `Function` that runs the part again on detached inputs and starts a backward walk of its
  own inside the running one. Gradients reach parameters only through `.backward()`;
- not reentrant: the part's tape is replaced by one entry whose edges are those that led out of it. When
  the walk arrives there, the part runs again, and the walk goes over the new tape up to the same
  edges. Works with `autograd.grad`, higher derivatives and tensors that the part closes over.

Both run the part again under the random numbers and the autocast state of its first run.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lampas.amp.autocast_mode import autocast
from lampas.autograd import Function, backward
from lampas.engine.derive.operation import ghost
from lampas.engine.derive.tape import Edge, Flow, GradNode, walk
from lampas.engine.tensor.autocast import get_autocast_dtype, is_autocast_enabled
from lampas.engine.tensor.backward import INTERFACE
from lampas.engine.tensor.core import LeafGrad, Tensor, wrap
from lampas.engine.tensor.grad_mode import grad_mode
from lampas.engine.tensor.grad_switches import enable_grad
from lampas.nn.modules.container import Sequential
from lampas.random import get_rng_state, set_rng_state

__all__ = [
    "CheckpointError",
    "CheckpointFunction",
    "check_backward_validity",
    "checkpoint",
    "checkpoint_sequential",
    "detach_variable",
    "noop_context_fn",
    "set_checkpoint_debug_enabled",
    "set_checkpoint_early_stop",
]

RELEASED = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they "
    "have already been freed). Saved intermediate values of the graph are freed when you call "
    ".backward() or autograd.grad(). Specify retain_graph=True if you need to backward through the "
    "graph a second time or if you need to access saved tensors after calling backward."
)


class CheckpointError(RuntimeError):
    """The second run of a checkpointed part did something else than the first."""


class _Options:
    debug: bool | None = None


@contextlib.contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Iterator[None]:
    """Inside the block, errors of every checkpoint list the operations of both runs (or of none)."""
    before, _Options.debug = _Options.debug, enabled
    try:
        yield
    finally:
        _Options.debug = before


@contextlib.contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """Accepted as PyTorch has it; the second run is lazy here, so nothing unneeded is computed."""
    yield


def noop_context_fn() -> tuple[Any, Any]:
    """Contexts of the first and the second run that do nothing."""
    return contextlib.nullcontext(), contextlib.nullcontext()


def check_backward_validity(inputs: Iterable[Any]) -> None:
    """Warn where no input requires a gradient: a reentrant checkpoint then has none."""
    if not any(isinstance(each, Tensor) and each.requires_grad for each in inputs):
        warnings.warn(
            "None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2
        )


def detach_variable(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs with each tensor replaced by a leaf over the same memory."""
    if not isinstance(inputs, tuple):
        raise RuntimeError(
            f"Only tuple of tensors is supported. Got Unsupported input type: {type(inputs).__name__}"
        )
    return tuple(
        each.detach().requires_grad_(each.requires_grad) if isinstance(each, Tensor) else each
        for each in inputs
    )


class _Surroundings:
    """The random numbers and the autocast state at a run's beginning."""

    def __init__(self, keep_random: bool) -> None:
        self.random = get_rng_state() if keep_random else None
        self.autocast = (is_autocast_enabled("cpu"), get_autocast_dtype("cpu"))

    @contextlib.contextmanager
    def again(self) -> Iterator[None]:
        """What was, inside a block; what is, after it."""
        enabled, kind = self.autocast
        now = get_rng_state()
        if self.random is not None:
            set_rng_state(self.random)
        try:
            with autocast("cpu", dtype=kind, enabled=enabled):
                yield
        finally:
            if self.random is not None:
                set_rng_state(now)


# Reentrant ----------------------------------------------------------------------------------------


class CheckpointFunction(Function):
    """Runs a part without recording; runs it again, recorded, when its gradient is wanted."""

    @staticmethod
    def forward(ctx: Any, run_function: Any, preserve_rng_state: bool, *args: Any) -> Any:
        check_backward_validity(args)
        ctx.run_function = run_function
        ctx.surroundings = _Surroundings(preserve_rng_state)
        ctx.arguments = [None if isinstance(each, Tensor) else each for each in args]
        ctx.places = [place for place, each in enumerate(args) if isinstance(each, Tensor)]
        ctx.save_for_backward(*(args[place] for place in ctx.places))
        return run_function(*args)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        arguments = list(ctx.arguments)
        for place, tensor in zip(ctx.places, ctx.saved_tensors, strict=True):
            arguments[place] = tensor
        detached = detach_variable(tuple(arguments))
        with enable_grad(), ctx.surroundings.again():
            outputs = ctx.run_function(*detached)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        pairs = [
            (out, grad)
            for out, grad in zip(outputs, grad_outputs, strict=True)
            if isinstance(out, Tensor) and out.requires_grad
        ]
        if not pairs:
            raise RuntimeError(
                "none of output has requires_grad=True, this checkpoint() is not necessary"
            )
        backward([out for out, _ in pairs], [grad for _, grad in pairs])
        grads = (each.grad if isinstance(each, Tensor) else None for each in detached)
        return (None, None, *grads)


# Not reentrant ------------------------------------------------------------------------------------


class _Border(GradNode):
    """Ends the walk inside a part; afterwards leads on to where the edge led in the first place."""

    __slots__ = ("beyond",)

    def __init__(self, beyond: Edge) -> None:
        super().__init__((), (beyond.node.metadata[beyond.index],))
        self.beyond = beyond
        self.sequence = beyond.node.sequence

    def name(self) -> str:
        return "CheckpointBorderBackward"

    def apply(self, flows: Any, create_graph: bool) -> Any:
        return flows

    def open(self) -> None:
        self.edges = (self.beyond,)


class _Part:
    """The tape between some outputs and what was there before a mark in the recording."""

    def __init__(self, outputs: list[Tensor], mark: int) -> None:
        self.roots = [out._tape_edge() for out in outputs]
        self.inner: list[GradNode] = []
        self.leading_out: dict[tuple[int, int], Edge] = {}
        stack = [edge for edge in self.roots if edge is not None]
        seen: set[int] = set()
        while stack:
            edge = stack.pop()
            if isinstance(edge.node, LeafGrad) or edge.node.sequence < mark:
                self.leading_out.setdefault((id(edge.node), edge.index), edge)
            elif id(edge.node) not in seen:
                seen.add(id(edge.node))
                self.inner.append(edge.node)
                stack.extend(each for each in edge.node.edges if each is not None)
        self.inner.sort(key=lambda node: node.sequence)

    def is_inner(self, edge: Edge | None) -> bool:
        """Whether an output was made inside the part."""
        return edge is not None and any(node is edge.node for node in self.inner)

    def description(self) -> list[str]:
        """The operations in their order, with the shapes and dtypes of their results."""
        return [
            f"{node.name()} {[(tuple(each.shape), each.dtype.name) for each in node.metadata]}"
            for node in self.inner
        ]


class _PartGrad(GradNode):
    """The one entry that stands for a whole part."""

    __slots__ = ("again", "debug", "described", "places", "released")

    def __init__(self, part: _Part, outputs: list[Tensor], again: Any, debug: Any) -> None:
        edges = tuple(part.leading_out.values())
        super().__init__(edges, tuple(ghost(out._value()) for out in outputs))
        self.places = list(part.leading_out)
        self.described: list[str] | None = part.description()
        self.again: Callable[[], tuple[list[Tensor], int]] = again
        self.debug, self.released = debug, False

    def name(self) -> str:
        return "CheckpointBackward"

    def release(self) -> None:
        self.released = True

    def apply(self, flows: Any, create_graph: bool) -> Any:
        if self.released:
            raise RuntimeError(RELEASED)
        outputs, mark = self.again()
        part = _Part(outputs, mark)
        self._compare(part)
        borders = _close(part)
        roots = [
            (edge, flow)
            for edge, flow in zip(part.roots, flows, strict=True)
            if edge is not None and flow is not None
        ]
        found: dict[tuple[int, int], Flow] = {}
        walk(
            roots,
            keep_graph=create_graph,
            create_graph=create_graph,
            interface=INTERFACE,
            captures={
                (id(border), 0): lambda flow, place=place: found.__setitem__(place, flow)
                for place, border in borders.items()
            },
        )
        for border in borders.values():
            border.open()
        return [found.get(place) for place in self.places]

    def _compare(self, part: _Part) -> None:
        if self.described is None or part.description() == self.described:
            return
        first, second = self.described, part.description()
        if len(first) != len(second):
            message = (
                "torch.utils.checkpoint: A different number of tensors was saved during the original "
                f"forward and recomputation.\nOperations recorded during forward: {len(first)}\n"
                f"Operations recorded during recomputation: {len(second)}."
            )
        else:
            place = next(i for i, pair in enumerate(zip(first, second)) if pair[0] != pair[1])
            message = (
                "torch.utils.checkpoint: Recomputed values for the following tensors have different "
                f"metadata than during the forward pass.\noperation {place}:\n"
                f"saved metadata: {first[place]}\nrecomputed metadata: {second[place]}"
            )
        if self.debug if _Options.debug is None else _Options.debug:
            message += f"\nforward: {first}\nrecomputation: {second}"
        raise CheckpointError(message)


def _close(part: _Part) -> dict[tuple[int, int], _Border]:
    """Let every edge that leads out of the part end at a border of its own."""
    borders = {place: _Border(edge) for place, edge in part.leading_out.items()}
    for node in part.inner:
        node.edges = tuple(
            Edge(border, 0)
            if edge is not None and (border := borders.get((id(edge.node), edge.index)))
            else edge
            for edge in node.edges
        )
    return borders


def _mark() -> int:
    """A number between those of the grad nodes before now and after now."""
    return GradNode((), ()).sequence


def _run_part(run: Callable[[], Any], contexts: Any, keep_random: bool, **options: Any) -> Any:
    first, second = contexts()
    surroundings = _Surroundings(keep_random)
    mark = _mark()
    with first:
        result = run()
    outputs: list[Tensor] = []
    _replace_tensors(result, lambda tensor: outputs.append(tensor) or tensor)
    part = _Part(outputs, mark)
    outputs = [out for out, edge in zip(outputs, part.roots, strict=True) if part.is_inner(edge)]
    if not outputs:
        return result
    chosen = {id(out): place for place, out in enumerate(outputs)}
    order = [place for place, edge in enumerate(part.roots) if part.is_inner(edge)]

    def again() -> tuple[list[Tensor], int]:
        mark = _mark()
        with enable_grad(), surroundings.again(), second:
            repeated = run()
        made: list[Tensor] = []
        _replace_tensors(repeated, lambda tensor: made.append(tensor) or tensor)
        if len(made) <= order[-1]:
            raise CheckpointError("torch.utils.checkpoint: recomputation gave fewer tensors")
        return [made[place] for place in order], mark

    entry = _PartGrad(part, outputs, again, options["debug"])
    if options["determinism_check"] == "none":
        entry.described = None
    wrapped = [
        wrap(out._value(), out.device, Edge(entry, place)) for place, out in enumerate(outputs)
    ]
    return _replace_tensors(
        result, lambda tensor: wrapped[chosen[id(tensor)]] if id(tensor) in chosen else tensor
    )


def _replace_tensors(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """The same tuples, lists and dicts with every tensor changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_replace_tensors(each, change) for each in value))
    if isinstance(value, tuple | list):
        return type(value)(_replace_tensors(each, change) for each in value)
    if isinstance(value, dict):
        return type(value)((key, _replace_tensors(each, change)) for key, each in value.items())
    return value


# Public -------------------------------------------------------------------------------------------


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], tuple[Any, Any]] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """Run `function(*args, **kwargs)` keeping only its inputs; run it again for the gradient.

    `preserve_rng_state` (default True) gives the second run the first one's random numbers.
    `context_fn` returns the contexts of both runs (not reentrant only). ValueError for other keywords
    of a reentrant checkpoint; CheckpointError in backward if the second run differs from the first.

    >>> import lampas
    >>> x = lampas.ones(2, requires_grad=True)
    >>> checkpoint(lambda value: value.exp(), x, use_reentrant=False).sum().backward()
    >>> x.grad
    tensor([2.7183, 2.7183])
    """
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly. "
            "use_reentrant=False is recommended; without it, it is True.",
            stacklevel=2,
        )
        use_reentrant = True
    keep_random = kwargs.pop("preserve_rng_state", True)
    if use_reentrant:
        if kwargs:
            raise ValueError(f"Unexpected keyword arguments: {','.join(kwargs)}")
        if context_fn is not noop_context_fn or debug is not False:
            raise ValueError(
                "Passing `context_fn` or `debug` is only supported when use_reentrant=False."
            )
        return CheckpointFunction.apply(function, keep_random, *args)
    if determinism_check not in ("default", "none"):
        raise ValueError(
            "determinism_check should be one of ['default', 'none'] but got " + determinism_check
        )
    if not grad_mode.enabled:
        return function(*args, **kwargs)
    return _run_part(
        lambda: function(*args, **kwargs),
        context_fn,
        keep_random,
        debug=debug,
        determinism_check=determinism_check,
    )


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Run a Sequential (or a list of functions) in `segments` parts, all but the last checkpointed."""
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint.checkpoint_sequential: the use_reentrant parameter should be "
            "passed explicitly. use_reentrant=False is recommended; without it, it is True.",
            stacklevel=2,
        )
        use_reentrant = True
    keep_random = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError(f"Unexpected keyword arguments: {','.join(kwargs)}")
    steps = list(functions.children()) if isinstance(functions, Sequential) else list(functions)
    size = len(steps) // segments
    if not size:
        raise ValueError(f"{len(steps)} functions cannot be run in {segments} segments")

    def run_all(chosen: list[Any]) -> Callable[[Any], Any]:
        def run(value: Any) -> Any:
            for step in chosen:
                value = step(value)
            return value

        return run

    for segment in range(segments - 1):
        input = checkpoint(
            run_all(steps[segment * size : (segment + 1) * size]),
            input,
            use_reentrant=use_reentrant,
            preserve_rng_state=keep_random,
        )
    return run_all(steps[(segments - 1) * size :])(input)
