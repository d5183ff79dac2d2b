"""Padding: constants at the edges, or values of the tensor itself."""

from __future__ import annotations

from collections.abc import Sequence

from lampas.engine.tensor import Tensor, constant_pad_nd
from lampas.engine.tensor.autocast import in_full_precision
from lampas.engine.tensor.padding import PLACES, pad_from_itself

__all__ = ["pad"]


def pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """Pad the last len(pad)/2 dimensions: `pad` = (before, after) of the last one first.

    Modes: "constant" (any dimensions, negative amounts cut), "reflect", "replicate", "circular"
    (1 to 3 spatial dimensions). Raises RuntimeError for an odd `pad` or one that does not fit,
    NotImplementedError for a mode with a rank it does not support.
    """
    amounts = [int(amount) for amount in pad]
    if len(amounts) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(amounts) > 2 * input.dim():
        raise RuntimeError(
            f"Padding length should be less than or equal to two times the input dimension but "
            f"got padding length {len(amounts)} and input of dimension {input.dim()}"
        )
    if mode == "constant":
        return constant_pad_nd(input, amounts, 0 if value is None else value)
    if value is not None and value != 0:
        raise ValueError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if mode not in PLACES:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    input = in_full_precision(input)
    spatial = len(amounts) // 2
    if spatial not in (1, 2, 3) or input.dim() not in (spatial + 1, spatial + 2):
        raise NotImplementedError(
            "Only 2D, 3D, 4D, 5D padding with non-constant padding are supported"
        )
    _check_sizes(input, amounts, mode, spatial)
    last = input.dim() - 1
    pairs = [(last - place, amounts[2 * place], amounts[2 * place + 1]) for place in range(spatial)]
    given = tuple(pair for pair in pairs if pair[1] or pair[2])
    return pad_from_itself(input, mode, spatial, given) if given else input


def _check_sizes(input: Tensor, amounts: list[int], mode: str, spatial: int) -> None:
    for place in range(spatial):
        size = input.size(-1 - place)
        before, after = amounts[2 * place], amounts[2 * place + 1]
        dim = input.dim() - 1 - place
        if mode == "reflect" and (before >= size or after >= size):
            raise RuntimeError(
                "Argument #4: Padding size should be less than the corresponding input "
                f"dimension, but got: padding ({before}, {after}) at dimension {dim} of input "
                f"{list(input.shape)}"
            )
        if mode == "circular" and (before > size or after > size):
            raise RuntimeError("Padding value causes wrapping around more than once.")
        if mode == "circular" and size + min(before, 0) + min(after, 0) <= 0:
            raise RuntimeError("Negative padding value is resulting in an empty dimension")
        if mode != "circular" and size + before + after < 1:
            raise RuntimeError(
                f"input (size: {size}) is too small for the padding ({before}, {after}) at "
                f"dimension {dim} of input {list(input.shape)}"
            )
        if mode == "replicate" and size == 0:
            raise RuntimeError(
                "Expected a tensor with possible zero batch size and non-zero spatial "
                f"dimensions, but got: {list(input.shape)}"
            )
