"""Elementwise NumPy calls straight into the result's memory, in shares.

What loops do not know, complex numbers above all, comes here; nothing is computed into an array of its own first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from lampas.engine.host.shares import in_shares

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ENOUGH: Final = 32  # parts of a dimension, so that no thread waits long for the last one


def write_elements(
    function: Callable[..., object], out: np.ndarray, arrays: Sequence[np.ndarray]
) -> None:
    """Call function(*arrays, out=out) in shares along a dimension; `out` overlaps no operand.

    The first dimension is best, as its parts lie together, unless it is too short to be cut.
    """
    if out.size < 2:
        function(*arrays, out=out)
        return
    whole = [np.broadcast_to(array, out.shape) for array in arrays]
    cut = next((d for d, size in enumerate(out.shape) if size >= ENOUGH), 0)
    before = (slice(None),) * cut

    def work(start: int, stop: int) -> None:
        part = (*before, slice(start, stop))
        function(*(array[part] for array in whole), out=out[part])

    in_shares(work, out.shape[cut], out.size // out.shape[cut])


def pair(real: np.ndarray, imaginary: np.ndarray, out: np.ndarray) -> None:
    """Complex numbers from their parts."""
    out.real, out.imag = real, imaginary
