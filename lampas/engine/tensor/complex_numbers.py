"""Complex numbers: parts, polar form, and views of their memory as pairs of real numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.dtype import get_default_dtype
from lampas.engine.graph import build as g
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.door import record, record_view
from lampas.engine.tensor.operands import as_inputs, require_tensor

if TYPE_CHECKING:
    from lampas.engine.graph.node import Node

Grads = tuple["Node | None", ...]

CONJUGATE = Operation("conj", g.conjugate, vjp=lambda saved, ct: (g.conjugate(ct),), saves="none")
CONJUGATE_COPY = Operation(
    "conj_physical", g.conjugate, vjp=lambda saved, ct: (g.conjugate(ct),), saves="none"
)
REAL = Operation("real", g.real, saves="none")
IMAGINARY = Operation("imag", g.imaginary, saves="none")


@public(method=True)
def conj(input: Tensor) -> Tensor:
    """The complex conjugate; real tensors are returned as they are."""
    return record(CONJUGATE, (input,)) if input.dtype.is_complex else input


@public(method=True, inplace=True, out=True)
def conj_physical(input: Tensor) -> Tensor:
    """The complex conjugate, computed at once; real tensors are returned as they are."""
    return record(CONJUGATE_COPY, (input,)) if input.dtype.is_complex else input


@public(method=True)
def resolve_conj(input: Tensor) -> Tensor:
    """The tensor itself: conjugation is never left pending in the memory."""
    return input


@public(method=True)
def resolve_neg(input: Tensor) -> Tensor:
    """The tensor itself: negation is never left pending in the memory."""
    return input


@public(method=True)
def is_conj(input: Tensor) -> bool:
    """False: conjugation is never left pending in the memory."""
    return False


@public(method=True)
def is_neg(input: Tensor) -> bool:
    """False: negation is never left pending in the memory."""
    return False


@public()
def real(input: Tensor) -> Tensor:
    """A view of the real part; of a real tensor, the tensor itself."""
    return _part(REAL, input, 0) if input.dtype.is_complex else input


@public()
def imag(input: Tensor) -> Tensor:
    """A view of the imaginary part; RuntimeError for real tensors."""
    if not input.dtype.is_complex:
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return _part(IMAGINARY, input, 1)


def _part(operation: Operation, input: Tensor, position: int) -> Tensor:
    """The part as a view: every other number of the storage read as real numbers."""
    strides = tuple([2 * step for step in input._layout()])
    return record_view(operation, input, (), strides, 2 * input._offset + position)


def _set_real(self: Tensor, value: Any) -> None:
    real(self).copy_(value)  # type: ignore[attr-defined]


def _set_imag(self: Tensor, value: Any) -> None:
    imag(self).copy_(value)  # type: ignore[attr-defined]


Tensor.real = property(real, _set_real, doc="The real part.")  # type: ignore[attr-defined]
Tensor.imag = property(imag, _set_imag, doc="The imaginary part.")  # type: ignore[attr-defined]


# Views as pairs -----------------------------------------------------------------------------------


def _pairs(x: Node) -> Node:
    parts = [g.reshape(part, (*x.shape, 1)) for part in (g.real(x), g.imaginary(x))]
    return g.concatenate(parts, len(x.shape))


def _unpaired(x: Node) -> Node:
    last = len(x.shape) - 1
    parts = [g.reshape(g.narrow(x, last, place, 1), x.shape[:-1]) for place in (0, 1)]
    return g.complex_pair(*parts)


VIEW_AS_REAL = Operation("view_as_real", _pairs, saves="none")
VIEW_AS_COMPLEX = Operation("view_as_complex", _unpaired, saves="none")


@public()
def view_as_real(input: Tensor) -> Tensor:
    """A view of the parts of complex numbers as a last dimension of size 2."""
    if not input.dtype.is_complex:
        raise RuntimeError("view_as_real is only supported for complex tensors")
    strides = (*(2 * step for step in input._layout()), 1)
    return record_view(VIEW_AS_REAL, input, (), strides, 2 * input._offset)


@public()
def view_as_complex(input: Tensor) -> Tensor:
    """A view of a last dimension of size 2 as complex numbers."""
    if input.dtype.name not in ("float64", "float32", "float16"):
        raise RuntimeError(
            "view_as_complex is only supported for half, float and double tensors, but got a "
            f"tensor of scalar type: {input.dtype.title}"
        )
    if not input._shape:
        raise RuntimeError("Input tensor must have one or more dimensions")
    if input._shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    *steps, last = input._layout()
    if last != 1:
        raise RuntimeError("Tensor must have a stride of 1 in its last dimension")
    if any(step % 2 for step in steps):
        raise RuntimeError("Tensor must have a stride divisible by 2 for all but last dimension")
    if input._offset % 2:
        raise RuntimeError("Tensor must have a storage_offset divisible by 2")
    strides = tuple([step // 2 for step in steps])
    return record_view(VIEW_AS_COMPLEX, input, (), strides, input._offset // 2)


# Polar form ---------------------------------------------------------------------------------------


def _angle(x: Node) -> Node:
    if x.dtype.is_complex:
        return g.atan2(g.imaginary(x), g.real(x))
    turned = g.where(g.less(x, g.like(x, 0)), g.like(x, math.pi), g.like(x, 0))
    return g.where(g.isnan(x), x, turned) if x.dtype.is_floating_point else turned


def _angle_vjp(saved: Saved, ct: Node) -> Grads:
    """ct · i·z / |z|²; 0 at 0 and for real numbers."""
    x = saved.inputs[0]
    if not x.dtype.is_complex:
        return (g.full(x.shape, 0, x.dtype),)
    a, b = g.real(x), g.imaginary(x)
    norm = g.add(g.multiply(a, a), g.multiply(b, b))
    zero = g.like(norm, 0)
    share = g.where(g.equal(norm, zero), zero, g.divide(ct, norm))
    return (g.complex_pair(g.negative(g.multiply(share, b)), g.multiply(share, a)),)


ANGLE = Operation(
    "angle",
    lambda x, kind: _angle(g.cast(x, kind)),
    vjp=_angle_vjp,
    saves="inputs",
)


@public(method=True, out=True)
def angle(input: Tensor) -> Tensor:
    """The argument of complex numbers; pi for negative real numbers, else 0."""
    kind = require_tensor("angle", "input", input)._node.dtype
    whole = not (kind.is_floating_point or kind.is_complex)
    return record(ANGLE, (input,), (get_default_dtype() if whole else kind,))


COMPLEX = Operation("complex", g.complex_pair, saves="none")
POLAR = Operation(
    "polar",
    lambda size, turn: g.complex_pair(g.multiply(size, g.cos(turn)), g.multiply(size, g.sin(turn))),
    saves="inputs",
)


def _check_parts(name: str, a: Tensor, b: Tensor) -> tuple[Any, ...]:
    require_tensor(name, "input", a)
    require_tensor(name, "other", b, 2)
    if a.dtype.name not in ("float64", "float32", "float16"):
        raise RuntimeError(
            f"Expected both inputs to be Half, Float or Double tensors but got {a.dtype.title} and "
            f"{b.dtype.title}"
        )
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"Expected object of scalar type {a.dtype.title} but got scalar type {b.dtype.title} "
            "for second argument"
        )
    return as_inputs(name, a, b)


@public(out=True)
def complex(real: Tensor, imag: Tensor) -> Tensor:
    """real + i·imag."""
    return record(COMPLEX, _check_parts("complex", real, imag))


@public(out=True)
def polar(abs: Tensor, angle: Tensor) -> Tensor:
    """abs · (cos(angle) + i·sin(angle))."""
    return record(POLAR, _check_parts("polar", abs, angle))


SGN = Operation("sgn", g.sign, saves="inputs")


@public(method=True, inplace=True, out=True)
def sgn(input: Tensor) -> Tensor:
    """The sign; of complex numbers, the number of size 1 in the same direction (0 for 0)."""
    return record(SGN, (require_tensor("sgn", "input", input),))
