"""The ways to read an image between its pixels."""

from enum import Enum
from typing import Any


class InterpolationMode(Enum):
    """How resizing and warping weigh neighbouring pixels. BOX, HAMMING and LANCZOS: PIL only."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


# The same in Pillow's numbers (PIL.Image.Resampling).
PIL_NUMBERS = {
    InterpolationMode.NEAREST: 0,
    InterpolationMode.NEAREST_EXACT: 0,
    InterpolationMode.LANCZOS: 1,
    InterpolationMode.BILINEAR: 2,
    InterpolationMode.BICUBIC: 3,
    InterpolationMode.BOX: 4,
    InterpolationMode.HAMMING: 5,
}
OF_NUMBER = {number: mode for mode, number in reversed(PIL_NUMBERS.items())}


def as_mode(value: Any) -> InterpolationMode:
    """The mode that `value` is, or has as Pillow's number.

    Raises TypeError for anything else.

    >>> as_mode(2)
    <InterpolationMode.BILINEAR: 'bilinear'>
    """
    if isinstance(value, InterpolationMode):
        return value
    if isinstance(value, int) and int(value) in OF_NUMBER:
        return OF_NUMBER[int(value)]
    raise TypeError(
        "Argument interpolation should be a InterpolationMode or a corresponding Pillow integer "
        f"constant, but got {value!r}"
    )
