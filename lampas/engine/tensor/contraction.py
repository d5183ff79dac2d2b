"""Matrix products in all their ranks: matmul, mm, bmm, mv, dot, addmm and kin, and `linear`.

Products of half types accumulate in float32 (the primitive's meaning).  A stack of rows times one matrix
is one two-dimensional product.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lampas.engine.derive.operation import Operation, Saved
from lampas.engine.dtype import bool_, dtype
from lampas.engine.graph import build as g
from lampas.engine.tensor.arithmetic import Scalar, sum_back
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.declare import public
from lampas.engine.tensor.door import record
from lampas.engine.tensor.operands import accumulation_dtype, check_broadcast, require_tensor

if TYPE_CHECKING:
    from lampas.engine.graph.node import Node, Shape

Grads = tuple["Node | None", ...]

_C_NAMES = {
    "Double": "double",
    "Float": "float",
    "Half": "c10::Half",
    "BFloat16": "c10::BFloat16",
    "Long": "long",
    "Int": "int",
    "Short": "short",
    "Char": "signed char",
    "Byte": "unsigned char",
    "Bool": "bool",
    "ComplexFloat": "c10::complex<float>",
    "ComplexDouble": "c10::complex<double>",
}


def same_dtype(name: str, a: Tensor, b: Tensor) -> dtype:
    """The factors' common dtype; RuntimeError where they differ, and for booleans."""
    left, right = a._node.dtype, b._node.dtype
    if left is not right:
        raise RuntimeError(
            f"expected m1 and m2 to have the same dtype, but got: {_C_NAMES[left.title]} != "
            f"{_C_NAMES[right.title]} (in {name}())"
        )
    if left is bool_:
        raise NotImplementedError("\"addmm_impl_cpu_\" not implemented for 'Bool'")
    return left


def _refuse_product(a: Shape, b: Shape) -> RuntimeError:
    rows = 1
    for size in a[:-1]:
        rows *= size
    return RuntimeError(
        f"mat1 and mat2 shapes cannot be multiplied ({rows}x{a[-1]} and {b[-2]}x{b[-1]})"
    )


# Node level ---------------------------------------------------------------------------------------


def transposed(x: Node) -> Node:
    """The conjugate transpose of a (stack of) matrices."""
    return g.conjugate(g.transpose(x))


def stacked_product(a: Node, b: Node) -> Node:
    """The product of stacks of matrices whose batch dimensions broadcast."""
    if len(b.shape) == 2 and len(a.shape) > 2:
        rows = a.numel // a.shape[-1] if a.shape[-1] else _rows(a.shape)
        flat = g.matmul(g.reshape(a, (rows, a.shape[-1])), b)
        return g.reshape(flat, (*a.shape[:-1], b.shape[-1]))
    batch = a.shape[:-2]
    if batch != b.shape[:-2]:
        batch = check_broadcast("matmul", [batch, b.shape[:-2]])
        a = g.expand(a, (*batch, *a.shape[-2:]))
        b = g.expand(b, (*batch, *b.shape[-2:]))
    return g.matmul(a, b)


def _rows(shape: Shape) -> int:
    count = 1
    for size in shape[:-1]:
        count *= size
    return count


def _as_matrices(a: Node, b: Node) -> tuple[Node, Node]:
    """Vectors become a row (left) or a column (right)."""
    left = g.reshape(a, (1, a.shape[0])) if len(a.shape) == 1 else a
    right = g.reshape(b, (b.shape[0], 1)) if len(b.shape) == 1 else b
    return left, right


def _product_shape(a: Shape, b: Shape) -> Shape:
    batch = check_broadcast("matmul", [a[:-2], b[:-2]])
    return (*batch, *(a[-2:-1]), *(b[-1:] if len(b) > 1 else ()))


def product(a: Node, b: Node) -> Node:
    """`matmul` of nodes of any rank."""
    if len(a.shape) == 2 and len(b.shape) == 2:
        return g.matmul(a, b)
    left, right = _as_matrices(a, b)
    return g.reshape(stacked_product(left, right), _product_shape(a.shape, b.shape))


def _product_vjp(saved: Saved, ct: Node) -> Grads:
    a, b = saved.inputs
    need_a, need_b = saved.needed
    left, right = _as_matrices(a, b)
    if ct.shape == () or len(left.shape) != len(a.shape) or len(right.shape) != len(b.shape):
        batch = check_broadcast("matmul", [left.shape[:-2], right.shape[:-2]])
        ct = g.reshape(ct, (*batch, left.shape[-2], right.shape[-1]))
    to_a = to_b = None
    if need_a:
        flow = stacked_product(ct, transposed(right))
        to_a = g.reshape(g.sum_to(flow, left.shape), a.shape)
    if need_b:
        to_b = g.reshape(_right_flow(left, right, ct), b.shape)
    return to_a, to_b


def _right_flow(left: Node, right: Node, ct: Node) -> Node:
    if len(right.shape) == 2 and len(left.shape) > 2:
        rows = _rows(left.shape)
        flat = g.reshape(left, (rows, left.shape[-1]))
        return g.matmul(transposed(flat), g.reshape(ct, (rows, ct.shape[-1])))
    return g.sum_to(stacked_product(transposed(left), ct), right.shape)


MM = Operation("mm", product, vjp=_product_vjp, saves="inputs")
BMM = Operation("bmm", product, vjp=_product_vjp, saves="inputs")
MV = Operation("mv", product, vjp=_product_vjp, saves="inputs")
MATMUL = Operation(
    "matmul", product, vjp=_product_vjp, grad_name="UnsafeViewBackward0", saves="inputs"
)


def _dot(a: Node, b: Node) -> Node:
    return g.reshape(g.sum_dims(g.multiply(a, b), (0,)), ())


def _dot_vjp(saved: Saved, ct: Node) -> Grads:
    a, b = saved.inputs
    return (
        g.multiply(ct, g.conjugate(b)) if saved.needed[0] else None,
        g.multiply(ct, g.conjugate(a)) if saved.needed[1] else None,
    )


DOT = Operation("dot", _dot, vjp=_dot_vjp, saves="inputs")
VDOT = Operation("vdot", lambda a, b: _dot(g.conjugate(a), b), saves="inputs")

# Products of two tensors --------------------------------------------------------------------------


@public(method=True, out=True)
def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product; vectors count as a row (left) or column (right), leading dimensions broadcast.

    RuntimeError where the inner sizes or the dtypes differ.

    >>> matmul(ones(2, 3), ones(3, 4)).shape
    torch.Size([2, 4])
    """
    require_tensor("matmul", "input", input)
    require_tensor("matmul", "other", other, 2)
    a, b = input._shape, other._shape
    if len(a) == 2 and len(b) == 2:
        return mm(input, other)
    if not a or not b:
        raise RuntimeError(
            f"both arguments to matmul need to be at least 1D, but they are {len(a)}D and {len(b)}D"
        )
    if len(a) == 1 and len(b) == 1:
        return dot(input, other)
    same_dtype("matmul", input, other)
    if a[-1] != b[-2 if len(b) > 1 else -1]:
        _refuse_matmul(a, b)
    if len(a) == 2 and len(b) == 1:
        return record(MV, (input, other))
    if len(a) > 2 and len(b) > 2:
        check_broadcast("matmul", [a[:-2], b[:-2]])
    return record(MATMUL, (input, other))


def _refuse_matmul(a: Shape, b: Shape) -> None:
    if len(b) == 1 or len(a) == 1:
        matrix, vector = (a, b) if len(b) == 1 else (b[::-1], a)
        raise RuntimeError(
            f"size mismatch, got input ({_rows(matrix)}), mat ({_rows(matrix)}x{matrix[-1]}), "
            f"vec ({vector[0]})"
        )
    if len(a) > 2 and len(b) > 2:
        check_broadcast("matmul", [a[:-2], b[:-2]])
        batch = max(_rows(a[:-1]), 1)
        raise RuntimeError(
            "Expected size for first two dimensions of batch2 tensor to be: "
            f"[{batch}, {a[-1]}] but got: [{batch}, {b[-2]}]."
        )
    raise _refuse_product(a, b)


@public(method=True, out=True)
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices."""
    require_tensor("mm", "input", input)
    require_tensor("mm", "mat2", mat2, 2)
    a, b = input._shape, mat2._shape
    if len(a) != 2:
        raise RuntimeError("self must be a matrix")
    if len(b) != 2:
        raise RuntimeError("mat2 must be a matrix")
    if input._node.dtype is not mat2._node.dtype or input._node.dtype is bool_:
        same_dtype("mm", input, mat2)
    if a[1] != b[0]:
        raise _refuse_product(a, b)
    return record(MM, (input, mat2))


def _check_batches(first: Tensor, second: Tensor) -> None:
    a, b = first._shape, second._shape
    for name, shape in (("batch1", a), ("batch2", b)):
        if len(shape) != 3:
            raise RuntimeError(f"{name} must be a 3D tensor")
    if b[:2] != (a[0], a[2]):
        raise RuntimeError(
            "Expected size for first two dimensions of batch2 tensor to be: "
            f"[{a[0]}, {a[2]}] but got: [{b[0]}, {b[1]}]."
        )
    same_dtype("bmm", first, second)


@public(method=True, out=True)
def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """Products of matrices, one for each place of the first dimension."""
    _check_batches(require_tensor("bmm", "input", input), require_tensor("bmm", "mat2", mat2, 2))
    return record(BMM, (input, mat2))


@public(method=True, out=True)
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """The product of a matrix and a vector."""
    a, b = input._shape, vec._shape
    if len(a) != 2 or len(b) != 1:
        raise RuntimeError(
            f"vector + matrix @ vector expected, got {len(b)}, {len(a)}, {len(b)} (dimensions)"
        )
    if a[1] != b[0]:
        _refuse_matmul(a, b)
    same_dtype("mv", input, vec)
    return record(MV, (input, vec))


def _check_vectors(name: str, a: Tensor, b: Tensor) -> None:
    if len(a._shape) != 1 or len(b._shape) != 1:
        raise RuntimeError(
            f"1D tensors expected, but got {len(a._shape)}D and {len(b._shape)}D tensors"
        )
    left, right = a._node.dtype, b._node.dtype
    if left is not right:
        raise RuntimeError(
            f"{name} : expected both vectors to have same dtype, but found {left.title} and "
            f"{right.title}"
        )
    if a._shape != b._shape:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{a._shape[0]}] and src [{b._shape[0]}] to "
            f"have the same number of elements, but got {a._shape[0]} and {b._shape[0]} elements "
            "respectively"
        )


@public(method=True, out=True)
def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The sum of products of two vectors."""
    _check_vectors("dot", input, require_tensor("dot", "tensor", tensor, 2))
    return record(DOT, (input, tensor))


@public(method=True, out=True)
def vdot(input: Tensor, other: Tensor) -> Tensor:
    """The sum of products of two vectors, the first conjugated."""
    _check_vectors("vdot", input, require_tensor("vdot", "other", other, 2))
    return record(VDOT if input.dtype.is_complex else DOT, (input, other))


# Products added to a tensor -----------------------------------------------------------------------


def _scaled(x: Node, factor: Scalar) -> Node:
    return x if factor == 1 else g.multiply(x, g.like(x, factor))


def _blend(name: str, build: Any, grad_name: str) -> Operation:
    """beta · input + alpha · product; with beta 0 the input is not read (NaN in it is dropped)."""

    def forward(x: Node, a: Node, b: Node, beta: Scalar, alpha: Scalar) -> Node:
        kind = a.dtype
        wide = accumulation_dtype(kind)
        if not (kind.is_floating_point or kind.is_complex):
            beta, alpha = int(beta), int(alpha)  # type: ignore[arg-type]
        result = _scaled(build(g.cast(a, wide), g.cast(b, wide)), alpha)
        if beta != 0:
            base = _scaled(g.cast(x, wide), beta)
            result = g.add(g.expand(base, result.shape), result)
        return g.cast(result, kind)

    return Operation(name, forward, grad_name=grad_name, saves="inputs")


def _outer(a: Node, b: Node) -> Node:
    return g.multiply(g.reshape(a, (a.shape[0], 1)), g.reshape(b, (1, b.shape[0])))


def _batch_sum(a: Node, b: Node) -> Node:
    return g.reshape(g.sum_dims(g.matmul(a, b), (0,)), (a.shape[1], b.shape[2]))


ADDMM = _blend("addmm", g.matmul, "AddmmBackward0")
ADDMV = _blend("addmv", product, "AddmvBackward0")
ADDR = _blend("addr", _outer, "AddrBackward0")
ADDBMM = _blend("addbmm", _batch_sum, "AddbmmBackward0")
BADDBMM = _blend("baddbmm", g.matmul, "BaddbmmBackward0")


def _check_blend(input: Tensor, target: Shape, kind: dtype) -> None:
    shape = input._shape
    lead = len(target) - len(shape)
    fits = lead >= 0 and all(
        n in (1, m) for n, m in zip(shape, target[max(lead, 0) :], strict=False)
    )
    if not fits:
        raise RuntimeError(
            f"The expanded size of the tensor ({target[-1]}) must match the existing size "
            f"({shape[-1]}) at non-singleton dimension {len(target) - 1}.  Target sizes: "
            f"{list(target)}.  Tensor sizes: {list(shape)}"
        )
    if input._node.dtype is not kind:
        raise RuntimeError(
            f"self and mat2 must have the same dtype, but got {input.dtype.title} and {kind.title}"
        )


@public(method=True, inplace=True, out=True)
def addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1
) -> Tensor:
    """beta · input + alpha · (mat1 @ mat2)."""
    a, b = mat1._shape, mat2._shape
    if len(a) != 2 or len(b) != 2:
        raise RuntimeError(
            f"{'mat1' if len(a) != 2 else 'mat2'} must be a matrix, got "
            f"{len(a) if len(a) != 2 else len(b)}-D tensor"
        )
    kind = same_dtype("addmm", mat1, mat2)
    if a[1] != b[0]:
        raise _refuse_product(a, b)
    _check_blend(input, (a[0], b[1]), kind)
    return record(ADDMM, (input, mat1, mat2), (beta, alpha))


@public(method=True, inplace=True, out=True)
def addmv(
    input: Tensor, mat: Tensor, vec: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1
) -> Tensor:
    """beta · input + alpha · (mat @ vec)."""
    if len(mat._shape) != 2 or len(vec._shape) != 1:
        raise RuntimeError(
            f"vector + matrix @ vector expected, got {len(input._shape)}, {len(mat._shape)}, "
            f"{len(vec._shape)}"
        )
    if mat._shape[1] != vec._shape[0]:
        _refuse_matmul(mat._shape, vec._shape)
    _check_blend(input, mat._shape[:1], same_dtype("addmv", mat, vec))
    return record(ADDMV, (input, mat, vec), (beta, alpha))


@public(method=True, inplace=True, out=True)
def addr(
    input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1
) -> Tensor:
    """beta · input + alpha · (vec1 ⊗ vec2)."""
    for name, vector in (("vec1", vec1), ("vec2", vec2)):
        if len(vector._shape) != 1:
            raise RuntimeError(
                f"addr: Expected 1-D argument {name}, but got {len(vector._shape)}-D"
            )
    if bool_ in (vec1.dtype, vec2.dtype, input.dtype):
        return input.logical_or(vec1.unsqueeze(1).logical_and(vec2))  # type: ignore[attr-defined]
    return input * beta + outer(vec1, vec2) * alpha if beta else outer(vec1, vec2) * alpha  # type: ignore[operator]


@public(method=True, inplace=True, out=True)
def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1
) -> Tensor:
    """beta · input + alpha · Σ batch1[i] @ batch2[i]."""
    _check_batches(batch1, batch2)
    target = (batch1._shape[1], batch2._shape[2])
    _check_blend(input, target, batch1._node.dtype)
    return record(ADDBMM, (input, batch1, batch2), (beta, alpha))


@public(method=True, inplace=True, out=True)
def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1
) -> Tensor:
    """beta · input + alpha · (batch1[i] @ batch2[i]) for each i."""
    _check_batches(batch1, batch2)
    target = (*batch1._shape[:2], batch2._shape[2])
    _check_blend(input, target, batch1._node.dtype)
    return record(BADDBMM, (input, batch1, batch2), (beta, alpha))


@public("ger", method=True, out=True)
def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """Every product of an element of input with one of vec2: shape (n, m)."""
    for name, vector in (("self", input), ("vec2", vec2)):
        if len(vector._shape) != 1:
            raise RuntimeError(
                f"outer: Expected 1-D argument {name}, but got {len(vector._shape)}-D"
            )
    return input.unsqueeze(1) * vec2  # type: ignore[attr-defined]


# The affine map of a layer ------------------------------------------------------------------------


def _linear(x: Node, weight: Node, *bias: Node) -> Node:
    rows = _rows(x.shape)
    flat = g.matmul(g.reshape(x, (rows, x.shape[-1])), g.transpose(weight))
    if bias:
        flat = g.add(flat, bias[0])
    return g.reshape(flat, (*x.shape[:-1], weight.shape[0]))


def _linear_vjp(saved: Saved, ct: Node) -> Grads:
    x, weight = saved.inputs[:2]
    rows = _rows(x.shape)
    flow = g.reshape(ct, (rows, weight.shape[0]))
    grads: list[Node | None] = [None] * len(saved.inputs)
    if saved.needed[0]:
        grads[0] = g.reshape(g.matmul(flow, g.conjugate(weight)), x.shape)
    if saved.needed[1]:
        flat = g.reshape(x, (rows, x.shape[-1]))
        grads[1] = g.matmul(g.transpose(flow), g.conjugate(flat))
    if len(grads) == 3 and saved.needed[2]:
        grads[2] = sum_back(flow, saved.inputs[2])
    return tuple(grads)


def _linear_operation(grad_name: str) -> Operation:
    return Operation("linear", _linear, vjp=_linear_vjp, grad_name=grad_name, saves="inputs")


LINEAR = _linear_operation("AddmmBackward0")
LINEAR_PLAIN = _linear_operation("MmBackward0")
LINEAR_STACK = _linear_operation("ViewBackward0")
LINEAR_STACK_PLAIN = _linear_operation("UnsafeViewBackward0")


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input @ weightᵀ + bias, for any number of leading dimensions of input."""
    require_tensor("linear", "input", input)
    require_tensor("linear", "weight", weight, 2)
    shape, sizes = input._shape, weight._shape
    if len(sizes) == 1 or not shape:
        result = matmul(input, weight)
        return result if bias is None else result + bias  # type: ignore[operator]
    same_dtype("linear", input, weight)
    if shape[-1] != sizes[1]:
        raise _refuse_product(shape, sizes[::-1])
    if bias is None:
        return record(LINEAR_PLAIN if len(shape) == 2 else LINEAR_STACK_PLAIN, (input, weight))
    same_dtype("linear", input, bias)
    if bias._shape not in ((sizes[0],), (), (1,)):
        raise RuntimeError(
            f"The expanded size of the tensor ({sizes[0]}) must match the existing size "
            f"({(bias._shape or (1,))[-1]}) at non-singleton dimension 1.  Target sizes: "
            f"{[_rows(shape), sizes[0]]}.  Tensor sizes: {list(bias._shape)}"
        )
    return record(LINEAR if len(shape) == 2 else LINEAR_STACK, (input, weight, bias))
