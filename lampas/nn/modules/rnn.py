"""Recurrent layers over sequences, padded or packed.

The input is projected for all time steps by one product; what runs step by step is the state's
part. A packed sequence is run with the shrinking batch sizes that it records.
"""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from lampas.engine.tensor import Tensor, cat, empty, stack, zeros
from lampas.engine.tensor.neural_sequences import recurrence
from lampas.nn import functional as F
from lampas.nn import init
from lampas.nn.modules.module import Module
from lampas.nn.modules.rnn_cells import (
    GRUCell,
    LSTMCell,
    RNNCell,
    RNNCellBase,
    gru_step,
    lstm_step,
    rnn_step,
)
from lampas.nn.parameter import Parameter
from lampas.nn.utils.rnn import PackedSequence

__all__ = ["GRU", "GRUCell", "LSTM", "LSTMCell", "RNN", "RNNBase", "RNNCell", "RNNCellBase"]

GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}
State = tuple[Tensor, ...]
Step = Callable[[Tensor, State], State]


class RNNBase(Module):
    """Weights and loops of RNN, LSTM and GRU."""

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout) if isinstance(dropout, numbers.Number) else dropout
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        self._check_sizes(dropout)
        if mode not in GATES:
            raise ValueError("Unrecognized RNN mode: " + mode)
        self._flat_weights_names: list[str] = []
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            for direction in range(2 if bidirectional else 1):
                self._add_layer(layer, direction, {"device": device, "dtype": dtype})
        self.reset_parameters()

    def _check_sizes(self, dropout: Any) -> None:
        number = isinstance(dropout, numbers.Real) and not isinstance(dropout, bool)
        if not number or not 0 <= float(dropout) <= 1:
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an "
                "element being zeroed"
            )
        if dropout > 0 and self.num_layers == 1:  # type: ignore[operator]
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero "
                f"dropout expects num_layers greater than 1, but got dropout={dropout} and "
                f"num_layers={self.num_layers}",
                stacklevel=4,
            )
        if not isinstance(self.hidden_size, int):
            raise TypeError(
                f"hidden_size should be of type int, got: {type(self.hidden_size).__name__}"
            )
        if self.hidden_size <= 0:
            raise ValueError("hidden_size must be greater than zero")
        if self.num_layers <= 0:
            raise ValueError("num_layers must be greater than zero")
        if self.proj_size < 0:
            raise ValueError(
                "proj_size should be a positive integer or zero to disable projections"
            )
        if self.proj_size >= self.hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")

    def _add_layer(self, layer: int, direction: int, options: dict[str, Any]) -> None:
        rows = GATES[self.mode] * self.hidden_size
        output = self.proj_size or self.hidden_size
        width = self.input_size if layer == 0 else output * (2 if self.bidirectional else 1)
        suffix = f"_l{layer}" + ("_reverse" if direction else "")
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, width),
            "weight_hh": (rows, output),
        }
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        names = []
        for name, shape in shapes.items():
            setattr(self, name + suffix, Parameter(empty(shape, **options)))
            names.append(name + suffix)
        self._flat_weights_names.extend(names)
        self._all_weights.append(names)

    def reset_parameters(self) -> None:
        """Draw everything uniform in ±1/√hidden_size."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def flatten_parameters(self) -> None:
        """Accepted for programs that call it; the weights need no special layout."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of every layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    @property
    def _flat_weights(self) -> list[Parameter]:
        return [getattr(self, name) for name in self._flat_weights_names]

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        if self.proj_size:
            parts.append(f"proj_size={self.proj_size}")
        if self.num_layers != 1:
            parts.append(f"num_layers={self.num_layers}")
        if self.bias is not True:
            parts.append(f"bias={self.bias}")
        if self.batch_first is not False:
            parts.append(f"batch_first={self.batch_first}")
        if self.dropout:
            parts.append(f"dropout={self.dropout}")
        if self.bidirectional is not False:
            parts.append(f"bidirectional={self.bidirectional}")
        return ", ".join(parts)

    # Checks

    def check_input(self, input: Tensor, batch_sizes: Tensor | None) -> None:
        """RuntimeError or ValueError where the input's rank or width does not fit."""
        ranks = (2,) if batch_sizes is not None else (2, 3)
        if input.dim() not in ranks:
            if batch_sizes is None:
                raise ValueError(
                    f"{self._get_name()}: Expected input to be 2D or 3D, got {input.dim()}D instead"
                )
            raise RuntimeError(f"input must have 2 dimensions, got {input.dim()}")
        if input.size(-1) != self.input_size:
            raise RuntimeError(
                "input.size(-1) must be equal to input_size. Expected "
                f"{self.input_size}, got {input.size(-1)}"
            )

    def _check_state(self, name: str, state: Tensor, width: int, batch: int) -> None:
        rows = self.num_layers * (2 if self.bidirectional else 1)
        expected = (rows, batch, width)
        if tuple(state.shape) != expected:
            raise RuntimeError(f"Expected {name} size {expected}, got {list(state.shape)}")

    # The loops

    def _step(self, weights: Sequence[Tensor]) -> Step:
        """One time step with the weights of a layer and direction."""
        weight = weights[1]
        bias = weights[3] if self.bias else None
        if self.mode == "LSTM":
            projection = weights[-1] if self.proj_size else None
            return lambda x, state: lstm_step(x, (state[0], state[1]), weight, bias, projection)
        if self.mode == "GRU":
            return lambda x, state: (gru_step(x, state[0], weight, bias),)
        relu = self.mode == "RNN_RELU"
        return lambda x, state: (rnn_step(x, state[0], weight, bias, relu),)

    def _run_layers(
        self, input: Any, state: State, run: Callable[..., tuple[Any, State]]
    ) -> tuple[Any, State]:
        finals: list[State] = []
        weights = self.all_weights
        directions = 2 if self.bidirectional else 1
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(directions):
                place = layer * directions + direction
                start = tuple(part[place] for part in state)
                output, final = run(input, start, weights[place], bool(direction))
                outputs.append(output)
                finals.append(final)
            input = outputs[0] if directions == 1 else cat(outputs, -1)
            if self.dropout and self.training and layer < self.num_layers - 1:
                input = F.dropout(input, self.dropout, True)
        ends = tuple(stack([final[i] for final in finals]) for i in range(len(state)))
        return input, ends

    def _run_padded(
        self, input: Tensor, state: State, weights: Sequence[Tensor], backwards: bool
    ) -> tuple[Tensor, State]:
        """(T, N, in) through one layer in one direction."""
        projected = F.linear(input, weights[0], weights[2] if self.bias else None)
        if not self.proj_size and projected.size(0):
            bias = weights[3] if self.bias else None
            return recurrence(self.mode, projected, state, weights[1], bias, backwards)
        step = self._step(weights)
        outputs = []
        times = reversed(range(input.size(0))) if backwards else range(input.size(0))
        slices = projected.unbind(0)
        for time in times:
            state = step(slices[time], state)
            outputs.append(state[0])
        if backwards:
            outputs.reverse()
        return stack(outputs), state

    def _run_packed(
        self, sizes: list[int]
    ) -> Callable[[Tensor, State, Sequence[Tensor], bool], tuple[Tensor, State]]:
        def run(
            input: Tensor, state: State, weights: Sequence[Tensor], backwards: bool
        ) -> tuple[Tensor, State]:
            projected = F.linear(input, weights[0], weights[2] if self.bias else None)
            pieces = projected.split(sizes, 0)
            step = self._step(weights)
            if backwards:
                return _packed_backwards(pieces, sizes, state, step)
            return _packed_forwards(pieces, sizes, state, step)

        return run

    def _start(self, batch: int, like: Tensor) -> State:
        rows = self.num_layers * (2 if self.bidirectional else 1)
        widths = [self.proj_size or self.hidden_size]
        if self.mode == "LSTM":
            widths.append(self.hidden_size)
        return tuple(
            zeros(rows, batch, width, dtype=like.dtype, device=like.device) for width in widths
        )

    def _forward(self, input: Any, state: State | None) -> tuple[Any, State]:
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, state)
        self.check_input(input, None)
        single = input.dim() == 2
        if single:
            input = input.unsqueeze(1)
            state = None if state is None else tuple(part.unsqueeze(1) for part in state)
        elif self.batch_first:
            input = input.transpose(0, 1)
        batch = input.size(1)
        if state is None:
            state = self._start(batch, input)
        self._check_states(state, batch)
        output, final = self._run_layers(input, state, self._run_padded)
        if single:
            return output.squeeze(1), tuple(part.squeeze(1) for part in final)
        return (output.transpose(0, 1) if self.batch_first else output), final

    def _forward_packed(
        self, input: PackedSequence, state: State | None
    ) -> tuple[PackedSequence, State]:
        data, batch_sizes, order, back = input
        self.check_input(data, batch_sizes)
        sizes = [int(size) for size in batch_sizes.tolist()]
        if state is None:
            state = self._start(sizes[0], data)
        elif order is not None:
            state = tuple(part.index_select(1, order) for part in state)
        self._check_states(state, sizes[0])
        output, final = self._run_layers(data, state, self._run_packed(sizes))
        if back is not None:
            final = tuple(part.index_select(1, back) for part in final)
        return PackedSequence(output, batch_sizes, order, back), final

    def _check_states(self, state: State, batch: int) -> None:
        widths = [self.proj_size or self.hidden_size, self.hidden_size]
        names = ["hidden[0]", "hidden[1]"] if self.mode == "LSTM" else ["hidden"]
        for name, part, width in zip(names, state, widths):
            self._check_state(name, part, width, batch)


def _packed_forwards(
    pieces: Sequence[Tensor], sizes: list[int], state: State, step: Step
) -> tuple[Tensor, State]:
    """The batch shrinks: states of sequences that have ended are kept aside."""
    outputs = []
    ended: list[State] = []
    for piece, size in zip(pieces, sizes):
        if size < state[0].size(0):
            ended.append(tuple(part[size:] for part in state))
            state = tuple(part[:size] for part in state)
        state = step(piece, state)
        outputs.append(state[0])
    ended.append(state)
    ended.reverse()
    finals = tuple(cat([part[i] for part in ended]) for i in range(len(state)))
    return cat(outputs), finals


def _packed_backwards(
    pieces: Sequence[Tensor], sizes: list[int], start: State, step: Step
) -> tuple[Tensor, State]:
    """The batch grows: a sequence joins when time has come back to its end."""
    outputs = []
    state = tuple(part[: sizes[-1]] for part in start)
    for piece, size in zip(reversed(pieces), reversed(sizes)):
        have = state[0].size(0)
        if size > have:
            state = tuple(cat([part, new[have:size]]) for part, new in zip(state, start))
        state = step(piece, state)
        outputs.append(state[0])
    outputs.reverse()
    return cat(outputs), state


class _SingleState(RNNBase):
    """Layers whose state is one tensor."""

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        if hx is not None and not isinstance(input, PackedSequence) and hx.dim() != input.dim():
            kind = "batched 3-D" if input.dim() == 3 else "unbatched 2-D"
            raise RuntimeError(
                f"For {kind} input, hx should also be {input.dim()}-D but got {hx.dim()}-D tensor"
            )
        output, final = self._forward(input, None if hx is None else (hx,))
        return output, final[0]


class RNN(_SingleState):
    """Elman's network: h' = tanh(W·x + b + U·h + c), or relu.

    input (T, N, in) (or (N, T, in) with `batch_first`, or a `PackedSequence`) and state
    (layers·directions, N, hidden) -> (outputs, last state).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        modes = {"tanh": "RNN_TANH", "relu": "RNN_RELU"}
        if nonlinearity not in modes:
            raise ValueError(
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        super().__init__(
            modes[nonlinearity], input_size, hidden_size, num_layers, bias, batch_first, dropout,
            bidirectional, 0, device, dtype,
        )  # fmt: skip
        self.nonlinearity = nonlinearity


class GRU(_SingleState):
    """Gated recurrent units; shapes as in `RNN`."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            "GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout,
            bidirectional, 0, device, dtype,
        )  # fmt: skip


def _check_pair(input: Tensor, state: tuple[Tensor, Tensor]) -> None:
    ranks = [part.dim() for part in state]
    if ranks != [input.dim()] * 2:
        kind = "batched 3-D" if input.dim() == 3 else "unbatched 2-D"
        raise RuntimeError(
            f"For {kind} input, hx and cx should also be {input.dim()}-D but got "
            f"({ranks[0]}-D, {ranks[1]}-D) tensors"
        )


class LSTM(RNNBase):
    """Long short-term memory; the state is a pair (h, c). `proj_size` projects h."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            "LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            proj_size, device, dtype,
        )  # fmt: skip

    def forward(
        self, input: Any, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Any, tuple[Tensor, Tensor]]:
        if hx is not None and not isinstance(input, PackedSequence):
            _check_pair(input, hx)
        output, final = self._forward(input, hx)
        return output, (final[0], final[1])
