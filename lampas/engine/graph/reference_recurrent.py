"""The reference of LSTM and GRU over all times, and of the way back, in double precision."""

# pyright: basic
# NumPy's arrays of run-time dtypes have no types worth checking strictly.
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lampas.engine.graph import primitives as p

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray
Arrays = list[np.ndarray]


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * x))


def _times(length: int, backwards: bool) -> range:
    return range(length - 1, -1, -1) if backwards else range(length)


def _recurrent(arrays: Arrays, cell: str, backwards: bool) -> Array:
    kind = arrays[0].dtype
    given, state, *cells, weight, bias = (array.astype(np.float64) for array in arrays)
    size = state.shape[-1]
    states, kept = np.zeros((len(given), *state.shape)), [state] * len(given)
    for time in _times(len(given), backwards):
        own = state @ weight.T + bias
        parts = [slice(n * size, (n + 1) * size) for n in range(len(bias) // size)]
        if cell == "lstm":
            enter, forget, candidate, leave = (own[:, q] + given[time][:, q] for q in parts)
            enter, forget, leave = _sigmoid(enter), _sigmoid(forget), _sigmoid(leave)
            candidate = np.tanh(candidate)
            cells[0] = forget * cells[0] + enter * candidate
            state = leave * np.tanh(cells[0])
            kept[time] = np.stack([cells[0], enter, forget, candidate, leave])
        else:
            reset, update = (_sigmoid(own[:, q] + given[time][:, q]) for q in parts[:2])
            remembered = own[:, parts[2]]
            candidate = np.tanh(given[time][:, parts[2]] + reset * remembered)
            state = candidate + update * (state - candidate)
            kept[time] = np.stack([reset, update, candidate, remembered])
        states[time] = state
    return np.concatenate([np.ravel(states), np.ravel(kept)]).astype(kind)


def _recurrent_backward(arrays: Arrays, cell: str, backwards: bool) -> Array:
    kind = arrays[0].dtype
    lstm = cell == "lstm"
    wide = [array.astype(np.float64) for array in arrays]
    to_cell = wide.pop() if lstm else None
    states, kept, state, *cells, weight, flow, last = wide
    times, batch, size = flow.shape
    kept = kept.reshape(times, -1, batch, size)
    outer = np.zeros((times, batch, weight.shape[0]))
    inner = np.zeros_like(outer)
    order = list(_times(times, backwards))
    for place in range(times - 1, -1, -1):
        time, earlier = order[place], order[place - 1] if place else None
        ct = flow[time] + last
        if lstm:
            after, enter, forget, candidate, leave = kept[time]
            old = cells[0] if earlier is None else kept[earlier][0]
            squashed = np.tanh(after)
            through = to_cell + ct * leave * (1 - squashed**2)
            parts = (
                through * candidate * enter * (1 - enter), through * old * forget * (1 - forget),
                through * enter * (1 - candidate**2), ct * squashed * leave * (1 - leave),
            )  # fmt: skip
            to_cell = through * forget
            outer[time] = inner[time] = np.concatenate(parts, 1)
            last = inner[time] @ weight
        else:
            reset, update, candidate, remembered = kept[time]
            old = state if earlier is None else states[earlier]
            to_update = ct * (old - candidate) * update * (1 - update)
            to_candidate = ct * (1 - update) * (1 - candidate**2)
            to_reset = to_candidate * remembered * reset * (1 - reset)
            outer[time] = np.concatenate((to_reset, to_update, to_candidate), 1)
            inner[time] = np.concatenate((to_reset, to_update, to_candidate * reset), 1)
            last = inner[time] @ weight + ct * update
    found: Arrays = (
        [outer, last, *([] if to_cell is None else [to_cell])] if lstm else [outer, inner, last]
    )
    return np.concatenate([np.ravel(part) for part in found]).astype(kind)


RECURRENT_RULES: dict[p.Primitive, Callable[..., Array]] = {
    p.RECURRENT: _recurrent,
    p.RECURRENT_BACKWARD: _recurrent_backward,
}
