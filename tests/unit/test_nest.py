"""The loop language itself: building, text, verification, dimensions, integers."""

from __future__ import annotations

import numpy as np
import pytest

from lampas.engine.dtype import float32, float64, int64
from lampas.engine.loops.construction import NestBuilder
from lampas.engine.loops.dimensions import collapse
from lampas.engine.loops.interpretation import interpret
from lampas.engine.loops.nest import (
    BROADCAST,
    CONTIGUOUS,
    REVERSED,
    STRIDED,
    Instruction,
    Nest,
    Operand,
)
from lampas.engine.loops.signature import Signature
from lampas.engine.loops.verification import NestError, verify
from tests.unit.nests import reduction, simple

INPUT = Operand(float32, "input", (CONTIGUOUS,))
OUTPUT = Operand(float32, "output", (CONTIGUOUS,))
LOAD = Instruction("load", (), float32, 0)


def softmax() -> Nest:
    nest = NestBuilder(1, 1)
    value = nest.load(nest.operand(float32, "input", (STRIDED, CONTIGUOUS)))
    power = nest.apply("exp", nest.apply("subtract", value, nest.reduce("max", value)))
    result = nest.apply("divide", power, nest.reduce("sum", power))
    nest.store(nest.operand(float32, "output", (STRIDED, CONTIGUOUS)), result)
    return nest.build()


def test_text_of_softmax() -> None:
    assert str(softmax()).splitlines() == [
        "nest kept 1 reduced 1 row",
        "  in  a float32[s | 1]",
        "  out b float32[s | 1]",
        "  %0 = load a                          element float32",
        "  %1 = reduce max %0                   row     float32",
        "  %2 = subtract %0 %1                  element float32",
        "  %3 = exp %2                          element float32",
        "  %4 = reduce sum %3                   row     float32",
        "  %5 = divide %3 %4                    element float32",
        "  store b %5",
    ]


def test_depths_count_the_passes_before_a_value() -> None:
    assert softmax().depths == (0, 1, 1, 1, 2, 2, 2)


def test_equal_nests_are_equal_and_unequal_ones_are_not() -> None:
    assert softmax() == softmax()
    assert hash(softmax()) == hash(softmax())
    assert simple("exp", [float32]) != simple("log", [float32])
    assert simple("exp", [float32]) != simple("exp", [float64])


@pytest.mark.parametrize(("left", "right"), [(1, 1.0), (1, True), (0.0, -0.0)])
def test_constants_of_different_spelling_are_different(left: float, right: float) -> None:
    builder = NestBuilder(1)
    assert builder.constant(left, float32) != builder.constant(right, float32)


def test_the_builder_merges_equal_instructions() -> None:
    builder = NestBuilder(1)
    operand = builder.operand(float32, "input", (CONTIGUOUS,))
    assert builder.load(operand) == builder.load(operand)
    assert builder.cast(builder.load(operand), float32) == builder.load(operand)


@pytest.mark.parametrize(
    ("classes", "mode"),
    [
        ((STRIDED, CONTIGUOUS), "row"),
        ((CONTIGUOUS, STRIDED), "column"),
        ((STRIDED, STRIDED), "row"),
    ],
)
def test_lanes_run_where_memory_does(classes: tuple[int, int], mode: str) -> None:
    nest = NestBuilder(1, 1)
    value = nest.reduce("sum", nest.load(nest.operand(float32, "input", classes)))
    nest.store(nest.operand(float32, "output", (CONTIGUOUS, BROADCAST)), value)
    assert nest.build().mode == mode


# fmt: off
BROKEN = {
    "at least one dimension": Nest(0, 0, (), ()),
    "stride classes": Nest(2, 0, (INPUT,), (LOAD,)),
    "does nothing": Nest(1, 0, (INPUT,), (LOAD,)),
    "does not stand before": Nest(1, 0, (INPUT,), (LOAD, Instruction("exp", (1,), float32))),
    "no such operation": Nest(1, 0, (INPUT,), (LOAD, Instruction("sine", (0,), float32))),
    "takes 2 arguments": Nest(1, 0, (INPUT,), (LOAD, Instruction("add", (0,), float32))),
    "no such operand": Nest(1, 0, (INPUT,), (Instruction("load", (), float32, 3),)),
    "the operand holds": Nest(1, 0, (INPUT,), (Instruction("load", (), int64, 0),)),
    "reads an output": Nest(1, 0, (OUTPUT,), (LOAD,)),
    "writes an input": Nest(1, 0, (INPUT,), (LOAD, Instruction("store", (0,), float32, 0))),
    "no reduced dimension": Nest(1, 0, (INPUT,), (LOAD, Instruction("reduce", (0,), float32, "sum"))),
    "no such reduction": Nest(0, 1, (INPUT,), (LOAD, Instruction("reduce", (0,), float32, "mean"))),
    "no such dimension": Nest(1, 0, (INPUT,), (Instruction("index", (), int64, 1),)),
    "yields bool": Nest(1, 0, (INPUT,), (LOAD, Instruction("less", (0, 0), float32))),
    "yields float32": Nest(1, 0, (INPUT,), (LOAD, Instruction("exp", (0,), float64))),
    "needs a floating point dtype": Nest(
        1, 0, (), (Instruction("constant", (), int64, 1), Instruction("exp", (0,), int64))),
    "needs an integer or bool dtype": Nest(1, 0, (INPUT,), (LOAD, Instruction("bitwise_not", (0,), float32))),
    "item sizes differ": Nest(1, 0, (INPUT,), (LOAD, Instruction("bitcast", (0,), int64))),
    "needs a bool and two values": Nest(1, 0, (INPUT,), (LOAD, Instruction("where", (0, 0, 0), float32))),
    "dtypes differ": Nest(1, 0, (INPUT,), (
        LOAD, Instruction("constant", (), float64, 1.0), Instruction("add", (0, 1), float32))),
    "cannot be stored once a row": Nest(0, 1, (INPUT, Operand(float32, "output", (BROADCAST,))), (
        LOAD, Instruction("store", (0,), float32, 1))),
    "needs an int64 offset": Nest(1, 0, (INPUT,), (LOAD, Instruction("gather", (0,), float32, 0))),
}
# fmt: on


@pytest.mark.parametrize("words", BROKEN)
def test_a_broken_nest_is_refused(words: str) -> None:
    with pytest.raises(NestError, match=words):
        verify(BROKEN[words])


def test_contiguous_dimensions_become_one() -> None:
    found = collapse(3, (4, 5, 6), [(30, 6, 1), (30, 6, 1)])
    assert (found.sizes, found.strides, found.groups) == ((120,), ((1,), (1,)), ((0, 1, 2),))
    assert found.classes == ((CONTIGUOUS,), (CONTIGUOUS,))


def test_broadcast_operands_keep_dimensions_apart() -> None:
    found = collapse(2, (64, 512), [(512, 1), (512, 1), (0, 1)])
    assert found.sizes == (64, 512)
    assert found.classes[2] == (BROADCAST, CONTIGUOUS)


def test_dimensions_are_sorted_by_the_first_operand() -> None:
    found = collapse(2, (3, 7), [(1, 3), (7, 1)])
    assert (found.sizes, found.strides) == ((7, 3), ((3, 1), (1, 7)))


def test_kept_and_reduced_dimensions_are_not_mixed() -> None:
    found = collapse(1, (8, 4, 5), [(1, 0, 0), (20, 5, 1)])
    assert (found.kept, found.sizes, found.groups) == (1, (8, 20), ((0,), (1, 2)))


def test_dimensions_of_size_one_are_dropped() -> None:
    assert collapse(3, (1, 6, 1), [(6, 1, 1)]).sizes == (6,)
    assert collapse(2, (1, 1), [(1, 1)]).strides == ((0,),)


def test_a_reduced_dimension_always_remains() -> None:
    found = collapse(1, (5, 1), [(1, 0), (1, 1)])
    assert (found.kept, found.sizes, found.strides) == (1, (5, 1), ((1, 0), (1, 1)))


def test_fixed_dimensions_stay_alone() -> None:
    found = collapse(3, (4, 1, 6), [(6, 6, 1)], fixed=(1, 2))
    assert found.groups == ((0,), (1,), (2,))


def test_short_rows_lie_side_by_side() -> None:
    short, long = (collapse(1, (100, n), [(n, 1), (n, 1)]) for n in (5, 8))
    assert (short.narrow, long.narrow) == (True, False)
    assert not collapse(1, (5, 5), [(5, 1)]).narrow
    assert not collapse(0, (5,), [(1,)]).narrow


def test_units_of_a_map_are_no_short_rows() -> None:
    strides = [(400, 4, 1), (100, 2, 1)]
    assert collapse(3, (9, 100, 4), strides).sizes == (9, 4, 100)
    assert collapse(3, (9, 7, 4), [(28, 4, 1), (50, 2, 1)]).sizes == (9, 7, 4)
    assert collapse(3, (9, 100, 8), [(800, 8, 1), (100, 2, 1)]).sizes == (9, 100, 8)


def test_a_row_read_backwards_has_a_class_of_its_own() -> None:
    found = collapse(2, (5, 9), [(9, 1), (-9, -1)])
    assert found.classes == ((CONTIGUOUS,), (REVERSED,))
    found = collapse(2, (5, 9), [(9, 1), (9, -1)])
    assert found.classes == ((STRIDED, CONTIGUOUS), (STRIDED, REVERSED))


def test_lanes_run_along_the_longer_of_the_reduced_dimensions() -> None:
    strides = [(0, 0), (3, 1), (1, 30)]
    assert collapse(0, (30, 3), strides).groups == ((1,), (0,))
    assert collapse(0, (30, 3), strides, ordered=True).groups == ((0,), (1,))


def test_ordered_reductions_keep_their_order() -> None:
    strides = [(0, 0), (1, 4)]
    assert collapse(0, (4, 5), strides).groups == ((1, 0),)
    assert collapse(0, (4, 5), strides, ordered=True).groups == ((0,), (1,))


def test_integers_are_sizes_then_general_strides() -> None:
    nest = reduction("sum", float32, (STRIDED,), (STRIDED, CONTIGUOUS))
    signature = Signature(nest, 0)
    assert signature.integers((2, 3, 4), [(12, 4, 1), (5, 0, 0)]) == [2, 3, 4, 12, 4, 5]


def test_units_are_rows_or_stretches() -> None:
    rows = Signature(reduction("sum", float32, (STRIDED,), (CONTIGUOUS,)), 0)
    assert (rows.extent((7, 100)), rows.grain((7, 100)), rows.grain((7, 100000))) == (7, 163, 1)
    stretches = Signature(simple("exp", [float32]), 4096)
    assert [stretches.extent((n,)) for n in (0, 1, 4096, 4097)] == [0, 1, 1, 2]


def test_interpreter_runs_softmax() -> None:
    source = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    target = np.zeros_like(source)
    interpret(softmax(), [source.ravel(), target.ravel()], (3, 5), [(5, 1), (5, 1)])
    power = np.exp(source - source.max(1, keepdims=True))
    np.testing.assert_allclose(target, power / power.sum(1, keepdims=True), rtol=1e-6)


def test_costly_functions_make_smaller_grains() -> None:
    light, costly = (Signature(simple(op, [float32]), 4096) for op in ("negative", "exp"))
    assert (light.grain((10**6,)), costly.grain((10**6,))) == (4, 2)
