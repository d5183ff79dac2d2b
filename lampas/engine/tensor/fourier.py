"""Discrete Fourier transforms (`lampas.fft`).

Three host functions do all: complex to complex, real to complex, complex to real.  Each takes the scale as
a plain number, so that its derivative is another of them with the same scale: the adjoint of s·F is
s·F^H, the transform in the other direction (Oppenheim & Schafer, "Discrete-Time Signal Processing", ch. 8).
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lampas.engine.derive.host_rules import host_vjp
from lampas.engine.derive.operation import Operation
from lampas.engine.device.pool import get_num_threads
from lampas.engine.dtype import dtype, get_default_dtype
from lampas.engine.graph import build as g
from lampas.engine.graph.host import host_function
from lampas.engine.shape import normalize_dim, normalize_dims
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.door import record
from lampas.engine.tensor.operands import require_tensor
from lampas.engine.tensor.rearranging import roll
from lampas.engine.tensor.values import tensor_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lampas.engine.graph.node import Node

Dims = tuple[int, ...]

SHARED = 1 << 17  # elements that are worth a second thread

# The three transforms -----------------------------------------------------------------------------


def _wide(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32) if x.dtype.itemsize == 2 else x


def _workers(x: np.ndarray) -> int:
    """Threads of SciPy's own: rows are transformed each by itself, so the values do not depend on them."""
    return get_num_threads() if x.size >= SHARED else 1


def _norm(scale: float, count: int, forward: bool) -> tuple[str, float]:
    """SciPy's name for a scale that it applies on the way, and what is left to multiply with."""
    if scale == 1:
        return ("backward" if forward else "forward"), 1.0
    if scale == 1 / count:
        return ("forward" if forward else "backward"), 1.0
    if scale == 1 / math.sqrt(count):
        return "ortho", 1.0
    return ("backward" if forward else "forward"), scale


def _scaled(found: Any, rest: float) -> np.ndarray:
    if rest != 1:
        found *= np.real(found).dtype.type(rest)
    return found


def _count(shape: Dims, dims: Dims) -> int:
    return math.prod(shape[d] for d in dims)


@host_function("fft_complex")
def _complex_array(x: np.ndarray, dims: Dims, forward: bool, scale: float) -> np.ndarray:
    import scipy.fft  # slow to import, and few programs need it

    if not x.size:
        return x
    norm, rest = _norm(scale, _count(x.shape, dims), forward)
    transform = scipy.fft.fftn if forward else scipy.fft.ifftn
    return _scaled(transform(x, axes=dims, norm=norm, workers=_workers(x)), rest)


@host_function("fft_from_real")
def _from_real_array(x: np.ndarray, dims: Dims, forward: bool, scale: float) -> np.ndarray:
    import scipy.fft  # slow to import, and few programs need it

    x = _wide(x)
    norm, rest = _norm(scale, _count(x.shape, dims), True)
    found: Any = scipy.fft.rfftn(x, axes=dims, norm=norm, workers=_workers(x))
    if not forward:
        np.conjugate(found, out=found)
    return _scaled(found, rest)


@host_function("fft_whole_from_real")
def _whole_array(x: np.ndarray, dims: Dims, forward: bool, scale: float) -> np.ndarray:
    """The half spectrum, and its mirror image: F(-k) is the conjugate of F(k)."""
    half = _from_real_array(x, dims, forward, scale)
    last, size = dims[-1], x.shape[dims[-1]]
    found = np.empty(x.shape, half.dtype)
    there = [slice(None)] * x.ndim
    there[last] = slice(0, size // 2 + 1)
    found[tuple(there)] = half
    sources, targets = list(there), list(there)
    sources[last], targets[last] = slice((size - 1) // 2, 0, -1), slice(size // 2 + 1, None)
    # Place 0 of the other dimensions is its own mirror image, the rest runs backwards.
    for rest in itertools.product((False, True), repeat=len(dims) - 1):
        for d, runs in zip(dims[:-1], rest, strict=True):
            sources[d] = slice(None, 0, -1) if runs else slice(0, 1)
            targets[d] = slice(1, None) if runs else slice(0, 1)
        np.conjugate(half[tuple(sources)], out=found[tuple(targets)])
    return found


@host_function("fft_to_real")
def _to_real_array(x: np.ndarray, dims: Dims, size: int, forward: bool, scale: float) -> np.ndarray:
    import scipy.fft  # slow to import, and few programs need it

    given = np.conjugate(x) if forward else x
    shape = [size if d == dims[-1] else x.shape[d] for d in dims]
    norm, rest = _norm(scale, math.prod(shape), False)
    found = scipy.fft.irfftn(given, s=shape, axes=dims, norm=norm, workers=_workers(x))
    return _scaled(found, rest)


def complex_transform(x: Node, dims: Dims, forward: bool, scale: float) -> Node:
    """scale · F(x) over `dims` of a complex node."""
    return g.host("fft_complex", (x,), ((x.shape, x.dtype),), (dims, forward, scale))[0]


def from_real(x: Node, dims: Dims, forward: bool, scale: float) -> Node:
    """The half of scale · F(x) of a real node that determines the rest (last of `dims`)."""
    shape = tuple(n // 2 + 1 if d == dims[-1] else n for d, n in enumerate(x.shape))
    kind = x.dtype.to_complex()
    return g.host("fft_from_real", (x,), ((shape, kind),), (dims, forward, scale))[0]


def whole_from_real(x: Node, dims: Dims, forward: bool, scale: float) -> Node:
    """scale · F(x) over `dims` of a real node."""
    kind = x.dtype.to_complex()
    parameters = (dims, forward, scale)
    return g.host("fft_whole_from_real", (x,), ((x.shape, kind),), parameters)[0]


def to_real(x: Node, dims: Dims, size: int, forward: bool, scale: float) -> Node:
    """The real scale · F(x) of a half spectrum; the last of `dims` gets `size`."""
    shape = tuple(size if d == dims[-1] else n for d, n in enumerate(x.shape))
    parameters = (dims, size, forward, scale)
    return g.host("fft_to_real", (x,), ((shape, x.dtype.to_real()),), parameters)[0]


@host_vjp("fft_complex")
def _complex_vjp(inputs: Any, outputs: Any, cts: Any, parameters: Any) -> tuple[Node, ...]:
    dims, forward, scale = parameters
    return (complex_transform(cts[0], dims, not forward, scale),)


@host_vjp("fft_whole_from_real")
def _whole_vjp(inputs: Any, outputs: Any, cts: Any, parameters: Any) -> tuple[Node, ...]:
    dims, forward, scale = parameters
    return (g.real(complex_transform(cts[0], dims, not forward, scale)),)


@host_vjp("fft_from_real")
def _from_real_vjp(inputs: Any, outputs: Any, cts: Any, parameters: Any) -> tuple[Node, ...]:
    """The real part of the full transform back, of the half spectrum filled up with zeros."""
    dims, forward, scale = parameters
    x, ct = inputs[0], cts[0]
    rank = len(x.shape)
    missing = x.shape[dims[-1]] - ct.shape[dims[-1]]
    high = tuple(missing if d == dims[-1] else 0 for d in range(rank))
    full = g.pad(ct, (0,) * rank, high, g.like(ct, 0)) if missing else ct
    return (g.real(complex_transform(full, dims, not forward, scale)),)


@host_vjp("fft_to_real")
def _to_real_vjp(inputs: Any, outputs: Any, cts: Any, parameters: Any) -> tuple[Node, ...]:
    """A half spectrum of the cotangent; elements that stand for two count twice."""
    dims, size, forward, scale = parameters
    back = from_real(cts[0], dims, not forward, scale)
    last, width = dims[-1], back.shape[dims[-1]]
    places = g.reshape(
        g.iota(width), tuple(width if d == last else 1 for d in range(len(back.shape)))
    )
    inner = g.bitwise_and(
        g.greater(places, g.like(places, 0)), g.less(places, g.like(places, size - width + 1))
    )
    factor = g.where(inner, g.like(back, 2), g.like(back, 1))
    return (g.multiply(back, factor),)


# Sizes, scales, dtypes ----------------------------------------------------------------------------


def _resized(x: Node, dims: Dims, sizes: Sequence[int]) -> Node:
    """Cut off or filled up with zeros at the end of each of `dims`."""
    rank = len(x.shape)
    wanted = dict(zip(dims, sizes, strict=True))
    for d, size in wanted.items():
        if size < x.shape[d]:
            x = g.narrow(x, d, 0, size)
    high = tuple(wanted.get(d, x.shape[d]) - x.shape[d] for d in range(rank))
    return g.pad(x, (0,) * rank, high, g.like(x, 0)) if any(high) else x


def _scale(norm: str | None, forward: bool, count: int) -> float:
    if norm not in (None, "forward", "backward", "ortho"):
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')
    if norm == "ortho":
        return 1 / math.sqrt(count) if count else 1.0
    scaled = (norm == "forward") if forward else norm in (None, "backward")
    return 1 / count if scaled and count else 1.0


def _transform_dtype(name: str, kind: dtype, real_only: bool) -> dtype:
    if real_only and kind.is_complex:
        raise RuntimeError(
            f"{name} expects a real input tensor, but got {kind.title}: expected a real dtype"
        )
    if kind.name in ("float16", "bfloat16", "complex32"):
        raise RuntimeError(f"Unsupported dtype {kind.title}")
    wide = kind if kind.is_floating_point or kind.is_complex else get_default_dtype()
    return wide if real_only else wide.to_complex()


def _sizes(
    name: str, shape: Dims, s: Any, dim: Any, default: Dims | None
) -> tuple[Dims, list[int]]:
    """The transformed dimensions and their sizes in the input (-1 in `s` keeps a size)."""
    rank = len(shape)
    if dim is not None:
        dims = normalize_dims(dim if isinstance(dim, (tuple, list)) else (dim,), rank)
    elif s is not None:
        if len(s) > rank:
            raise RuntimeError(f"Got shape with {len(s)} values but input tensor only has {rank}")
        dims = tuple(range(rank - len(s), rank))
    else:
        dims = tuple(range(rank)) if default is None else normalize_dims(default, rank)
    if s is None:
        return dims, [shape[d] for d in dims]
    if len(s) != len(dims):
        raise RuntimeError(
            f"When given, dim and shape arguments must have the same length (in {name})"
        )
    return dims, [shape[d] if n == -1 else n for n, d in zip(s, dims, strict=True)]


def _check_sizes(sizes: Sequence[int]) -> None:
    for size in sizes:
        if size < 1:
            raise RuntimeError(f"Invalid number of data points ({size}) specified")


# Operations ---------------------------------------------------------------------------------------


def _c2c(x: Node, dims: Dims, sizes: Dims, forward: bool, scale: float, kind: dtype) -> Node:
    real = not x.dtype.is_complex and bool(dims) and 0 not in x.shape
    x = _resized(g.cast(x, kind.to_real() if real else kind), dims, sizes)
    if real:
        return whole_from_real(x, dims, forward, scale)
    return complex_transform(x, dims, forward, scale) if dims else x


def _r2c(x: Node, dims: Dims, sizes: Dims, forward: bool, scale: float, kind: dtype) -> Node:
    return from_real(_resized(g.cast(x, kind), dims, sizes), dims, forward, scale)


def _c2r(x: Node, dims: Dims, sizes: Dims, forward: bool, scale: float, kind: dtype) -> Node:
    halves = (*sizes[:-1], sizes[-1] // 2 + 1)
    x = _resized(g.cast(x, kind), dims, halves)
    return to_real(x, dims, sizes[-1], forward, scale)


C2C = Operation("fft_c2c", _c2c, saves="none")
R2C = Operation("fft_r2c", _r2c, saves="none")
C2R = Operation("fft_c2r", _c2r, saves="none")


def _apply(
    name: str, operation: Operation, forward: bool, x: Tensor, s: Any, dim: Any, norm: Any
) -> Tensor:
    require_tensor(name, "input", x)
    kind = _transform_dtype(name, x._node.dtype, operation is R2C)
    dims, sizes = _sizes(name, x._shape, s, dim, None)
    if operation is C2R and (s is None or s[-1] == -1) and dims:
        sizes[-1] = 2 * (x._shape[dims[-1]] - 1)
    if not dims and operation is not C2C:
        raise RuntimeError(f"{name} must transform at least one axis")
    _check_sizes(sizes)
    scale = _scale(norm, forward, math.prod(sizes))
    return record(operation, (x,), (dims, tuple(sizes), forward, scale, kind))


_FAMILY: tuple[tuple[str, Operation, bool, str], ...] = (
    ("fft", C2C, True, "The discrete Fourier transform"),
    ("ifft", C2C, False, "The inverse of fft"),
    ("rfft", R2C, True, "The half of the transform of real values that determines the rest"),
    ("irfft", C2R, False, "The inverse of rfft: real values"),
    ("hfft", C2R, True, "The real transform of the half of a Hermitian signal"),
    ("ihfft", R2C, False, "The inverse of hfft"),
)


def _named(function: Callable[..., Any], name: str, text: str) -> None:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = text
    function.__module__ = __name__
    public(namespace="fft", out=True)(function)


def _define(name: str, operation: Operation, forward: bool, text: str) -> None:
    def one(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
        place = normalize_dim(dim, len(input._shape), wrap_scalar=False)
        return _apply(name, operation, forward, input, None if n is None else (n,), place, norm)

    def two(input: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Tensor:
        return _apply(f"{name}2", operation, forward, input, s, dim, norm)

    def many(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None) -> Tensor:
        return _apply(f"{name}n", operation, forward, input, s, dim, norm)

    _named(one, name, f"{text}, along one dimension.")
    _named(two, f"{name}2", f"{text}, over two dimensions.")
    _named(many, f"{name}n", f"{text}, over several dimensions (all if none are given).")


for _row in _FAMILY:
    _define(*_row)

# Frequencies and shifts ---------------------------------------------------------------------------


def _frequencies(values: np.ndarray, n: int, d: float, kind: dtype | None, options: Any) -> Tensor:
    result = tensor_of(values / (n * d), get_default_dtype() if kind is None else kind)
    if options.get("requires_grad"):
        result.requires_grad_()
    return result


@public(namespace="fft", out=True)
def fftfreq(n: int, d: float = 1.0, *, dtype: dtype | None = None, **options: Any) -> Tensor:
    """The frequencies of fft's results for n points at distance d."""
    half = (n + 1) // 2
    order = np.concatenate([np.arange(half), np.arange(half - n, 0)])
    return _frequencies(order, n, d, dtype, options)


@public(namespace="fft", out=True)
def rfftfreq(n: int, d: float = 1.0, *, dtype: dtype | None = None, **options: Any) -> Tensor:
    """The frequencies of rfft's results for n points at distance d."""
    return _frequencies(np.arange(n // 2 + 1), n, d, dtype, options)


def _shifted(input: Tensor, dim: Any, back: bool) -> Tensor:
    rank = len(input._shape)
    dims = range(rank) if dim is None else ([dim] if isinstance(dim, int) else dim)
    places = normalize_dims(dims, rank)
    if not places:
        return input
    sizes = [input._shape[d] for d in places]
    return roll(input, [(n + 1) // 2 if back else n // 2 for n in sizes], places)


@public(namespace="fft")
def fftshift(input: Tensor, dim: Any = None) -> Tensor:
    """The zero frequency moved to the middle of each dimension."""
    return _shifted(input, dim, False)


@public(namespace="fft")
def ifftshift(input: Tensor, dim: Any = None) -> Tensor:
    """The inverse of fftshift."""
    return _shifted(input, dim, True)
