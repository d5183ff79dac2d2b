"""``finfo`` and ``iinfo``: the limits of the number types."""

from typing import Any, Final, final

from lampas.engine.dtype import (
    bfloat16,
    bool_,
    dtype,
    float16,
    float32,
    float64,
    get_default_dtype,
)

# (bits of the significand, exponent of the largest value, exponent of the smallest normal one,
# decimal digits that survive)
_FORMATS: Final = {
    float16: (11, 15, -14, 3),
    bfloat16: (8, 127, -126, 2),
    float32: (24, 127, -126, 6),
    float64: (53, 1023, -1022, 15),
}


class _Limits:
    """What ``finfo`` and ``iinfo`` share: they compare and print by their type."""

    __slots__ = ("_dtype",)
    _dtype: dtype

    @property
    def dtype(self) -> str:
        return self._dtype.name

    @property
    def bits(self) -> int:
        return self._dtype.itemsize * 8

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._dtype is self._dtype

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._dtype))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._dtype,)


@final
class finfo(_Limits):
    """The limits of a floating-point type (of its parts, for a complex type).

    Fields: ``bits``, ``eps``, ``max``, ``min``, ``tiny`` = ``smallest_normal``, ``resolution``,
    ``dtype`` (a name). Raises TypeError for integers.
    """

    __slots__ = ("eps", "max", "min", "resolution", "smallest_normal")

    def __init__(self, type: dtype | None = None) -> None:
        given = get_default_dtype() if type is None else type
        if not isinstance(given, dtype):
            raise TypeError(f"finfo(): argument 'type' must be torch.dtype, not {given!r}")
        if given.to_real() not in _FORMATS:
            raise TypeError(
                "torch.finfo() requires a floating point input type. "
                f"Use torch.iinfo to handle {given!r}"
            )
        self._dtype = given.to_real()
        significand, largest, smallest, digits = _FORMATS[self._dtype]
        self.eps: float = 2.0 ** (1 - significand)
        self.max: float = (2.0 - self.eps) * 2.0**largest
        self.min: float = -self.max
        self.smallest_normal: float = 2.0**smallest
        self.resolution: float = float(f"1e-{digits}")

    @property
    def tiny(self) -> float:
        return self.smallest_normal

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, "
            f"eps={self.eps:g}, smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, "
            f"dtype={self.dtype})"
        )


@final
class iinfo(_Limits):
    """The limits of an integer type: ``bits``, ``min``, ``max``, ``dtype`` (a name)."""

    __slots__ = ("max", "min")

    def __init__(self, type: dtype) -> None:
        if not isinstance(type, dtype):
            raise TypeError(f"iinfo(): argument 'type' must be torch.dtype, not {type!r}")
        if type is bool_:
            raise TypeError("torch.bool is not supported by torch.iinfo")
        if type.kind not in ("signed", "unsigned"):
            raise TypeError(
                f"torch.iinfo() requires an integer input type. Use torch.finfo to handle {type!r}"
            )
        self._dtype = type
        value_bits = self.bits - type.is_signed
        self.max: int = 2**value_bits - 1
        self.min: int = -(2**value_bits) if type.is_signed else 0

    def __repr__(self) -> str:
        shown = f"min={float(self.min):g}, max={float(self.max):g}"
        return f"iinfo({shown}, dtype={self.dtype})"
