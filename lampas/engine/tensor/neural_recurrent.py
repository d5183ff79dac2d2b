"""One time step of RNN, LSTM and GRU as an operation.

The gates are results too (nobody sees them), so that the derivative reads them instead of
multiplying again. Inputs of a step: the projected input (N, gates·H), the state (N, H), the
recurrent weight (gates·H, H) and perhaps its bias.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lampas.engine.derive.operation import Operation, Saved, distinct_inputs
from lampas.engine.derive.pullback import pull_back
from lampas.engine.graph import build as g
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.door import record
from lampas.engine.tensor.neural_precision import wide

if TYPE_CHECKING:
    from collections.abc import Callable

    from lampas.engine.graph.node import Node

Grads = tuple["Node | None", ...]


def _project(state: Node, weight: Node, bias: tuple[Node, ...]) -> Node:
    product = g.matmul(wide(state), g.transpose(wide(weight)))
    return g.add(product, wide(bias[0])) if bias else product


def _part(gates: Node, number: int, size: int) -> Node:
    return g.narrow(gates, 1, number * size, size)


def _rest(x: Node) -> Node:
    """1 − x."""
    return g.subtract(g.like(x, 1), x)


def _gate_slope(ct: Node, gate: Node) -> Node:
    """ct through a sigmoid whose value is `gate`."""
    return g.multiply(ct, g.multiply(gate, _rest(gate)))


def _tanh_slope(ct: Node, value: Node) -> Node:
    """ct through a tanh of the given value."""
    return g.multiply(ct, _rest(g.multiply(value, value)))


def _projection_grads(saved: Saved, ct: Node, state: int, weight: int) -> Grads:
    """Cotangents of state, weight and bias from that of their product."""
    h = wide(saved.inputs[state])
    w, *bias = (wide(node) for node in saved.inputs[weight:])
    needed = saved.needed
    to_h = g.matmul(ct, w) if needed[state] else None
    to_w = g.matmul(g.transpose(ct), h) if needed[weight] else None
    if not bias:
        return to_h, to_w
    return to_h, to_w, (g.sum_to(ct, bias[0].shape) if needed[weight + 1] else None)


def as_inputs(saved: Saved, flows: Grads) -> Grads:
    """The cotangents in the dtypes of their inputs."""
    return tuple(
        None if flow is None else g.cast(flow, node.dtype)
        for flow, node in zip(flows, saved.inputs, strict=True)
    )


def operation(
    name: str,
    forward: Callable[..., Any],
    vjp: Callable[..., Grads],
    seen: int,
    spelled_out: Callable[..., Any] | None = None,
) -> Operation:
    """A step whose first `seen` results are public; a cotangent of the others takes the long way.

    That goes through `spelled_out` where `forward` is a primitive without a rule of its own.
    """

    def derivative(saved: Saved, *cotangents: Node | None) -> Grads:
        if any(ct is not None for ct in cotangents[seen:]):
            inputs = distinct_inputs(saved.inputs)
            outputs = (spelled_out or forward)(*inputs, *saved.attributes)
            return pull_back(outputs, cotangents, inputs, saved.needed)
        return vjp(saved, *cotangents[:seen])

    return Operation(name, forward, vjp=derivative, multiple=True)


# RNN ----------------------------------------------------------------------------------------------


def rnn(projected: Node, state: Node, weight: Node, *rest: Any) -> tuple[Node, ...]:
    """(h,), the nonlinearity of both products' sum (Elman, 1990)."""
    *bias, relu = rest
    total = g.add(wide(projected), _project(state, weight, tuple(bias)))
    value = g.maximum(total, g.like(total, 0)) if relu else g.tanh(total)
    return (g.cast(value, projected.dtype),)


def rnn_flow(ct: Node, value: Node, relu: bool) -> Node:
    """ct through the nonlinearity whose value is given."""
    if relu:
        return g.where(g.less_equal(value, g.like(value, 0)), g.like(ct, 0), ct)
    return _tanh_slope(ct, value)


def _rnn_vjp(saved: Saved, ct: Node | None) -> Grads:
    if ct is None:
        return (None,) * len(saved.inputs)
    flow = rnn_flow(wide(ct), wide(saved.outputs[0]), saved.attributes[0])
    return as_inputs(saved, (flow, *_projection_grads(saved, flow, 1, 2)))


# LSTM ---------------------------------------------------------------------------------------------


def lstm(projected: Node, state: Node, cell: Node, weight: Node, *bias: Node) -> tuple[Node, ...]:
    """(h, c, input, forget, candidate, output gates) (Hochreiter & Schmidhuber, 1997)."""
    size = cell.shape[1]
    gates = g.add(wide(projected), _project(state, weight, bias))
    enter, forget, leave = (g.sigmoid(_part(gates, number, size)) for number in (0, 1, 3))
    candidate = g.tanh(_part(gates, 2, size))
    after = g.add(g.multiply(forget, wide(cell)), g.multiply(enter, candidate))
    hidden = g.multiply(leave, g.tanh(after))
    kind = projected.dtype
    return g.cast(hidden, kind), g.cast(after, kind), enter, forget, candidate, leave


def lstm_flows(
    ct_h: Node | None, ct_c: Node | None, cell: Node, kept: tuple[Node, ...]
) -> tuple[Node, Node] | None:
    """Cotangents of gates (before their functions) and old cell; `kept`: new cell, then the gates."""
    after, enter, forget, candidate, leave = kept
    flow = ct_c
    to_leave = g.full(leave.shape, 0, leave.dtype)
    if ct_h is not None:
        squashed = g.tanh(after)
        to_leave = _gate_slope(g.multiply(ct_h, squashed), leave)
        through = _tanh_slope(g.multiply(ct_h, leave), squashed)
        flow = through if flow is None else g.add(flow, through)
    if flow is None:
        return None
    gates = g.concatenate(
        (
            _gate_slope(g.multiply(flow, candidate), enter),
            _gate_slope(g.multiply(flow, cell), forget),
            _tanh_slope(g.multiply(flow, enter), candidate),
            to_leave,
        ),
        1,
    )
    return gates, g.multiply(flow, forget)


def _lstm_vjp(saved: Saved, ct_h: Node | None, ct_c: Node | None) -> Grads:
    after, *gates = saved.outputs[1:]
    found = lstm_flows(
        None if ct_h is None else wide(ct_h),
        None if ct_c is None else wide(ct_c),
        wide(saved.inputs[2]),
        (wide(after), *gates),
    )
    if found is None:
        return (None,) * len(saved.inputs)
    flow, to_cell = found
    to_h, *rest = _projection_grads(saved, flow, 1, 3)
    return as_inputs(saved, (flow, to_h, to_cell if saved.needed[2] else None, *rest))


# GRU ----------------------------------------------------------------------------------------------


def gru(projected: Node, state: Node, weight: Node, *bias: Node) -> tuple[Node, ...]:
    """(h, reset, update, candidate, the state's part of the candidate) (Cho et al., 2014)."""
    size = state.shape[1]
    given, own = wide(projected), _project(state, weight, bias)
    reset = g.sigmoid(g.add(_part(given, 0, size), _part(own, 0, size)))
    update = g.sigmoid(g.add(_part(given, 1, size), _part(own, 1, size)))
    remembered = _part(own, 2, size)
    candidate = g.tanh(g.add(_part(given, 2, size), g.multiply(reset, remembered)))
    hidden = g.add(candidate, g.multiply(update, g.subtract(wide(state), candidate)))
    return g.cast(hidden, projected.dtype), reset, update, candidate, remembered


def gru_flows(ct: Node, state: Node, kept: tuple[Node, ...]) -> tuple[Node, Node, Node]:
    """Cotangents of the projected input, of the projected state, and of the state past the gates."""
    reset, update, candidate, remembered = kept
    to_update = _gate_slope(g.multiply(ct, g.subtract(state, candidate)), update)
    to_candidate = _tanh_slope(g.multiply(ct, _rest(update)), candidate)
    to_reset = _gate_slope(g.multiply(to_candidate, remembered), reset)
    outer = g.concatenate((to_reset, to_update, to_candidate), 1)
    inner = g.concatenate((to_reset, to_update, g.multiply(to_candidate, reset)), 1)
    return outer, inner, g.multiply(ct, update)


def _gru_vjp(saved: Saved, ct: Node | None) -> Grads:
    if ct is None:
        return (None,) * len(saved.inputs)
    outer, inner, past = gru_flows(wide(ct), wide(saved.inputs[1]), saved.outputs[1:])
    to_h, *rest = _projection_grads(saved, inner, 1, 2)
    return as_inputs(saved, (outer, None if to_h is None else g.add(to_h, past), *rest))


RNN_STEP = operation("rnn_cell", rnn, _rnn_vjp, 1)
LSTM_STEP = operation("lstm_cell", lstm, _lstm_vjp, 2)
GRU_STEP = operation("gru_cell", gru, _gru_vjp, 1)


def _with(bias: Tensor | None) -> tuple[Tensor, ...]:
    return () if bias is None else (bias,)


def rnn_step(
    projected: Tensor, state: Tensor, weight: Tensor, bias: Tensor | None, relu: bool
) -> Tensor:
    """tanh (or relu) of the projected input plus the projected state."""
    return record(RNN_STEP, (projected, state, weight, *_with(bias)), (relu,))[0]


def lstm_step(
    projected: Tensor, state: Tensor, cell: Tensor, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The new state and cell."""
    made = record(LSTM_STEP, (projected, state, cell, weight, *_with(bias)))
    return made[0], made[1]


def gru_step(projected: Tensor, state: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The new state."""
    return record(GRU_STEP, (projected, state, weight, *_with(bias)))[0]
