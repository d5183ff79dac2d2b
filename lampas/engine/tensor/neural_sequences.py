"""All time steps of one layer and direction of RNN, LSTM and GRU as one operation.

A call costs one node, however many steps there are.  Inputs: the projected input (T, N, gates·H), the
first state or states (N, H), the recurrent weight (gates·H, H) and perhaps its bias.  Results: all
states (T, N, H), the last state or states, and what the derivative reads (nobody sees it): for each
time the gates, one after the other, as (T·kept, N, H).

The derivative walks back over time by the steps' own formulas; the gradients of weight and bias are
one product and one sum over all times at its end (as cuDNN does; Appleyard, Kočiský & Blunsom, 2016).

LSTM and GRU of float32 whose size vectors divide are one kernel forward and one back (`loops.recurrent_*`).
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from lampas.engine.derive.operation import derive_operation
from lampas.engine.dtype import float32
from lampas.engine.graph import build as g
from lampas.engine.graph.primitives import CONCATENATE, RECURRENT, RECURRENT_BACKWARD
from lampas.engine.loops.recurrent_plan import suits_kernel
from lampas.engine.tensor import neural_recurrent as steps
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.door import record
from lampas.engine.tensor.joining import cat
from lampas.engine.tensor.neural_precision import wide

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lampas.engine.derive.operation import Operation, Saved
    from lampas.engine.graph.node import Node

# Times in one operation: the graph of a longer one would take long to trace anew for each length.
CHUNK = 256


def _stack(nodes: Sequence[Node]) -> Node:
    return g.concatenate([g.reshape(node, (1, *node.shape)) for node in nodes], 0)


def _at(whole: Node, place: int) -> Node:
    """One entry of a stack; of a stack made here, what was put there (no path leads through all)."""
    if whole.op is CONCATENATE and len(whole.inputs) == whole.shape[0]:
        part = whole.inputs[place]
    else:
        part = g.narrow(whole, 0, place, 1)
    return g.reshape(part, whole.shape[1:])


def _times(length: int, backwards: bool) -> range:
    return range(length - 1, -1, -1) if backwards else range(length)


def _unroll(
    step: Callable[..., tuple[Node, ...]], states: int, keep_from: int
) -> Callable[..., tuple[Node, ...]]:
    """`step` for every time; it has `states` states, and results from `keep_from` on are kept."""

    def forward(projected: Node, *rest: Any) -> tuple[Node, ...]:
        *others, backwards = rest
        state, others = tuple(others[:states]), others[states:]
        length = projected.shape[0]
        outputs: list[Any] = [None] * length
        kept: list[Any] = [()] * length
        for time in _times(length, backwards):
            made = step(_at(projected, time), *state, *others)
            state = made[:states]
            outputs[time] = state[0]
            kept[time] = [wide(node) for node in made[keep_from:]]
        flat = [node for each in kept for node in each]
        return (_stack(outputs), *state, *([_stack(flat)] if flat else []))

    return forward


def _kept_at(saved: Saved, time: int) -> tuple[Node, ...]:
    whole, length = saved.outputs[-1], saved.outputs[0].shape[0]
    count = whole.shape[0] // length
    return tuple(_at(whole, time * count + number) for number in range(count))


def _join(a: Node | None, b: Node | None) -> Node | None:
    """The sum of two cotangents in full precision."""
    if a is None or b is None:
        given = b if a is None else a
        return None if given is None else wide(given)
    return g.add(wide(a), wide(b))


class _Walk:
    """The way back: at each time the cotangent of the state, and what the product's gradients need."""

    def __init__(
        self, saved: Saved, cotangent: Node | None, last: Node | None, weight: int
    ) -> None:
        self.saved, self.cotangent, self.place = saved, cotangent, weight
        self.to_state = None if last is None else wide(last)
        self.length = saved.outputs[0].shape[0]
        self.backwards: bool = saved.attributes[-1]
        self.order = _times(self.length, not self.backwards)
        self.weight = wide(saved.inputs[weight])
        self.outer: dict[int, Node] = {}
        self.inner: dict[int, Node] = {}

    def before(self, time: int) -> int | None:
        """The time of the state that entered, None where it is the input's."""
        earlier = time + 1 if self.backwards else time - 1
        return earlier if 0 <= earlier < self.length else None

    def state(self, time: int) -> Node:
        """The state that entered at a time."""
        earlier = self.before(time)
        return wide(
            self.saved.inputs[1] if earlier is None else _at(self.saved.outputs[0], earlier)
        )

    def arriving(self, time: int) -> Node | None:
        """The cotangent of the state that left at a time."""
        seen = None if self.cotangent is None else _at(self.cotangent, time)
        return _join(seen, self.to_state)

    def leave(self, time: int, outer: Node, inner: Node, past: Node | None = None) -> None:
        """Note the cotangents of both projections; that of the entering state follows."""
        self.outer[time], self.inner[time] = outer, inner
        if time == self.order[-1] and not self.saved.needed[1]:
            self.to_state = None
            return
        self.to_state = _join(g.matmul(inner, self.weight), past)

    def _all(self, flows: dict[int, Node]) -> Node:
        like = next(iter(flows.values()))
        nothing = g.full(like.shape, 0, like.dtype)
        return _stack([flows.get(time, nothing) for time in range(self.length)])

    def grads(self, *more: Node | None) -> steps.Grads:
        """Cotangents of all inputs; `more` are those of states after the first."""
        saved, place = self.saved, self.place
        if not self.outer:
            return (None,) * len(saved.inputs)
        outer = self._all(self.outer)
        inner = outer if self.inner == self.outer else self._all(self.inner)
        length, batch, width = inner.shape
        rows = g.reshape(inner, (length * batch, width))
        flows: list[Node | None] = [outer, self.to_state, *more]
        flows.append(self._to_weight(rows) if saved.needed[place] else None)
        if len(saved.inputs) > place + 1:
            flows.append(g.sum_to(rows, (width,)) if saved.needed[place + 1] else None)
        return steps.as_inputs(saved, tuple(flows))

    def _to_weight(self, rows: Node) -> Node:
        """One product over times and sequences."""
        states = _stack([self.state(time) for time in range(self.length)])
        size = states.shape[2]
        return g.matmul(g.transpose(rows), g.reshape(states, (rows.shape[0], size)))


# By the kernels ------------------------------------------------------------------------------------


def _has_kernel(projected: Node, state: Node) -> bool:
    """Whether kernels compute all times; elsewhere they are spelled out."""
    times, batch, _ = projected.shape
    alike = projected.dtype is float32 is state.dtype
    return alike and suits_kernel(times, batch, state.shape[1])


def _fused(cell: str, states: int, unrolled: Callable[..., Any]) -> Callable[..., Any]:
    """What `unrolled` gives, by one primitive where there are kernels."""

    def forward(projected: Node, *rest: Any) -> tuple[Node, ...]:
        if not _has_kernel(projected, rest[0]):
            return unrolled(projected, *rest)
        *others, backwards = rest
        before, (weight, *bias) = others[:states], others[states:]
        shift = bias[0] if bias else g.full(weight.shape[:1], 0, weight.dtype)
        flat = g.make(RECURRENT, (projected, *before, weight, shift), (cell, backwards))
        times, shape = projected.shape[0], before[0].shape
        kept = flat.numel // (times * prod(shape)) - 1
        outputs, kept_values = g.parts_of(flat, [(times, *shape), (times * kept, *shape)])
        end = 0 if backwards else times - 1
        last = [g.narrow(outputs, 0, end, 1), g.narrow(kept_values, 0, end * kept, 1)][:states]
        return (outputs, *(g.reshape(each, shape) for each in last), kept_values)

    return forward


def _fused_vjp(saved: Saved, cell: str, cotangents: Sequence[Node | None]) -> steps.Grads:
    """The way back by one primitive, then one product for the weight and one sum for the bias."""
    states = len(cotangents) - 1
    _, *rest = saved.inputs
    before, weight = rest[:states], rest[states]
    outputs, kept = saved.outputs[0], saved.outputs[-1]
    shapes = [outputs.shape, *[before[0].shape] * states]
    flows = [
        g.full(shape, 0, float32) if ct is None else ct
        for ct, shape in zip(cotangents, shapes, strict=True)
    ]
    operands = (outputs, kept, *before, weight, *flows)
    flat = g.make(RECURRENT_BACKWARD, operands, (cell, saved.attributes[-1]))
    times, batch, _ = outputs.shape
    gates = [(times, batch, weight.shape[0])] * (1 if cell == "lstm" else 2)
    parts = g.parts_of(flat, [*gates, *shapes[1:]])
    rows = g.reshape(parts[len(gates) - 1], (times * batch, weight.shape[0]))
    made: list[Node | None] = [parts[0], *parts[len(gates) :]]
    made.append(_to_weight(saved, rows) if saved.needed[1 + states] else None)
    if len(rest) > states + 1:
        made.append(g.sum_to(rows, (weight.shape[0],)))
    return tuple(flow if need else None for flow, need in zip(made, saved.needed, strict=True))


def _to_weight(saved: Saved, rows: Node) -> Node:
    """One product over times and sequences: the flows by the states that entered."""
    outputs, first = saved.outputs[0], g.reshape(saved.inputs[1], (1, *saved.inputs[1].shape))
    times = outputs.shape[0]
    if saved.attributes[-1]:
        parts = [g.narrow(outputs, 0, 1, times - 1), first]
    else:
        parts = [first, g.narrow(outputs, 0, 0, times - 1)]
    states = g.concatenate(parts, 0) if times > 1 else first
    return g.matmul(g.transpose(rows), g.reshape(states, (rows.shape[0], outputs.shape[2])))


def _operation(
    cell: str, states: int, step: Callable[..., Any], vjp: Callable[..., steps.Grads]
) -> Operation:
    """All times of an LSTM or GRU; second derivatives take the way that is spelled out."""
    unrolled = _unroll(step, states, 1)

    def derivative(saved: Saved, *cotangents: Node | None) -> steps.Grads:
        known = any(ct is not None for ct in cotangents)
        if known and _has_kernel(*saved.inputs[:2]):
            return _fused_vjp(saved, cell, cotangents)
        return vjp(saved, *cotangents)

    fused = _fused(cell, states, unrolled)
    made = steps.operation(cell, fused, derivative, states + 1, unrolled)
    made.second = derive_operation(steps.operation(cell, unrolled, vjp, states + 1))
    return made


# Spelled out --------------------------------------------------------------------------------------


def _rnn_vjp(saved: Saved, ct: Node | None, last: Node | None) -> steps.Grads:
    walk = _Walk(saved, ct, last, 2)
    for time in walk.order:
        arriving = walk.arriving(time)
        if arriving is not None:
            value = wide(_at(saved.outputs[0], time))
            flow = steps.rnn_flow(arriving, value, saved.attributes[0])
            walk.leave(time, flow, flow)
    return walk.grads()


def _lstm_vjp(
    saved: Saved, ct: Node | None, last: Node | None, last_cell: Node | None
) -> steps.Grads:
    walk = _Walk(saved, ct, last, 3)
    to_cell = None if last_cell is None else wide(last_cell)
    kept = [_kept_at(saved, time) for time in range(walk.length)]
    for time in walk.order:
        earlier = walk.before(time)
        cell = wide(saved.inputs[2]) if earlier is None else kept[earlier][0]
        found = steps.lstm_flows(walk.arriving(time), to_cell, cell, kept[time])
        if found is not None:
            gates, to_cell = found
            walk.leave(time, gates, gates)
    return walk.grads(to_cell if saved.needed[2] else None)


def _gru_vjp(saved: Saved, ct: Node | None, last: Node | None) -> steps.Grads:
    walk = _Walk(saved, ct, last, 2)
    for time in walk.order:
        arriving = walk.arriving(time)
        if arriving is not None:
            flows = steps.gru_flows(arriving, walk.state(time), _kept_at(saved, time))
            walk.leave(time, *flows)
    return walk.grads()


RNN = steps.operation("rnn", _unroll(steps.rnn, 1, 1), _rnn_vjp, 2)
LSTM = _operation("lstm", 2, steps.lstm, _lstm_vjp)
GRU = _operation("gru", 1, steps.gru, _gru_vjp)


def _run(
    operation: Operation,
    projected: Tensor,
    state: tuple[Tensor, ...],
    fixed: tuple[Tensor, ...],
    attributes: tuple[bool, ...],
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """All states and the last ones; many times are cut into chunks."""
    length, states = projected._shape[0], len(state)
    fused = operation is not RNN and _has_kernel(projected._value(), state[0]._value())
    if fused or length <= CHUNK:
        made = record(operation, (projected, *state, *fixed), attributes)
        return made[0], made[1 : 1 + states]
    chunks = [projected[start : start + CHUNK] for start in range(0, length, CHUNK)]
    outputs: list[Any] = [None] * len(chunks)
    for place in _times(len(chunks), attributes[-1]):
        made = record(operation, (chunks[place], *state, *fixed), attributes)
        outputs[place], state = made[0], made[1 : 1 + states]
    return cat(outputs), state


def recurrence(
    mode: str,
    projected: Tensor,
    state: tuple[Tensor, ...],
    weight: Tensor,
    bias: Tensor | None,
    backwards: bool,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """(T, N, gates·H) from first states on: the states at all times, and the last ones.

    `mode` is "LSTM", "GRU", "RNN_TANH" or "RNN_RELU"; `backwards` begins with the last time.
    """
    fixed = (weight,) if bias is None else (weight, bias)
    if mode in ("LSTM", "GRU"):
        return _run(LSTM if mode == "LSTM" else GRU, projected, state, fixed, (backwards,))
    return _run(RNN, projected, state, fixed, (mode == "RNN_RELU", backwards))
