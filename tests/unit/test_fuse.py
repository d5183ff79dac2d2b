"""Fusion: which entries share a kernel, and which must not."""

from __future__ import annotations

import numpy as np
import pytest

from lampas.engine.dtype import bfloat16, bool_, complex64, dtype, float32, int64
from lampas.engine.errors import VerificationError
from lampas.engine.graph import build as g
from lampas.engine.graph.node import buffer_node, scalar_node
from lampas.engine.schedule.order import Order
from lampas.engine.schedule.reading import Reading, plain_reading, reshape_reading
from lampas.engine.schedule.steps import Region
from lampas.engine.schedule.text import steps_text
from tests.unit.schedules import check, leaf, records, steps_of
from tests.unit.training_graphs import training_step


def softmax(x: object) -> object:
    e = g.exp(g.subtract(x, g.max_dims(x, [1])))  # type: ignore[arg-type]
    return g.divide(e, g.sum_dims(e, [1]))


def test_softmax_is_one_kernel() -> None:
    assert len(records(check(softmax(leaf(6, 10))))) == 1


def test_layer_norm_is_one_kernel() -> None:
    x, weight, bias = leaf(6, 10), leaf(10, seed=1), leaf(10, seed=2)
    tenth = g.constant(0.1, float32)
    away = g.subtract(x, g.multiply(g.sum_dims(x, [1]), tenth))
    variance = g.multiply(g.sum_dims(g.multiply(away, away), [1]), tenth)
    scaled = g.multiply(away, g.rsqrt(g.add(variance, g.constant(1e-5, float32))))
    node = g.add(g.multiply(scaled, weight), bias)
    assert len(records(check(node))) == 1


def test_reduction_without_kept_dimension_follows_its_reshape() -> None:
    x, y = leaf(6, 10), leaf(6, seed=1)
    total = g.reshape(g.sum_dims(g.exp(x), [1]), (6,))
    assert len(records(check(g.add(y, total)))) == 1


def test_column_sum_joins_its_producer_and_its_consumer() -> None:
    x, mask, bias = leaf(6, 10), leaf(6, 10, seed=1), leaf(10, seed=2)
    masked = g.multiply(x, mask)
    new = g.subtract(bias, g.sum_to(masked, (10,)))
    assert len(records(check(masked, new))) == 1


def test_optimizer_update_is_one_kernel_with_three_outputs() -> None:
    p, d, m, v = (leaf(40, seed=n) for n in range(4))
    rate = g.cast(scalar_node(0.1), float32)
    new_m = g.add(g.multiply(m, g.constant(0.9, float32)), d)
    new_v = g.add(g.multiply(v, g.constant(0.99, float32)), g.multiply(d, d))
    new_p = g.subtract(p, g.multiply(rate, g.divide(new_m, g.add(g.sqrt(new_v), rate))))
    assert len(records(check(new_p, new_m, new_v))) == 1


def test_siblings_that_share_an_input_are_merged() -> None:
    x = leaf(50)
    assert len(records(check(g.exp(x), g.sin(x)))) == 1
    assert len(records(check(g.exp(x), g.sin(leaf(50, seed=1))))) == 2


def test_a_ring_is_never_closed() -> None:
    x = leaf(6, 10)
    first = g.exp(x)
    across = g.matmul(first, g.transpose(first))
    node = g.add(first, g.sum_dims(g.expand(g.reshape(across, (1, 36)), (10, 36)), [0, 1]))
    check(node)


def test_bias_and_activation_run_in_the_product() -> None:
    x, weight, bias = leaf(6, 10), leaf(4, 10, seed=1), leaf(4, seed=2)
    node = g.maximum(g.add(g.matmul(x, g.transpose(weight)), bias), g.constant(0.0, float32))
    text = steps_of(node)
    assert text.count("product") == 1
    assert text.count("region") == 0
    check(node)


def test_transposed_operands_are_not_copied() -> None:
    a, b = leaf(10, 6), leaf(4, 10, seed=1)
    text = steps_of(g.matmul(g.transpose(a), g.transpose(b)))
    assert text == "schedule\n  product %4 -> %4\n"


def test_a_product_needed_twice_is_stored_beside_its_epilogue() -> None:
    x, weight = leaf(6, 10), leaf(10, 4, seed=1)
    product = g.matmul(x, weight)
    check(product, g.exp(product), g.sum_dims(product, [0]))


def test_cheap_producers_are_computed_again() -> None:
    """The mask of a relu is read from the saved output, not stored."""
    saved, flow = leaf(6, 10), leaf(6, 10, seed=1)
    mask = g.greater(saved, g.constant(0.0, float32))
    node = g.where(mask, flow, g.constant(0.0, float32))
    assert steps_of(node).count("region") == 1
    check(node)


def test_what_is_centred_by_columns_is_computed_again() -> None:
    """Batch norm stores its result alone: who wants the centred or the normalised values reads the input."""
    x, scale, flow = leaf(64, 8), leaf(8, seed=1), leaf(64, 8, seed=2)
    part = g.constant(1 / 64, float32)
    away = g.subtract(x, g.multiply(g.sum_dims(x, [0]), part))
    variance = g.multiply(g.sum_dims(g.multiply(away, away), [0]), part)
    normal = g.multiply(away, g.rsqrt(g.add(variance, g.constant(1e-5, float32))))
    result = g.maximum(g.multiply(normal, scale), g.constant(0.0, float32))
    gradient = g.sum_dims(g.multiply(flow, normal), [0])
    program = check(result, gradient)
    lines = steps_text(program.schedule.steps, program.schedule.graph).splitlines()
    stored = [number for line in lines for number in line.partition("-> ")[2].split()]
    entries = program.schedule.graph.entries
    assert sum(entries[int(number[1:])].shape == (64, 8) for number in stored) == 1


def test_unfused_every_entry_is_its_own_step() -> None:
    assert steps_of(softmax(leaf(6, 10)), fused=False).count("region") == 5


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0,)])
def test_empty_values(shape: tuple[int, ...]) -> None:
    x = leaf(*shape)
    dims = list(range(len(shape)))
    check(g.exp(x), g.sum_dims(x, dims), g.add(g.max_dims(x, dims), g.constant(1.0, float32)))


def test_half_types_are_rounded_after_each_operation() -> None:
    x = leaf(33, kind=bfloat16)
    third = g.constant(0.3, bfloat16)
    node = g.add(g.multiply(x, third), g.multiply(g.add(x, third), third))
    check(node, tolerance=0)


def test_complex_numbers_run_on_the_host() -> None:
    array = (np.arange(6) * (1 + 2j)).astype(np.complex64)
    x = buffer_node(array, (6,), complex64)
    names = records(check(g.absolute(g.multiply(x, x)), tolerance=1e-4))
    assert names == ["host multiply", "host absolute"]


def test_picking_concatenating_and_padding_are_native() -> None:
    x, index = leaf(5, 3), leaf(4, kind=int64, seed=3)
    nodes = (
        g.index_select(x, 0, index),
        g.concatenate([x, g.exp(x)], 1),
        g.pad(x, (1, 0), (2, 1), g.constant(7.0, float32)),
        g.as_strided_scatter(x, leaf(2, seed=1), (2,), (3,), 1),
    )
    assert not [name for name in records(check(*nodes)) if name.startswith("host")]


@pytest.mark.parametrize("rows", [3, 6])
def test_picking_by_what_is_made_of_the_picked(rows: int) -> None:
    """The memory that is picked from and the index's own operand are the same path, and both count."""
    x = leaf(6, 3, kind=int64)
    index = g.add(g.slice_dims(x, (0, 0), (rows, 3), (1, 1)), g.constant(1, int64))
    picked = g.gather(x, 0, index)
    check(picked, g.sum_dims(picked, [1]), g.add(index, index))


def test_strided_write_takes_over_a_dying_base() -> None:
    x, value = leaf(5, 3), leaf(2, seed=1)
    base = g.exp(x)
    node = g.sum_dims(g.as_strided_scatter(base, value, (2,), (3,), 1), [0])
    program = check(node)
    assert len(program.schedule.takes_over) == 1


def test_training_step_kernels() -> None:
    nodes = training_step(8, (12, 16, 16, 10), "adam")
    program = check(*nodes, tolerance=1e-3)
    steps = program.schedule.steps
    assert len(steps) <= 16
    assert sum(isinstance(step, Region) for step in steps) <= 8


def test_order_refuses_rings() -> None:
    order = Order()
    first = order.add(Region((4,)), set())
    second = order.add(Region((4,)), {first})
    third = order.add(Region((4,)), {first, second})
    assert order.can_merge(first, second)
    assert not order.can_merge(first, third)
    assert not order.can_follow(first, {third})
    order.merge(first, second, Region((4,)))
    assert order.can_merge(first, third)


def test_readings() -> None:
    columns = Reading((3, 2), (1, 3))
    assert reshape_reading(columns, (6,)) is None
    assert reshape_reading(plain_reading((3, 2)), (6,)) == plain_reading((6,))
    assert Reading((3, 2), (-1, 3), 2).reach == 6
    assert not columns.is_plain


def test_verifier_finds_a_value_read_too_early() -> None:
    program = check(g.sum_dims(g.matmul(leaf(4, 4), leaf(4, 4, seed=1)), [0]))
    schedule = program.schedule
    schedule.steps.reverse()
    from lampas.engine.schedule.lower import verify_order

    with pytest.raises(VerificationError, match="before it is written"):
        verify_order(schedule)


def test_bool_reductions() -> None:
    x = leaf(6, 10, kind=bool_)
    check(g.max_dims(x, [1]), g.min_dims(x, [0]))


@pytest.mark.parametrize("size", [4, 16, 64])
@pytest.mark.parametrize("kept", [False, True])
def test_a_product_does_not_compute_its_own_factors(size: int, kept: bool) -> None:
    """A gate, tanh(y·w)∘y: what makes y must run before the product, though the epilogue could make it too."""
    x, w = leaf(size, size), leaf(size, size, seed=1)
    y = g.add(g.multiply(g.exp(x), g.like(x, 1.5)), g.like(x, 0.1))
    gated = g.multiply(g.tanh(g.matmul(y, w)), y)
    check(*([gated, y] if kept else [gated]), tolerance=1e-4)
    squared = g.multiply(g.tanh(g.matmul(y, y)), y)
    check(*([squared, y] if kept else [squared]), tolerance=1e-4)


@pytest.mark.parametrize("shape", [(100_003,), (30_011, 3), (3, 30_011)], ids=str)
@pytest.mark.parametrize("kind", [float32, bfloat16, int64], ids=lambda kind: kind.name)
def test_much_is_reduced_to_little_in_blocks(kind: dtype, shape: tuple[int, ...]) -> None:
    """Two kernels, partial results between them; a maximum beside the sum, and what follows it."""
    x = leaf(*shape, kind=kind)
    longest = (shape.index(max(shape)),)
    total, largest = g.sum_dims(x, longest), g.max_dims(x, longest)
    program = check(total, g.add(largest, largest), tolerance=1e-2)
    nests = [call for calls in program.schedule.calls for call in calls]
    assert [call.nest.blocked for call in nests] == [True, False]


@pytest.mark.parametrize("shape", [(1000, 5000), (300, 16000)])
def test_partial_results_of_wide_columns_are_few(shape: tuple[int, int]) -> None:
    """They are written and read again: blocks of two rows would move twice what is summed up."""
    schedule = check(g.sum_dims(leaf(*shape), (0,)), tolerance=1e-4).schedule
    assert 0 < sum(schedule.scratch.values()) <= shape[0] * shape[1] * 4 // 12


@pytest.mark.parametrize("shape", [(8192, 130), (1030, 1030)])
def test_wide_columns_in_far_memory_are_streamed(shape: tuple[int, int]) -> None:
    x, weight = leaf(*shape), leaf(shape[1])
    program = check(g.sum_dims(g.multiply(x, weight), (0,)), g.max_dims(x, (0,)), tolerance=1e-4)
    assert any(call.nest.streamed for calls in program.schedule.calls for call in calls)
