"""`assert_close`: whether values are equal within tolerances, and if not, where and by how much.

The rule is |actual - expected| <= atol + rtol · |expected|. The default tolerances are those that
PyTorch documents for each dtype. Messages have PyTorch's form.
"""

import cmath
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

import lampas
from lampas.engine.tensor.core import Tensor

TOLERANCES = {  # of the dtype: relative, absolute; all others are compared exactly
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5),
    "complex128": (1e-7, 1e-7),
}
NUMBER_DTYPES = {float: "float64", complex: "complex128", int: "int64"}
Number = int | float | complex


class _Mismatch(AssertionError):
    """A difference, at the place `path` within containers."""

    def __init__(self, message: str, path: tuple[Any, ...]) -> None:
        super().__init__(message)
        self.message = message
        if path:
            place = "".join(f"[{key!r}]" for key in path)
            self.message += f"\n\nThe failure occurred for item {place}"


@dataclass(frozen=True)
class _Rules:
    rtol: float | None
    atol: float | None
    equal_nan: bool
    allow_subclasses: bool
    check_device: bool
    check_dtype: bool
    check_layout: bool
    check_stride: bool

    def tolerances(self, *names: str) -> tuple[float, float]:
        """The given tolerances, or the larger ones of the dtypes."""
        if self.rtol is not None and self.atol is not None:
            return self.rtol, self.atol
        pairs = [TOLERANCES.get(name, (0.0, 0.0)) for name in names]
        return max(pair[0] for pair in pairs), max(pair[1] for pair in pairs)


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """AssertionError unless `actual` is close to `expected`.

    Compares tensors, NumPy arrays, numbers, bools, None, and sequences and mappings of these.
    ValueError where only one of `rtol` and `atol` is given; TypeError for what cannot be compared.

    >>> assert_close(lampas.tensor([1.0, 2.0]), lampas.tensor([1.0, 2.000001]))
    """
    if (rtol is None) != (atol is None):
        missing = "rtol" if rtol is None else "atol"
        raise ValueError(
            f"Both 'rtol' and 'atol' must be either specified or omitted, but got no {missing}."
        )
    rules = _Rules(
        rtol,
        atol,
        equal_nan,
        allow_subclasses,
        check_device,
        check_dtype,
        check_layout,
        check_stride,
    )
    # Types first, everywhere: what cannot be compared is an error even beside a difference.
    pairs: list[tuple[Callable[..., None], Any, Any, tuple[Any, ...]]] = []
    try:
        _pair_up(actual, expected, (), rules, pairs)
        for compare, one, other, path in pairs:
            compare(one, other, path, rules)
    except _Mismatch as error:
        message = error.message
    else:
        return
    if msg is not None:
        message = msg(message) if callable(msg) else msg
    raise AssertionError(message)


def _pair_up(
    actual: Any, expected: Any, path: tuple[Any, ...], rules: _Rules, pairs: list[Any]
) -> None:
    """Collect what is to be compared, container by container."""
    if _are(actual, expected, Sequence) and not isinstance(actual, str | bytes):
        if isinstance(expected, str | bytes):
            raise _cannot_compare(actual, expected)
        if len(actual) != len(expected):
            message = f"The length of the sequences mismatch: {len(actual)} != {len(expected)}"
            raise _Mismatch(message, path)
        for place, (one, other) in enumerate(zip(actual, expected, strict=True)):
            _pair_up(one, other, (*path, place), rules, pairs)
    elif _are(actual, expected, Mapping):
        _compare_keys(actual, expected, path)
        mapping: Any = actual
        for key, value in mapping.items():
            _pair_up(value, expected[key], (*path, key), rules, pairs)
    else:
        pairs.append((_comparison(actual, expected, rules), actual, expected, path))


def _are(actual: Any, expected: Any, kind: Any) -> bool:
    return isinstance(actual, kind) and isinstance(expected, kind)


def _compare_keys(actual: Any, expected: Any, path: tuple[Any, ...]) -> None:
    missing = [key for key in expected if key not in actual]
    additional = [key for key in actual if key not in expected]
    if missing or additional:
        raise _Mismatch(
            "The keys of the mappings do not match:\n"
            f"Missing keys in the actual mapping: {sorted(missing, key=str)}\n"
            f"Additional keys in the actual mapping: {sorted(additional, key=str)}",
            path,
        )


def _comparison(actual: Any, expected: Any, rules: _Rules) -> Callable[..., None]:
    if actual is None or expected is None:
        return _compare_none
    if _are(actual, expected, bool | numpy.bool_):
        return _compare_bools
    numbers = Number | numpy.number
    if _are(actual, expected, numbers) and not isinstance(actual, bool):
        return _compare_numbers
    if _are(actual, expected, Tensor):
        same = type(actual) is type(expected)
        related = isinstance(actual, type(expected)) or isinstance(expected, type(actual))
        if same or (rules.allow_subclasses and related):
            return _compare_tensors
    if _are(actual, expected, numpy.ndarray):
        return _compare_arrays
    raise _cannot_compare(actual, expected)


def _cannot_compare(actual: Any, expected: Any) -> TypeError:
    return TypeError(
        f"No comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}."
    )


def _compare_none(actual: Any, expected: Any, path: tuple[Any, ...], rules: _Rules) -> None:
    if actual is not expected:
        raise _Mismatch(f"None mismatch: {actual} is not {expected}", path)


def _compare_bools(actual: Any, expected: Any, path: tuple[Any, ...], rules: _Rules) -> None:
    if bool(actual) is not bool(expected):
        raise _Mismatch(f"Booleans mismatch: {actual} is not {expected}", path)


def _compare_numbers(actual: Any, expected: Any, path: tuple[Any, ...], rules: _Rules) -> None:
    if rules.check_dtype and type(actual) is not type(expected):
        message = f"The (d)types do not match: {type(actual)} != {type(expected)}."
        raise _Mismatch(message, path)
    names = [
        next(name for kind, name in NUMBER_DTYPES.items() if isinstance(value, kind))
        if isinstance(value, Number)
        else value.dtype.name
        for value in (actual, expected)
    ]
    _compare_scalars(actual, expected, path, (*rules.tolerances(*names), rules.equal_nan))


def _compare_scalars(
    actual: Any, expected: Any, path: tuple[Any, ...], limits: tuple[float, float, bool]
) -> None:
    rtol, atol, equal_nan = limits
    if actual == expected:
        return
    if equal_nan and cmath.isnan(actual) and cmath.isnan(expected):
        return
    difference = abs(actual - expected)
    finite = cmath.isfinite(actual) and cmath.isfinite(expected)
    if finite and difference <= atol + rtol * abs(expected):
        return
    exact = not rtol and not atol
    relative = difference / abs(expected) if expected else math.inf
    raise _Mismatch(
        f"Scalars are not {'equal' if exact else 'close'}!\n\n"
        f"Expected {expected} but got {actual}.\n"
        f"Absolute difference: {difference}{'' if exact else f' (up to {atol} allowed)'}\n"
        f"Relative difference: {relative}{'' if exact else f' (up to {rtol} allowed)'}",
        path,
    )


def _compare_arrays(actual: Any, expected: Any, path: tuple[Any, ...], rules: _Rules) -> None:
    _compare_tensors(lampas.from_numpy(actual), lampas.from_numpy(expected), path, rules)


def _compare_tensors(
    actual: Tensor, expected: Tensor, path: tuple[Any, ...], rules: _Rules
) -> None:
    _compare_attributes(actual, expected, path, rules)
    rtol, atol = rules.tolerances(actual.dtype.name, expected.dtype.name)
    if actual.is_meta or expected.is_meta:
        return  # shapes and dtypes are all there is
    kind = lampas.promote_types(actual.dtype, expected.dtype)
    one, other = (each.detach().to("cpu", kind).resolve_conj() for each in (actual, expected))
    close = _close_elements(one, other, (rtol, atol, rules.equal_nan))
    if close.all():
        return
    if not one.ndim:
        limits = (rtol, atol, rules.equal_nan)
        _compare_scalars(one.item(), other.item(), path, limits)
        return
    raise _Mismatch(_tell_difference(one, other, close, (rtol, atol)), path)


def _compare_attributes(
    actual: Tensor, expected: Tensor, path: tuple[Any, ...], rules: _Rules
) -> None:
    def require(name: str, one: Any, other: Any) -> None:
        if one != other:
            message = f"The values for attribute '{name}' do not match: {one} != {other}."
            raise _Mismatch(message, path)

    require("shape", actual.shape, expected.shape)
    if rules.check_layout:
        require("layout", actual.layout, expected.layout)
    if rules.check_device:
        require("device", actual.device, expected.device)
    if rules.check_dtype:
        require("dtype", actual.dtype, expected.dtype)
    if rules.check_stride:
        require("stride()", actual.stride(), expected.stride())


def _widened(tensor: Tensor) -> numpy.ndarray:
    """The values in NumPy, half types as float32 and bool as int64."""
    if tensor.dtype is lampas.bool:
        return tensor.numpy().astype(numpy.int64)
    if tensor.dtype.is_floating_point and tensor.dtype.itemsize == 2:
        return tensor.float().numpy()
    return tensor.numpy()


def _close_elements(one: Tensor, other: Tensor, limits: tuple[float, float, bool]) -> numpy.ndarray:
    rtol, atol, equal_nan = limits
    a, b = _widened(one), _widened(other)
    close = a == b
    with numpy.errstate(all="ignore"):
        if rtol or atol:
            distance, size = _distance(a, b), abs(b.astype(numpy.result_type(b, numpy.float64)))
            finite = numpy.isfinite(a) & numpy.isfinite(b)
            close = close | (finite & (distance <= atol + rtol * size))
        if equal_nan:
            close = close | (numpy.isnan(a) & numpy.isnan(b))
    return numpy.asarray(close)


def _distance(a: numpy.ndarray, b: numpy.ndarray) -> numpy.ndarray:
    """|a - b| in the arrays' own dtype; of integers without overflow where that can be had."""
    if a.dtype.kind in "iu":
        return abs(a.astype(numpy.int64) - b.astype(numpy.int64))
    return abs(a - b)


def _tell_difference(
    one: Tensor, other: Tensor, close: numpy.ndarray, tolerances: tuple[float, float]
) -> str:
    rtol, atol = tolerances
    exact = not rtol and not atol
    a, b = _widened(one), _widened(other)
    half = one.dtype if one.dtype.is_floating_point and one.dtype.itemsize == 2 else None
    wrong = int((~close).sum())
    with numpy.errstate(all="ignore"):
        absolute = _distance(a, b)
        divisor = abs(b)
        if absolute.dtype.kind in "iu":
            relative = absolute.astype(numpy.float32) / divisor.astype(numpy.float32)
        else:
            relative = absolute / divisor
    lines = [
        f"Tensor-likes are not {'equal' if exact else 'close'}!\n",
        f"Mismatched elements: {wrong} / {close.size} ({wrong / close.size:.1%})",
    ]
    for name, values, limit in (("absolute", absolute, atol), ("relative", relative, rtol)):
        # What is close counts as no difference, so that the place is one that matters.
        place = numpy.unravel_index(int(numpy.argmax(numpy.where(close, 0, values))), close.shape)
        greatest = values[place].item()
        if half is not None:
            greatest = lampas.tensor(greatest, dtype=half).item()
        index = tuple(int(each) for each in place)
        allowed = "" if exact else f" (up to {limit} allowed)"
        lines.append(f"Greatest {name} difference: {greatest} at index {index}{allowed}")
    return "\n".join(lines)
