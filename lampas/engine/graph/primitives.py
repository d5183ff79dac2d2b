"""The closed set of primitives: every graph is made of these and of nothing else.

A primitive is a name and a kind.  Its meaning stands in one row of each of four tables:
`graph.shapes.SHAPE_RULES`, `graph.reference.REFERENCE_RULES`, `derive.rules.VJP_RULES` and the
compiler's emission table.  `PRIMITIVES` lists them all; a test fails where a table lacks a row.

Attributes (the tuple that a node carries) are noted behind each primitive.
"""

from __future__ import annotations

from typing import Final, final

PRIMITIVES: Final[dict[str, Primitive]] = {}


@final
class Primitive:
    """One operation of the graph language; compared by identity, registered by name."""

    __slots__ = ("kind", "name")

    def __init__(self, name: str, kind: str) -> None:
        if name in PRIMITIVES:
            raise ValueError(f"primitive {name!r} is declared twice")
        self.name = name
        self.kind = kind
        PRIMITIVES[name] = self

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return PRIMITIVES.__getitem__, (self.name,)


# fmt: off
# Leaves
BUFFER = Primitive("buffer", "leaf")            # (layout,) or (): a realised value
SCALAR = Primitive("scalar", "leaf")            # (): a Python number, a run-time argument
CONSTANT = Primitive("constant", "leaf")        # (value, repr(value)): part of the structure
IOTA = Primitive("iota", "leaf")                # (length,): 0, 1, … length-1 as int64

# Elementwise, one operand
NEGATIVE = Primitive("negative", "unary")
ABSOLUTE = Primitive("absolute", "unary")       # complex input gives the real magnitude
SIGN = Primitive("sign", "unary")               # complex: x/|x|
FLOOR = Primitive("floor", "unary")
CEIL = Primitive("ceil", "unary")
TRUNC = Primitive("trunc", "unary")
ROUND = Primitive("round", "unary")             # half to even
EXP = Primitive("exp", "unary")
EXP2 = Primitive("exp2", "unary")
EXPM1 = Primitive("expm1", "unary")
LOG = Primitive("log", "unary")
LOG2 = Primitive("log2", "unary")
LOG10 = Primitive("log10", "unary")
LOG1P = Primitive("log1p", "unary")
SQRT = Primitive("sqrt", "unary")
RSQRT = Primitive("rsqrt", "unary")
RECIPROCAL = Primitive("reciprocal", "unary")
SIN = Primitive("sin", "unary")
COS = Primitive("cos", "unary")
TAN = Primitive("tan", "unary")
ASIN = Primitive("asin", "unary")
ACOS = Primitive("acos", "unary")
ATAN = Primitive("atan", "unary")
SINH = Primitive("sinh", "unary")
COSH = Primitive("cosh", "unary")
TANH = Primitive("tanh", "unary")
ASINH = Primitive("asinh", "unary")
ACOSH = Primitive("acosh", "unary")
ATANH = Primitive("atanh", "unary")
ERF = Primitive("erf", "unary")
ERFC = Primitive("erfc", "unary")
ERFINV = Primitive("erfinv", "unary")
NORMAL_AREA = Primitive("normal_area", "unary")  # left of x, under the density of the normal distribution
NORMAL_POWER = Primitive("normal_power", "unary")  # exp(-x²/2)
LGAMMA = Primitive("lgamma", "unary")
DIGAMMA = Primitive("digamma", "unary")
SIGMOID = Primitive("sigmoid", "unary")
CONJUGATE = Primitive("conjugate", "unary")
BITWISE_NOT = Primitive("bitwise_not", "unary")  # on bool: logical not
LOGICAL_NOT = Primitive("logical_not", "unary")  # any dtype -> bool
ISNAN = Primitive("isnan", "unary")             # -> bool
ISINF = Primitive("isinf", "unary")             # -> bool
CAST = Primitive("cast", "unary")               # (dtype,)
BITCAST = Primitive("bitcast", "unary")         # (dtype,) of the same item size
REAL = Primitive("real", "unary")               # complex -> its real part
IMAGINARY = Primitive("imaginary", "unary")     # complex -> its imaginary part

# Elementwise, two operands of one dtype, broadcasting
ADD = Primitive("add", "binary")
SUBTRACT = Primitive("subtract", "binary")
MULTIPLY = Primitive("multiply", "binary")
DIVIDE = Primitive("divide", "binary")          # floating and complex only
FLOOR_DIVIDE = Primitive("floor_divide", "binary")
REMAINDER = Primitive("remainder", "binary")    # sign of the divisor (Python)
FMOD = Primitive("fmod", "binary")              # sign of the dividend (C)
POWER = Primitive("power", "binary")
ATAN2 = Primitive("atan2", "binary")
MAXIMUM = Primitive("maximum", "binary")        # NaN wins
MINIMUM = Primitive("minimum", "binary")        # NaN wins
COPYSIGN = Primitive("copysign", "binary")
NEXTAFTER = Primitive("nextafter", "binary")
COMPLEX = Primitive("complex", "binary")        # (real, imaginary) -> complex
BITWISE_AND = Primitive("bitwise_and", "binary")
BITWISE_OR = Primitive("bitwise_or", "binary")
BITWISE_XOR = Primitive("bitwise_xor", "binary")
SHIFT_LEFT = Primitive("shift_left", "binary")
SHIFT_RIGHT = Primitive("shift_right", "binary")
EQUAL = Primitive("equal", "compare")           # comparisons -> bool
NOT_EQUAL = Primitive("not_equal", "compare")
LESS = Primitive("less", "compare")
LESS_EQUAL = Primitive("less_equal", "compare")
GREATER = Primitive("greater", "compare")
GREATER_EQUAL = Primitive("greater_equal", "compare")
WHERE = Primitive("where", "ternary")           # (bool condition, a, b)

# Reductions keep the reduced dimensions with size 1
SUM = Primitive("sum", "reduce")                # (dims,) sorted, non-negative
PROD = Primitive("prod", "reduce")              # (dims,)
MAX = Primitive("max", "reduce")                # (dims,); on bool: any
MIN = Primitive("min", "reduce")                # (dims,); on bool: all
ARGMAX = Primitive("argmax", "reduce")          # ((dim,),): first index, NaN wins; -> int64
ARGMIN = Primitive("argmin", "reduce")          # ((dim,),)

# Views: another reading of the same row-major value
RESHAPE = Primitive("reshape", "view")          # (shape,)
PERMUTE = Primitive("permute", "view")          # (dims,)
EXPAND = Primitive("expand", "view")            # (shape,): new leading dims, sizes 1 -> n
SLICE = Primitive("slice", "view")              # (starts, lengths, steps), one per dimension, steps > 0
FLIP = Primitive("flip", "view")                # (dims,)
AS_STRIDED = Primitive("as_strided", "view")    # (shape, strides, offset) in elements

# Movement
AS_STRIDED_SCATTER = Primitive("as_strided_scatter", "move")  # (shape, strides, offset); (base, value)
AS_STRIDED_ACCUMULATE = Primitive("as_strided_accumulate", "move")  # (base_shape, strides, offset); (value,): sums into zeros
PAD = Primitive("pad", "move")                  # (low, high) per dimension; (x, 0-d fill of x's dtype)
CONCATENATE = Primitive("concatenate", "move")  # (dim,)
GATHER = Primitive("gather", "move")            # (dim,); (x, index of x's rank)
SCATTER = Primitive("scatter", "move")          # (dim, "set" | "add" | "multiply" | "maximum" | "minimum"); (x, index, source)
INDEX_SELECT = Primitive("index_select", "move")  # (dim,); (x, 1-d index)
INDEX_ADD = Primitive("index_add", "move")      # (dim,); (x, 1-d index, source): x + contributions
INDEX = Primitive("index", "move")              # (dims,); (x, *indices): NumPy's advanced indexing
INDEX_PUT = Primitive("index_put", "move")      # (dims, accumulate); (x, value, *indices)
CUMULATIVE = Primitive("cumulative", "scan")    # (dim, "sum" | "product" | "maximum" | "minimum")
SORT_INDEX = Primitive("sort_index", "scan")    # (dim, descending): stable; -> int64

# Contractions and windows
MATMUL = Primitive("matmul", "contract")        # (*B, M, K) x (*B, K, N) with equal B
CONVOLUTION = Primitive("convolution", "contract")  # (stride, padding, dilation, groups); (x, weight)
CONVOLUTION_BACKWARD_INPUT = Primitive("convolution_backward_input", "contract")  # (input_shape, stride, padding, dilation, groups); (grad, weight)
CONVOLUTION_BACKWARD_WEIGHT = Primitive("convolution_backward_weight", "contract")  # (weight_shape, stride, padding, dilation, groups); (x, grad)
ATTENTION = Primitive("scaled_dot_product_attention", "contract")  # (scale, causal); (query, key, value[, bias]) of equal batches: (B, H, L, E), (B, H, S, E), (B, H, S, V)
ATTENTION_BACKWARD = Primitive("scaled_dot_product_attention_backward", "contract")  # (scale, causal); (query, key, value, gradient[, bias]) -> 1-d: dq, dk, dv
RECURRENT = Primitive("recurrent", "contract")  # ("lstm" | "gru", backwards); (projected, state[, cell], weight, bias) -> 1-d: states (T, N, H), kept (T·K, N, H)
RECURRENT_BACKWARD = Primitive("recurrent_backward", "contract")  # as recurrent; (states, kept, state[, cell], weight, gradient, last[, last cell]) -> 1-d: gates (T, N, G·H), of a GRU also those of the projected state, state[, cell]
MAX_POOL_INDEX = Primitive("max_pool_index", "contract")  # (kernel, stride, padding, dilation, output_sizes) -> int64, flat in the spatial dims

# The long tail: a named NumPy or SciPy function, possibly with several results
HOST = Primitive("host", "host")                # (name, parameters, ((shape, dtype), …) of the results)
OUTPUT = Primitive("output", "host")            # (position,) of a host node's or a call's results

# Short for many nodes: `graph.linear` writes the steps out, later stages never meet it
CALL = Primitive("call", "call")                # (recipe,): an operation's graph (`derive.recipe`)
# fmt: on
