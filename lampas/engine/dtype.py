"""Element types, and the rules by which they combine.

A ``dtype`` is one of a fixed set of instances, compared by identity. The lattice of ``promote_types`` and the
three categories of ``result_dtype`` (tensors with dimensions before 0-d tensors before Python
numbers) follow PyTorch's documented type promotion ("tensor attributes" in its manual).

Invariant: importing this file does not import ml_dtypes; ``bfloat16.numpy`` does, when first read.
"""

import builtins
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, NoReturn, final

import numpy as np

Operand = tuple["dtype", builtins.bool, builtins.bool]


@final
class dtype:
    """The type of a tensor's elements.

    Attributes: ``name``, ``itemsize`` (bytes), ``kind`` ("bool", "unsigned", "signed", "float" or
    "complex"), ``numpy`` (the ``numpy.dtype``), ``is_floating_point``, ``is_complex``,
    ``is_signed``, ``abbr`` and ``title`` (the name in messages, such as "Float").
    """

    __slots__ = (
        "abbr",
        "is_complex",
        "is_floating_point",
        "is_signed",
        "itemsize",
        "kind",
        "name",
        "numpy",
        "title",
    )
    name: str
    itemsize: builtins.int
    kind: str
    numpy: np.dtype[Any]
    is_floating_point: builtins.bool
    is_complex: builtins.bool
    is_signed: builtins.bool
    abbr: str
    title: str

    def __new__(cls, *arguments: object, **options: object) -> NoReturn:
        raise TypeError("cannot create 'torch.dtype' instances")

    def __init_subclass__(cls, **options: object) -> NoReturn:
        raise TypeError("type 'torch.dtype' is not an acceptable base type")

    def __getattr__(self, attribute: str) -> Any:
        if attribute != "numpy":
            raise AttributeError(f"'torch.dtype' object has no attribute '{attribute}'")
        if self.name != "bfloat16":
            raise NotImplementedError(
                f"{self!r} has no NumPy counterpart: arrays of it do not exist"
            )
        import ml_dtypes

        self.numpy = np.dtype(ml_dtypes.bfloat16)
        return self.numpy

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return "bool_" if self.name == "bool" else self.name

    def __copy__(self) -> "dtype":
        return self

    def __deepcopy__(self, memo: dict[builtins.int, Any]) -> "dtype":
        return self

    def to_real(self) -> "dtype":
        """The type of the real part: float32 for complex64, any real type for itself."""
        return _REAL_PARTS.get(self, self)

    def to_complex(self) -> "dtype":
        """The complex type whose parts are of this floating-point type."""
        if self.is_complex:
            return self
        if self not in _COMPLEX_FORMS:
            raise RuntimeError(f"Unknown Complex ScalarType for {self.title}")
        return _COMPLEX_FORMS[self]


def _define(name: str, kind: str, itemsize: builtins.int, abbr: str, title: str) -> dtype:
    made = object.__new__(dtype)
    made.name = name
    made.kind = kind
    made.itemsize = itemsize
    made.abbr = abbr
    made.title = title
    made.is_floating_point = kind == "float"
    made.is_complex = kind == "complex"
    made.is_signed = kind in ("signed", "float", "complex")
    if name not in ("bfloat16", "complex32"):
        made.numpy = np.dtype(name)
    return made


bool_: Final = _define("bool", "bool", 1, "b8", "Bool")
uint8: Final = _define("uint8", "unsigned", 1, "u8", "Byte")
uint16: Final = _define("uint16", "unsigned", 2, "u16", "UInt16")
uint32: Final = _define("uint32", "unsigned", 4, "u32", "UInt32")
uint64: Final = _define("uint64", "unsigned", 8, "u64", "UInt64")
int8: Final = _define("int8", "signed", 1, "i8", "Char")
int16: Final = _define("int16", "signed", 2, "i16", "Short")
int32: Final = _define("int32", "signed", 4, "i32", "Int")
int64: Final = _define("int64", "signed", 8, "i64", "Long")
float16: Final = _define("float16", "float", 2, "f16", "Half")
bfloat16: Final = _define("bfloat16", "float", 2, "bf16", "BFloat16")
float32: Final = _define("float32", "float", 4, "f32", "Float")
float64: Final = _define("float64", "float", 8, "f64", "Double")
complex32: Final = _define("complex32", "complex", 4, "c32", "ComplexHalf")
complex64: Final = _define("complex64", "complex", 8, "c64", "ComplexFloat")
complex128: Final = _define("complex128", "complex", 16, "c128", "ComplexDouble")

DTYPES: Final = {
    each.name: each
    for each in (
        *(bool_, uint8, uint16, uint32, uint64, int8, int16, int32, int64),
        *(float16, bfloat16, float32, float64, complex32, complex64, complex128),
    )
}
ALIASES: Final = {
    "double": float64,
    "float": float32,
    "half": float16,
    "long": int64,
    "int": int32,
    "short": int16,
    "chalf": complex32,
    "cfloat": complex64,
    "cdouble": complex128,
}

_COMPLEX_FORMS: Final = {
    float16: complex32,
    bfloat16: complex64,
    float32: complex64,
    float64: complex128,
}
_REAL_PARTS: Final = {complex32: float16, complex64: float32, complex128: float64}
_LATE_UNSIGNED: Final = (uint16, uint32, uint64)


# Promotion of two types ------------------------------------------------------------------------


_KIND_RANK: Final = {"bool": 0, "unsigned": 1, "signed": 1, "float": 2, "complex": 3}


def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest type that both convert to, as PyTorch's lattice has it.

    Raises RuntimeError for pairs with uint16, uint32 or uint64 (other than with itself or with a
    floating-point type).

    >>> promote_types(int32, float16)
    torch.float16
    """
    try:
        return _PROMOTIONS[type1, type2]
    except KeyError:
        pass
    for argument in (type1, type2):
        if not isinstance(argument, dtype):
            raise TypeError(f"promote_types(): expected torch.dtype, not {type(argument).__name__}")
    raise RuntimeError(
        "Promotion for uint16, uint32, uint64 types is not supported, attempted to promote "
        f"{type1.title} and {type2.title}"
    )


def _promote_distinct(first: dtype, second: dtype) -> dtype | None:
    low, high = sorted((first, second), key=lambda each: (_KIND_RANK[each.kind], each.itemsize))
    if low in _LATE_UNSIGNED or high in _LATE_UNSIGNED:
        return high if high.is_floating_point else None
    if high.is_complex:
        return _promote_with_complex(low, high)
    if {low, high} == {float16, bfloat16}:
        return float32
    if {low, high} == {uint8, int8}:
        return int16
    return high


def _promote_with_complex(low: dtype, high: dtype) -> dtype:
    if low.is_complex or low.kind not in ("float",):
        return high
    needed = complex64 if low is bfloat16 else _COMPLEX_FORMS[low]
    return needed if needed.itemsize > high.itemsize else high


def _tabulate_promotions() -> dict[tuple[dtype, dtype], dtype]:
    table = {(each, each): each for each in DTYPES.values()}
    for first in DTYPES.values():
        for second in DTYPES.values():
            found = first if first is second else _promote_distinct(first, second)
            if found is not None:
                table[first, second] = found
    return table


_PROMOTIONS: Final = _tabulate_promotions()


def can_cast(from_: dtype, to: dtype) -> builtins.bool:
    """Whether a result of type ``from_`` may be stored into a tensor of type ``to``.

    Forbidden are complex into real, floating point into integers, and anything else into bool.
    """
    if from_.is_complex and not to.is_complex:
        return False
    if from_.is_floating_point and not (to.is_floating_point or to.is_complex):
        return False
    return to is not bool_ or from_ is bool_


# The default type ------------------------------------------------------------------------------


class _Default:
    """Holds the type that Python's floats take."""

    __slots__ = ("current",)

    def __init__(self) -> None:
        self.current: dtype = float32


DEFAULT: Final = _Default()


def get_default_dtype() -> dtype:
    """The floating-point type of new tensors made from Python floats."""
    return DEFAULT.current


def set_default_dtype(d: dtype, /) -> None:
    """Make ``d`` the type of new tensors made from Python floats; TypeError unless floating."""
    if not isinstance(d, dtype):
        raise TypeError(
            "invalid dtype object: only floating-point types are supported as the default type"
        )
    if not d.is_floating_point:
        raise TypeError("only floating-point types are supported as the default type")
    DEFAULT.current = d


# Promotion of operands -------------------------------------------------------------------------


def infer_python_dtype(value: object) -> dtype:
    """The type that a Python (or NumPy) number takes as a tensor; TypeError for anything else."""
    if isinstance(value, builtins.bool):
        return bool_
    if isinstance(value, np.generic):
        return from_numpy_dtype(value.dtype)
    if isinstance(value, builtins.int):
        return int64
    if isinstance(value, builtins.float):
        return DEFAULT.current
    if isinstance(value, complex):
        return DEFAULT.current.to_complex()
    raise TypeError(f"could not infer dtype of {type(value).__name__}")


def result_dtype(operands: Iterable[Operand]) -> dtype:
    """The type in which an operation on ``operands`` computes.

    An operand is ``(dtype, is_zero_dim, is_python_number)``. Python numbers only decide where
    their kind (bool < integer < floating < complex) is above that of every tensor; 0-d tensors
    likewise yield to tensors with dimensions.

    >>> result_dtype([(int32, False, False), (float64, True, False)])
    torch.float64
    >>> result_dtype([(float32, False, False), (float64, True, False)])
    torch.float32
    """
    return _resolve(tuple(operands), DEFAULT.current)


@lru_cache(maxsize=4096)
def _resolve(operands: tuple[Operand, ...], default: dtype) -> dtype:
    levels: list[dtype | None] = [None, None, None]
    for each, is_zero_dim, is_python_number in operands:
        level = 2 if is_python_number else int(is_zero_dim)
        if is_python_number and each.is_complex:
            each = default.to_complex()
        elif is_python_number and each.is_floating_point:
            each = default
        known = levels[level]
        levels[level] = each if known is None else promote_types(known, each)
    dimensioned, zero_dim, number = levels
    found = _combine(dimensioned, _combine(zero_dim, number))
    if found is None:
        raise ValueError("result_dtype needs at least one operand")
    return found


def _combine(higher: dtype | None, lower: dtype | None) -> dtype | None:
    if higher is None or lower is None:
        return lower if higher is None else higher
    if higher.is_floating_point and lower.is_complex:
        return higher.to_complex()
    if higher.is_floating_point or higher.is_complex:
        return higher
    if higher is bool_ or _KIND_RANK[lower.kind] > 1:
        return promote_types(higher, lower)
    return higher


# NumPy's types ---------------------------------------------------------------------------------


_FROM_NUMPY: Final = {
    each.numpy: each for each in DTYPES.values() if each.name not in ("bfloat16", "complex32")
}


def from_numpy_dtype(numpy_dtype: Any) -> dtype:
    """The type that holds elements of a NumPy dtype (of any byte order); TypeError if none."""
    wanted = np.dtype(numpy_dtype)
    found = _FROM_NUMPY.get(wanted) or _FROM_NUMPY.get(wanted.newbyteorder("="))
    if found is not None:
        return found
    if wanted.name == "bfloat16":
        return bfloat16
    raise TypeError(
        f"can't convert np.ndarray of type {wanted}. The only supported types are: "
        f"{', '.join(each.name for each in _FROM_NUMPY.values())} and bfloat16."
    )
