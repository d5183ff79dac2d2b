"""Stochastic depth (arXiv:1603.09382): drops whole samples, or the whole batch, of a branch."""

import lampas
from lampas import Tensor, nn

MODES = ("batch", "row")


def stochastic_depth(input: Tensor, p: float, mode: str, training: bool = True) -> Tensor:
    """Zero each row ("row") or all of the input ("batch") with probability `p`.

    What is kept is divided by 1 − p. Raises ValueError for a bad `p` or `mode`.

    >>> stochastic_depth(lampas.ones(2, 3), 0.5, "row", training=False).sum().item()
    6.0
    """
    if p < 0.0 or p > 1.0:
        raise ValueError(f"drop probability has to be between 0 and 1, but got {p}")
    if mode not in MODES:
        raise ValueError(f"mode has to be either 'batch' or 'row', but got {mode}")
    if not training or p == 0.0:
        return input
    rows = input.shape[0] if mode == "row" else 1
    noise = lampas.empty((rows, *(1,) * (input.dim() - 1)), dtype=input.dtype, device=input.device)
    noise = noise.bernoulli_(1.0 - p)
    if p < 1.0:
        noise.div_(1.0 - p)
    return input * noise


class StochasticDepth(nn.Module):
    """See `stochastic_depth`; does nothing in evaluation."""

    def __init__(self, p: float, mode: str) -> None:
        super().__init__()
        self.p = p
        self.mode = mode

    def forward(self, input: Tensor) -> Tensor:
        return stochastic_depth(input, self.p, self.mode, self.training)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p}, mode={self.mode})"
