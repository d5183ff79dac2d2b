"""The derivative of each primitive: cotangent of the result -> cotangents of the inputs.

`VJP_RULES[op](node, cotangent) -> (cotangent of each input or None, …)`.  Rules are written in the same
primitives, so they can be derived again.  Shapes that broadcasting repeated are summed back
(`sum_to`).  For complex values the rules are those of PyTorch: the cotangent of a holomorphic f is
multiplied by the conjugate of f'.  `None` in the table: the primitive is constant almost everywhere or
has integer or boolean values, so nothing flows.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lampas.engine.derive.attention_rules import attention_rule
from lampas.engine.derive.movement_rules import MOVEMENT_VJP_RULES
from lampas.engine.graph import build as g
from lampas.engine.graph import primitives as p
from lampas.engine.graph.series import trigamma

if TYPE_CHECKING:
    from collections.abc import Callable

    from lampas.engine.graph.node import Node

Cotangents = tuple["Node | None", ...]


def _times(derivative: Callable[[Node, Node], Node]) -> Callable[[Node, Node], Cotangents]:
    """The rule ct · conj(f'(x, y)) of an elementwise y = f(x)."""

    def rule(node: Node, ct: Node) -> Cotangents:
        slope = derivative(node.inputs[0], node)
        return (g.multiply(ct, g.conjugate(slope)),)

    return rule


def _one(x: Node) -> Node:
    return g.like(x, 1)


def _square(x: Node) -> Node:
    return g.multiply(x, x)


def _scaled(x: Node, factor: float) -> Node:
    return g.multiply(x, g.like(x, factor))


def _absolute(node: Node, ct: Node) -> Cotangents:
    x = node.inputs[0]
    direction = g.sign(x)
    return (g.multiply(g.cast(ct, x.dtype), direction),)


def _sign(node: Node, ct: Node) -> Cotangents:
    x = node.inputs[0]
    if not x.dtype.is_complex:
        return (g.full(x.shape, 0, x.dtype),)
    magnitude = g.cast(g.absolute(x), x.dtype)
    turn = g.multiply(g.conjugate(ct), node)
    part = g.cast(g.imaginary(turn), x.dtype)
    flow = g.divide(g.multiply(g.multiply(part, g.like(x, -1j)), node), magnitude)
    zero = g.equal(g.absolute(x), g.constant(0, x.dtype.to_real()))
    return (g.where(zero, g.like(x, 0), flow),)


def _cast(node: Node, ct: Node) -> Cotangents:
    x = node.inputs[0]
    if not (x.dtype.is_floating_point or x.dtype.is_complex):
        return (None,)
    if node.dtype.is_complex and not x.dtype.is_complex:
        ct = g.real(ct)
    return (g.cast(ct, x.dtype),)


def _flow_zero(node: Node, ct: Node) -> Cotangents:
    x = node.inputs[0]
    return (g.full(x.shape, 0, x.dtype),)


def _real(node: Node, ct: Node) -> Cotangents:
    return (g.cast(ct, node.inputs[0].dtype),)


def _imaginary(node: Node, ct: Node) -> Cotangents:
    return (g.complex_pair(g.full(ct.shape, 0, ct.dtype), ct),)


def _complex(node: Node, ct: Node) -> Cotangents:
    a, b = node.inputs
    return g.sum_to(g.real(ct), a.shape), g.sum_to(g.imaginary(ct), b.shape)


def _add(node: Node, ct: Node) -> Cotangents:
    a, b = node.inputs
    return g.sum_to(ct, a.shape), g.sum_to(ct, b.shape)


def _subtract(node: Node, ct: Node) -> Cotangents:
    a, b = node.inputs
    return g.sum_to(ct, a.shape), g.sum_to(g.negative(ct), b.shape)


def _multiply(node: Node, ct: Node) -> Cotangents:
    a, b = node.inputs
    return (
        g.sum_to(g.multiply(ct, g.conjugate(b)), a.shape),
        g.sum_to(g.multiply(ct, g.conjugate(a)), b.shape),
    )


def _divide(node: Node, ct: Node) -> Cotangents:
    a, b = node.inputs
    scaled = g.divide(ct, g.conjugate(b))
    return (
        g.sum_to(scaled, a.shape),
        g.sum_to(g.negative(g.multiply(scaled, g.conjugate(node))), b.shape),
    )


def _remainder(node: Node, ct: Node) -> Cotangents:
    a, b = node.inputs
    return g.sum_to(ct, a.shape), g.sum_to(
        g.negative(g.multiply(ct, g.floor_divide(a, b))), b.shape
    )


def _fmod(node: Node, ct: Node) -> Cotangents:
    a, b = node.inputs
    whole = g.trunc(g.divide(a, b))
    return g.sum_to(ct, a.shape), g.sum_to(g.negative(g.multiply(ct, whole)), b.shape)


def _power(node: Node, ct: Node) -> Cotangents:
    a, b = node.inputs
    zero = g.like(a, 0)
    slope = g.multiply(b, g.power(a, g.subtract(b, _one(b))))
    slope_a = g.where(g.equal(b, zero), zero, slope)
    vanishes = _and(g.equal(a, zero), _not_negative(b))
    slope_b = g.where(vanishes, zero, g.multiply(node, g.log(a)))
    return (
        g.sum_to(g.multiply(ct, g.conjugate(slope_a)), a.shape),
        g.sum_to(g.multiply(ct, g.conjugate(slope_b)), b.shape),
    )


def _not_negative(x: Node) -> Node:
    part = g.real(x) if x.dtype.is_complex else x
    return g.greater_equal(part, g.like(part, 0))


def _and(a: Node, b: Node) -> Node:
    return g.bitwise_and(a, b)


def _atan2(node: Node, ct: Node) -> Cotangents:
    a, b = node.inputs
    norm = g.add(_square(a), _square(b))
    flow = g.where(g.equal(norm, g.like(norm, 0)), g.like(norm, 0), g.divide(ct, norm))
    return (
        g.sum_to(g.multiply(flow, b), a.shape),
        g.sum_to(g.negative(g.multiply(flow, a)), b.shape),
    )


def _choice(first: Callable[[Node, Node], Node]) -> Callable[[Node, Node], Cotangents]:
    """The larger (smaller) operand takes the cotangent; equal operands share it."""

    def rule(node: Node, ct: Node) -> Cotangents:
        a, b = node.inputs
        zero, half = g.like(ct, 0), _scaled(ct, 0.5)
        tie = g.equal(a, b)
        to_a = g.where(tie, half, g.where(first(a, b), ct, zero))
        to_b = g.where(tie, half, g.where(first(b, a), ct, zero))
        return g.sum_to(to_a, a.shape), g.sum_to(to_b, b.shape)

    return rule


def _copysign(node: Node, ct: Node) -> Cotangents:
    a, b = node.inputs
    zero = g.like(a, 0)
    ratio = g.where(g.equal(a, zero), zero, g.divide(node, a))
    return g.sum_to(g.multiply(ct, ratio), a.shape), g.full(b.shape, 0, b.dtype)


def _nextafter(node: Node, ct: Node) -> Cotangents:
    a, b = node.inputs
    flow = g.where(g.equal(a, b), g.like(ct, 0), ct)
    return g.sum_to(flow, a.shape), g.full(b.shape, 0, b.dtype)


def _where(node: Node, ct: Node) -> Cotangents:
    condition, a, b = node.inputs
    zero = g.like(ct, 0)
    return (
        None,
        g.sum_to(g.where(condition, ct, zero), a.shape),
        g.sum_to(g.where(condition, zero, ct), b.shape),
    )


def _sum(node: Node, ct: Node) -> Cotangents:
    return (g.expand(ct, node.inputs[0].shape),)


def _prod(node: Node, ct: Node) -> Cotangents:
    """Products of all other elements, from running products on both sides (exact with zeros)."""
    x = node.inputs[0]
    dims = node.attributes[0]
    kept = [d for d in range(len(x.shape)) if d not in dims]
    moved = g.permute(x, [*kept, *dims])
    count = math.prod(x.shape[d] for d in dims)
    rows = g.reshape(moved, (*(x.shape[d] for d in kept), count))
    others = g.multiply(_products_before(rows), _flipped(_products_before(_flipped(rows))))
    back = g.reshape(others, moved.shape)
    inverse = sorted(range(len(x.shape)), key=[*kept, *dims].__getitem__)
    return (g.multiply(ct, g.conjugate(g.permute(back, inverse))),)


def _flipped(rows: Node) -> Node:
    return g.flip(rows, (len(rows.shape) - 1,))


def _products_before(rows: Node) -> Node:
    """Element i of the last dimension: the product of elements 0 … i-1."""
    dim = len(rows.shape) - 1
    count = rows.shape[dim]
    if count == 0:
        return rows
    running = g.cumulative(rows, dim, "product")
    shifted = g.narrow(running, dim, 0, count - 1)
    low = tuple(1 if d == dim else 0 for d in range(dim + 1))
    return g.pad(shifted, low, (0,) * (dim + 1), g.like(rows, 1))


def _extreme(node: Node, ct: Node) -> Cotangents:
    """Equal extremes share the cotangent evenly, as amax and amin do."""
    x = node.inputs[0]
    chosen = g.cast(g.equal(x, node), x.dtype)
    count = g.sum_dims(chosen, node.attributes[0])
    return (g.multiply(chosen, g.divide(ct, count)),)


def _matmul(node: Node, ct: Node) -> Cotangents:
    a, b = node.inputs
    return (
        g.matmul(ct, g.conjugate(g.transpose(b))),
        g.matmul(g.conjugate(g.transpose(a)), ct),
    )


def _convolution(node: Node, ct: Node) -> Cotangents:
    x, weight = node.inputs
    return (
        g.make(p.CONVOLUTION_BACKWARD_INPUT, (ct, weight), (x.shape, *node.attributes)),
        g.make(p.CONVOLUTION_BACKWARD_WEIGHT, (x, ct), (weight.shape, *node.attributes)),
    )


def _convolution_backward_input(node: Node, ct: Node) -> Cotangents:
    grad, weight = node.inputs
    settings = node.attributes[1:]
    return (
        g.make(p.CONVOLUTION, (ct, weight), settings),
        g.make(p.CONVOLUTION_BACKWARD_WEIGHT, (ct, grad), (weight.shape, *settings)),
    )


def _convolution_backward_weight(node: Node, ct: Node) -> Cotangents:
    x, grad = node.inputs
    settings = node.attributes[1:]
    return (
        g.make(p.CONVOLUTION_BACKWARD_INPUT, (grad, ct), (x.shape, *settings)),
        g.make(p.CONVOLUTION, (x, ct), settings),
    )


_TWO_OVER_SQRT_PI = 2 / math.sqrt(math.pi)


def _gauss(x: Node) -> Node:
    return _scaled(g.exp(g.negative(_square(x))), _TWO_OVER_SQRT_PI)


def _missing(name: str) -> Callable[[Node, Node], Cotangents]:
    def rule(node: Node, ct: Node) -> Cotangents:
        raise NotImplementedError(f"the derivative of {name} is not implemented")

    return rule


def _host(node: Node, ct: Node) -> Cotangents:
    raise NotImplementedError(f"the derivative of {node.attributes[0]} is not implemented")


def _output(node: Node, ct: Node) -> Cotangents:
    name = node.inputs[0].attributes[0] if node.inputs[0].op is p.HOST else "host function"
    raise NotImplementedError(f"the derivative of {name} is not implemented")


VJP_RULES: dict[p.Primitive, Callable[[Node, Node], Cotangents] | None] = {
    p.BUFFER: None,
    p.SCALAR: None,
    p.CONSTANT: None,
    p.IOTA: None,
    p.NEGATIVE: lambda node, ct: (g.negative(ct),),
    p.ABSOLUTE: _absolute,
    p.SIGN: _sign,
    p.FLOOR: _flow_zero,
    p.CEIL: _flow_zero,
    p.TRUNC: _flow_zero,
    p.ROUND: _flow_zero,
    p.EXP: _times(lambda x, y: y),
    p.EXP2: _times(lambda x, y: _scaled(y, math.log(2))),
    p.EXPM1: _times(lambda x, y: g.add(y, _one(y))),
    p.LOG: lambda node, ct: (g.divide(ct, g.conjugate(node.inputs[0])),),
    p.LOG2: lambda node, ct: (g.divide(ct, g.conjugate(_scaled(node.inputs[0], math.log(2)))),),
    p.LOG10: lambda node, ct: (g.divide(ct, g.conjugate(_scaled(node.inputs[0], math.log(10)))),),
    p.LOG1P: lambda node, ct: (g.divide(ct, g.conjugate(g.add(node.inputs[0], _one(node)))),),
    p.SQRT: lambda node, ct: (g.divide(ct, g.conjugate(_scaled(node, 2))),),
    p.RSQRT: _times(lambda x, y: _scaled(g.multiply(y, _square(y)), -0.5)),
    p.RECIPROCAL: _times(lambda x, y: g.negative(_square(y))),
    p.SIN: _times(lambda x, y: g.cos(x)),
    p.COS: _times(lambda x, y: g.negative(g.sin(x))),
    p.TAN: _times(lambda x, y: g.add(_square(y), _one(y))),
    p.ASIN: _times(lambda x, y: g.rsqrt(g.subtract(_one(x), _square(x)))),
    p.ACOS: _times(lambda x, y: g.negative(g.rsqrt(g.subtract(_one(x), _square(x))))),
    p.ATAN: _times(lambda x, y: g.reciprocal(g.add(_square(x), _one(x)))),
    p.SINH: _times(lambda x, y: g.cosh(x)),
    p.COSH: _times(lambda x, y: g.sinh(x)),
    p.TANH: _times(lambda x, y: g.subtract(_one(y), _square(y))),
    p.ASINH: _times(lambda x, y: g.rsqrt(g.add(_square(x), _one(x)))),
    p.ACOSH: _times(
        lambda x, y: g.multiply(g.rsqrt(g.subtract(x, _one(x))), g.rsqrt(g.add(x, _one(x))))
    ),
    p.ATANH: _times(lambda x, y: g.reciprocal(g.subtract(_one(x), _square(x)))),
    p.ERF: _times(lambda x, y: _gauss(x)),
    p.ERFC: _times(lambda x, y: g.negative(_gauss(x))),
    p.ERFINV: _times(lambda x, y: _scaled(g.exp(_square(y)), 1 / _TWO_OVER_SQRT_PI)),
    p.NORMAL_AREA: _times(lambda x, y: _scaled(g.normal_power(x), 1 / math.sqrt(2 * math.pi))),
    p.NORMAL_POWER: _times(lambda x, y: g.negative(g.multiply(x, y))),
    p.LGAMMA: _times(lambda x, y: g.digamma(x)),
    p.DIGAMMA: _times(lambda x, y: trigamma(x)),
    p.SIGMOID: _times(lambda x, y: g.multiply(y, g.subtract(_one(y), y))),
    p.CONJUGATE: lambda node, ct: (g.conjugate(ct),),
    p.BITWISE_NOT: None,
    p.LOGICAL_NOT: None,
    p.ISNAN: None,
    p.ISINF: None,
    p.CAST: _cast,
    p.BITCAST: None,
    p.REAL: _real,
    p.IMAGINARY: _imaginary,
    p.ADD: _add,
    p.SUBTRACT: _subtract,
    p.MULTIPLY: _multiply,
    p.DIVIDE: _divide,
    p.FLOOR_DIVIDE: None,
    p.REMAINDER: _remainder,
    p.FMOD: _fmod,
    p.POWER: _power,
    p.ATAN2: _atan2,
    p.MAXIMUM: _choice(g.greater),
    p.MINIMUM: _choice(g.less),
    p.COPYSIGN: _copysign,
    p.NEXTAFTER: _nextafter,
    p.COMPLEX: _complex,
    **{op: None for op in p.PRIMITIVES.values() if op.name.startswith(("bitwise", "shift"))},
    **{op: None for op in p.PRIMITIVES.values() if op.kind == "compare"},
    p.WHERE: _where,
    p.SUM: _sum,
    p.PROD: _prod,
    p.MAX: _extreme,
    p.MIN: _extreme,
    p.ARGMAX: None,
    p.ARGMIN: None,
    p.SORT_INDEX: None,
    p.MATMUL: _matmul,
    p.ATTENTION: attention_rule,
    p.RECURRENT: _missing("recurrent"),
    p.RECURRENT_BACKWARD: _missing("recurrent_backward"),
    p.CONVOLUTION: _convolution,
    p.CONVOLUTION_BACKWARD_INPUT: _convolution_backward_input,
    p.CONVOLUTION_BACKWARD_WEIGHT: _convolution_backward_weight,
    p.MAX_POOL_INDEX: None,
    p.HOST: _host,
    p.OUTPUT: _output,
    p.CALL: _missing("a call"),  # derivatives are found before operations become calls
    **MOVEMENT_VJP_RULES,
}
