"""Tensors as text, in PyTorch's form to the last character.

All numbers of a tensor share one style: whole floats as "3.", others with ``precision`` digits,
and scientific notation where magnitudes span more than 1000, exceed 1e8 or fall below 1e-4. The
style and the column width follow from the finite nonzero numbers that are shown; the other ones
may be wider. A tensor of more than ``threshold`` elements shows ``edgeitems`` at both ends of each
long dimension.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lampas.engine.dtype import (
    bool_,
    complex64,
    complex128,
    dtype,
    float64,
    get_default_dtype,
    int64,
)

Array = NDArray[Any]
Render = Callable[[Any], str]


@dataclasses.dataclass
class PrintOptions:
    """How tensors print: digits, when and how to shorten, where lines end, scientific or not."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


options = PrintOptions()
_PROFILES = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors print; what is None stays, but ``sci_mode=None`` means automatic.

    ``profile`` ("default", "short" or "full") is applied first.
    """
    chosen: dict[str, Any] = dict(_PROFILES.get(profile or "", {}))
    given = dict(precision=precision, threshold=threshold, edgeitems=edgeitems, linewidth=linewidth)
    chosen.update({name: value for name, value in given.items() if value is not None})
    for name, value in chosen.items():
        setattr(options, name, value)
    options.sci_mode = sci_mode


def get_printoptions() -> dict[str, Any]:
    """The options as arguments for ``set_printoptions``."""
    return dataclasses.asdict(options)


@contextlib.contextmanager
def printoptions(**arguments: Any) -> Iterator[None]:
    """Set options inside a ``with`` block."""
    before = get_printoptions()
    set_printoptions(**arguments)
    try:
        yield
    finally:
        set_printoptions(**before)


def format_tensor(
    array: Array | None,
    *,
    dtype: dtype,
    shape: tuple[int, ...] | None = None,
    requires_grad: bool = False,
    grad_fn_name: str | None = None,
    device: str | None = None,
    prefix: str = "tensor(",
    default_dtype: dtype | None = None,
) -> str:
    """The text of a tensor with these values; ``array`` None (with a ``shape``) for a meta tensor.

    ``device`` is named where it is not None.

    >>> from lampas.engine.dtype import int64
    >>> format_tensor(np.array([[1, -2], [3, 4]]), dtype=int64)
    'tensor([[ 1, -2],\\n        [ 3,  4]])'
    """
    default = default_dtype or get_default_dtype()
    sizes = tuple(shape or ()) if array is None else array.shape
    notes = [f"device='{device}'"] if device else []
    if array is None:
        body, is_implied = "...", dtype is default
        notes.append(f"size={sizes}")
    elif array.size == 0:
        body, is_implied = "[]", dtype is default
        if len(sizes) != 1:
            notes.append(f"size={sizes}")
    else:
        body = _format_values(array, dtype, len(prefix))
        is_implied = dtype in (
            default,
            int64,
            bool_,
            complex128 if default is float64 else complex64,
        )
        if not options.edgeitems:
            notes.append(f"size={sizes}")
    if not is_implied:
        notes.append(f"dtype={dtype}")
    if grad_fn_name is not None:
        notes.append(f"grad_fn=<{grad_fn_name}>")
    elif requires_grad:
        notes.append("requires_grad=True")
    return _append_notes(prefix + body, notes, len(prefix))


def _append_notes(text: str, notes: list[str], indent: int) -> str:
    """Add the notes and the closing parenthesis, breaking lines before the width is exceeded."""
    column = len(text) - text.rfind("\n") + 1
    for note in notes:
        if column + len(note) + 2 > options.linewidth:
            text += ",\n" + " " * indent + note
            column = indent + len(note)
        else:
            text += ", " + note
            column += len(note) + 2
    return text + ")"


# Values ----------------------------------------------------------------------------------------


def _format_values(array: Array, kind: dtype, indent: int) -> str:
    is_short = array.size > options.threshold
    if is_short:
        array = array[np.ix_(*[_kept(size) for size in array.shape])]
    if kind.is_complex:
        array, style = array.astype(np.complex128), _complex_style
    elif kind.is_floating_point:
        array, style = array.astype(np.float64), _float_style
    else:
        style = _plain_style
    render, width = style((_without_dots(array) if is_short else array).ravel())
    return _nested(array, indent, render, width + 2, is_short)


def _kept(size: int) -> NDArray[np.int64]:
    """The places that a shortened dimension shows, and one more that becomes the dots."""
    edge = options.edgeitems
    if size <= 2 * edge:
        return np.arange(size)
    return np.concatenate([np.arange(edge + 1), np.arange(size - edge, size)])


def _without_dots(array: Array) -> Array:
    """What a shortened array shows: the choice of a style depends on nothing else."""
    edge = options.edgeitems
    for axis, size in enumerate(array.shape):
        if size == 2 * edge + 1:
            array = np.delete(array, edge, axis)
    return array


def _nested(array: Array, indent: int, render: Render, cell: int, is_short: bool) -> str:
    if array.ndim == 0:
        return render(array.item())
    edge = options.edgeitems
    has_dots = is_short and len(array) == 2 * edge + 1
    if array.ndim == 1:
        items = [render(value) for value in array.tolist()]
        if has_dots:
            items[edge] = " ..." if edge else "..."
        return _lines(items, indent, cell)
    parts = [
        "..." if has_dots and place == edge else _nested(part, indent + 1, render, cell, is_short)
        for place, part in enumerate(array)
    ]
    gap = "," + "\n" * (array.ndim - 1) + " " * (indent + 1)
    return f"[{gap.join(parts)}]"


def _lines(items: list[str], indent: int, cell: int) -> str:
    count = max(1, (options.linewidth - indent) // cell)
    lines = [", ".join(items[start : start + count]) for start in range(0, len(items), count)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


# Styles: how one number is written, and how wide the column is ----------------------------------


def _plain_style(shown: Array) -> tuple[Render, int]:
    width = max((len(str(value)) for value in shown.tolist()), default=1)
    return lambda value: str(value).rjust(width), width


def _float_style(shown: Array) -> tuple[Render, int]:
    numbers = shown[np.isfinite(shown) & (shown != 0)]
    is_whole = bool(np.all(numbers == np.ceil(numbers)))
    precision = options.precision
    if len(numbers) and _is_scientific(np.abs(numbers)):
        form, is_whole = f".{precision}e", False
    else:
        form = ".0f" if is_whole else f".{precision}f"
    dot = "." if is_whole else ""
    width = max((len(format(value, form)) for value in numbers.tolist()), default=0)
    width = max(1, width + len(dot)) if len(numbers) else 1

    def render(value: float) -> str:
        return (format(value, form) + (dot if math.isfinite(value) else "")).rjust(width)

    return render, width


def _is_scientific(magnitudes: Array) -> bool:
    if options.sci_mode is not None:
        return options.sci_mode
    least, most = float(magnitudes.min()), float(magnitudes.max())
    return most / least > 1000.0 or most > 1e8 or least < 1e-4


def _complex_style(shown: Array) -> tuple[Render, int]:
    real, real_width = _float_style(np.real(shown))
    imaginary, imaginary_width = _float_style(np.imag(shown))

    def render(value: complex) -> str:
        second = imaginary(value.imag).lstrip() + "j"
        sign = "" if second[0] in "+-" else "+"
        return real(value.real) + sign + second

    return render, real_width + imaginary_width + 1
