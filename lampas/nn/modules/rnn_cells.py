"""Recurrent cells: one step each."""

from __future__ import annotations

import math
from typing import Any

from lampas.engine.tensor import Tensor, empty, zeros
from lampas.engine.tensor import neural_recurrent as steps
from lampas.nn import functional as F
from lampas.nn import init
from lampas.nn.modules.module import Module
from lampas.nn.parameter import Parameter

__all__ = ["GRUCell", "LSTMCell", "RNNCell", "RNNCellBase", "gru_step", "lstm_step", "rnn_step"]


def rnn_step(
    projected: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor | None, relu: bool
) -> Tensor:
    """tanh or relu of the projected input plus the projected state."""
    if hidden.dim() == 1:
        rows = steps.rnn_step(projected.unsqueeze(0), hidden.unsqueeze(0), weight, bias, relu)
        return rows.squeeze(0)
    return steps.rnn_step(projected, hidden, weight, bias, relu)


def lstm_step(
    projected: Tensor,
    state: tuple[Tensor, Tensor],
    weight: Tensor,
    bias: Tensor | None,
    projection: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Gates in the order input, forget, cell, output (Hochreiter & Schmidhuber, 1997)."""
    hidden, cell = state
    if hidden.dim() == 1:
        rows = (hidden.unsqueeze(0), cell.unsqueeze(0))
        made = lstm_step(projected.unsqueeze(0), rows, weight, bias, projection)
        return made[0].squeeze(0), made[1].squeeze(0)
    hidden, cell = steps.lstm_step(projected, hidden, cell, weight, bias)
    return (hidden if projection is None else F.linear(hidden, projection)), cell


def gru_step(projected: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Gates in the order reset, update, new (Cho et al., 2014)."""
    if hidden.dim() == 1:
        return steps.gru_step(projected.unsqueeze(0), hidden.unsqueeze(0), weight, bias).squeeze(0)
    return steps.gru_step(projected, hidden, weight, bias)


class RNNCellBase(Module):
    """Weights of a cell with `num_chunks` gates."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        options = {"device": device, "dtype": dtype}
        self.weight_ih = Parameter(empty(rows, input_size, **options))
        self.weight_hh = Parameter(empty(rows, hidden_size, **options))
        if bias:
            self.bias_ih = Parameter(empty(rows, **options))
            self.bias_hh = Parameter(empty(rows, **options))
        else:
            self.register_parameter("bias_ih", None)
            self.register_parameter("bias_hh", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw everything uniform in ±1/√hidden_size."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        nonlinearity = self.__dict__.get("nonlinearity", "tanh")
        if nonlinearity != "tanh":
            text += f", nonlinearity={nonlinearity}"
        return text

    def _check(self, input: Tensor, hidden: Tensor | None) -> None:
        name = type(self).__name__
        if input.dim() not in (1, 2):
            raise ValueError(f"{name}: Expected input to be 1D or 2D, got {input.dim()}D instead")
        if hidden is not None and hidden.dim() not in (1, 2):
            raise ValueError(f"{name}: Expected hidden to be 1D or 2D, got {hidden.dim()}D instead")
        if input.size(-1) != self.input_size:
            raise RuntimeError(
                f"input has inconsistent input_size: got {input.size(-1)} expected "
                f"{self.input_size}"
            )
        if hidden is not None and hidden.size(-1) != self.hidden_size:
            raise RuntimeError(
                f"hidden has inconsistent hidden_size: got {hidden.size(-1)}, expected "
                f"{self.hidden_size}"
            )
        batched = hidden is not None and input.dim() == hidden.dim() == 2
        if hidden is not None and batched and input.size(0) != hidden.size(0):
            raise RuntimeError(
                f"Input batch size {input.size(0)} doesn't match hidden batch size {hidden.size(0)}"
            )

    def _start(self, input: Tensor) -> Tensor:
        return zeros(*input.shape[:-1], self.hidden_size, dtype=input.dtype, device=input.device)

    def _project(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight_ih, self.bias_ih)


class RNNCell(RNNCellBase):
    """h' = tanh(W·x + b + U·h + c), or relu: input ([N,] in), state ([N,] hidden)."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        self._check(input, hx)
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        hidden = self._start(input) if hx is None else hx
        relu = self.nonlinearity == "relu"
        return rnn_step(self._project(input), hidden, self.weight_hh, self.bias_hh, relu)


class LSTMCell(RNNCellBase):
    """One step of a long short-term memory: gives (h', c')."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        for state in hx or ():
            self._check(input, state)
        if hx is None:
            self._check(input, None)
            hx = (self._start(input), self._start(input))
        return lstm_step(self._project(input), hx, self.weight_hh, self.bias_hh)


class GRUCell(RNNCellBase):
    """One step of a gated recurrent unit: gives h'."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        self._check(input, hx)
        hidden = self._start(input) if hx is None else hx
        return gru_step(self._project(input), hidden, self.weight_hh, self.bias_hh)
