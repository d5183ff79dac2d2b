"""Programs: runs, donated memory, host steps, the kernel cache and the profile."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lampas.engine.device.buffer import Buffer
from lampas.engine.dtype import dtype, float16, float32, float64, int64
from lampas.engine.graph import build as g
from lampas.engine.graph.node import buffer_node, scalar_node
from lampas.engine.realize import building, kernels
from lampas.engine.realize.building import build_program
from lampas.engine.realize.statistics import statistics
from lampas.engine.schedule.lower import Schedule, make_schedule
from lampas.engine.schedule.text import nests_text
from lampas.engine.settings import settings
from tests.unit.schedules import check, graph_of, leaf, leaves_of, records
from tests.unit.training_graphs import training_step


def test_another_batch_size_compiles_no_nest() -> None:
    """Products have a kernel for each height of their tiles, of which there are few."""
    check(*training_step(24, (12, 40, 40, 10), "adam"), tolerance=1e-3)
    known = set(kernels.nests)
    check(*training_step(56, (12, 40, 40, 10), "adam"), tolerance=1e-3)
    assert set(kernels.nests) == known


def test_kernels_of_a_program_are_compiled_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that are new in one call, and they compute what they did."""
    monkeypatch.setattr(kernels, "nests", {})
    monkeypatch.setattr(kernels, "products", {})
    counted: list[int] = []
    together = kernels.compile_together

    def noted(modules: Any, threads: int) -> list[int]:
        made = together(modules, threads)
        counted.append(len(made))
        return made

    monkeypatch.setattr(kernels, "compile_together", noted)
    check(*training_step(24, (12, 40, 40, 10), "adam"), tolerance=1e-3)
    assert counted == [len(kernels.nests) + len(kernels.products)]
    assert counted[0] > 4


def test_scalars_are_arguments() -> None:
    x, rate = leaf(5), scalar_node(0.5)
    program = build_program(graph_of(g.multiply(x, g.cast(rate, float32))))
    buffers, _, _ = leaves_of(x)
    for value in (0.5, -2.0):
        (result,) = program.run(buffers, [value])
        np.testing.assert_array_equal(result.array(np.float32, (5,)), x.buffer * np.float32(value))


@pytest.mark.parametrize("value", [True, 7, 0.25, 1 + 2j])
def test_scalars_of_every_kind(value: complex) -> None:
    node = scalar_node(value)
    program = build_program(graph_of(g.expand(node, (3,)), g.expand(scalar_node(1.5), (2,))))
    first, second = program.run([], [value, 1.5])
    assert first.array(node.dtype.numpy, (3,)).tolist() == [value] * 3
    assert second.array(np.float64, (2,)).tolist() == [1.5, 1.5]


def test_a_donated_leaf_is_overwritten() -> None:
    p, d = leaf(50), leaf(50, seed=1)
    program = build_program(graph_of(g.subtract(p, d)))
    buffers, _, _ = leaves_of(p, d)
    assert set(program.donations) == {0}
    expected = p.buffer - d.buffer
    (kept,) = program.run(buffers)
    assert kept is not buffers[program.donations[0]]
    position = program.donations[0]
    (result,) = program.run(buffers, donated={position})
    assert result is buffers[position]
    np.testing.assert_array_equal(result.array(np.float32, (50,)), expected)


def test_a_leaf_read_in_another_order_is_not_donated() -> None:
    x = leaf(6, 6)
    program = build_program(graph_of(g.add(x, g.transpose(x))))
    assert not program.donations


def test_a_leaf_that_a_product_reads_is_not_donated() -> None:
    x, y = leaf(6, 6), leaf(6, 6, seed=1)
    program = build_program(graph_of(g.add(g.matmul(x, y), x)))
    assert not program.donations
    check(g.add(g.matmul(x, y), x))


def test_deep_products_do_not_overwrite_what_their_epilogue_reads() -> None:
    """With a depth of several blocks C holds partial sums before the epilogue runs."""
    x, y, z = leaf(6, 1300), leaf(1300, 8, seed=1), leaf(6, 8, seed=2)
    node = g.add(g.matmul(x, y), z)
    program = build_program(graph_of(node))
    buffers, _, _ = leaves_of(node)
    expected = x.buffer @ y.buffer + z.buffer
    (result,) = program.run(buffers, donated=set(program.donations.values()))
    np.testing.assert_array_equal(result.array(np.float32, (6, 8)), expected)


def test_training_in_place_equals_training_in_fresh_memory() -> None:
    nodes = training_step(8, (12, 16, 10), "adam")
    program = build_program(graph_of(*nodes))
    assert len(program.donations) == len(nodes) - 1
    buffers, scalars, arrays = leaves_of(*nodes)
    fresh = [b.array(np.uint8, (b.nbytes,)).tobytes() for b in program.run(buffers, scalars)]
    copies = [Buffer.from_array(a.copy()) for a in arrays if a.ndim]
    donated = program.run(copies, scalars, donated=set(program.donations.values()))
    assert [b.array(np.uint8, (b.nbytes,)).tobytes() for b in donated] == fresh


def test_host_steps_split_the_program() -> None:
    x = leaf(6, 5)
    order = g.sort_index(g.exp(x), 1)
    names = records(check(g.gather(x, 1, order), g.exp(x)))
    assert names.count("host sort_index") == 1


def test_errors_of_host_steps_pass_through() -> None:
    x, index = leaf(3, 3), buffer_node(np.array([5]), (1,), int64)
    node = g.index_put(x, (0, 1), [index, index], leaf(1))
    program = build_program(graph_of(node))
    buffers, _, _ = leaves_of(node)
    with pytest.raises(IndexError):
        program.run(buffers)


def test_outputs_that_are_leaves_or_the_same_value() -> None:
    x = leaf(4, 3)
    y = g.exp(x)
    check(x, g.transpose(x), y, g.reshape(y, (12,)), y, g.constant(2.0, float64))


def test_a_large_sum_is_cut_into_blocks() -> None:
    x = buffer_node(np.ones((300, 400), np.float32), (300, 400), float32)
    total = g.sum_dims(x, [0, 1])
    program = check(g.multiply(total, g.constant(0.5, float32)), g.exp(x))
    assert len(records(program)) == 2
    assert program.schedule.scratch


def test_runs_from_several_threads_at_once() -> None:
    x = leaf(64, 64)
    program = build_program(graph_of(g.matmul(g.exp(x), x)))
    buffers, _, _ = leaves_of(x)
    expected = program.run(buffers)[0].array(np.float32, (64, 64)).copy()
    wrong: list[int] = []

    def work() -> None:
        for _ in range(20):
            found = program.run(buffers)[0].array(np.float32, (64, 64))
            if not np.array_equal(found, expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_profile_and_debug_output(capsys: pytest.CaptureFixture[str]) -> None:
    x = leaf(64, 64)
    node = g.exp(g.matmul(x, x))
    buffers, _, _ = leaves_of(node)
    with settings.override(debug=4):
        program = build_program(graph_of(node))
        program.run(buffers)
    text = capsys.readouterr().err
    for word in ("graph", "schedule", "memory", "product", "GFLOP/s"):
        assert word in text
    _, rows = program.profile(buffers)
    assert rows[-1].cost.operations == 2 * 64**3


def test_statistics_count() -> None:
    statistics.reset()
    check(g.sort_index(g.exp(leaf(5)), 0))
    assert (statistics.programs, statistics.runs, statistics.host_steps) == (1, 1, 1)
    assert statistics.build_ms > 0


def test_texts_are_remembered(tmp_path: Path) -> None:
    """A second process would not write a kernel's text again."""
    with settings.override(cache_dir=str(tmp_path / "objects")):
        written: list[int] = []

        def write() -> tuple[str, int, str]:
            written.append(1)
            return "name", 7, "line\nline\n"

        first = kernels.remembered("structure", write)
        assert kernels.remembered("structure", write) == first == ("name", 7, "line\nline\n")
        assert len(written) == 1
        kernels.remembered("other structure", write)
        assert len(written) == 2


@pytest.mark.parametrize("bad", [5, -6, 100])
def test_an_index_out_of_range_raises_and_touches_nothing(bad: int) -> None:
    x = leaf(5, 3)
    index = buffer_node(np.array([0, bad, 4]), (3,), int64)
    spread = g.expand(g.reshape(index, (3, 1)), (3, 3))
    cases = [
        (g.index_select(x, 0, index), IndexError, "index out of range"),
        (g.gather(x, 0, spread), RuntimeError, "out of bounds for dimension 0 with size 5"),
        (g.index(x, (0,), [index]), IndexError, "out of bounds for dimension 0 with size 5"),
    ]
    for node, kind, phrase in cases:
        node = g.subtract(g.sum_dims(node, [0]), g.exp(leaf(1, 3)))
        program = build_program(graph_of(node))
        buffers, _, _ = leaves_of(node)
        with pytest.raises(kind, match=phrase):
            program.run(buffers)
        assert all(guard.early for guard in program.schedule.guards)


def test_a_computed_index_is_checked_too() -> None:
    x, index = leaf(5, 3), leaf(4, kind=int64, seed=3)
    squares = g.index_select(x, 0, g.multiply(index, index))
    program = build_program(graph_of(squares))
    buffers, _, _ = leaves_of(squares)
    assert index.buffer.max() > 2
    with pytest.raises(IndexError, match="index_select"):
        program.run(buffers)
    ordered = g.index_select(x, 0, g.reshape(g.argmax(g.exp(leaf(4, 5)), 1), (4,)))
    check(ordered)


def test_negative_indices_count_from_the_end() -> None:
    index = buffer_node(np.array([-1, -5, 2]), (3,), int64)
    check(g.index_select(leaf(5, 3), 0, index), g.index(leaf(5, 3), (0,), [index]))


@pytest.mark.parametrize("kind", [float32, float64, float16, int64])
@pytest.mark.parametrize("columns", [1, 3, 70])
def test_scattered_writes_and_scans_are_native(kind: dtype, columns: int) -> None:
    x, source = leaf(5, columns, kind=kind), leaf(9, columns, kind=kind, seed=1)
    index = leaf(9, kind=int64, seed=2)
    spread = g.expand(g.reshape(index, (9, 1)), (9, columns))
    nodes = [
        g.index_add(x, 0, index, source),
        g.scatter(x, 0, spread, source, "add"),
        g.scatter(x, 0, spread, source, "maximum"),
        g.index_put(x, (0,), [index], source, True),
        g.index_put(g.exp(g.cast(x, float32)), (0,), [index], g.constant(0.0, float32)),
        g.cumulative(source, 0, "sum"),
        g.cumulative(source, 1, "maximum"),
    ]
    assert not [name for name in records(check(*nodes)) if name.startswith("host")]


def test_a_scattered_index_out_of_range_raises() -> None:
    index = buffer_node(np.array([0, 7]), (2,), int64)
    cases = [
        (g.index_add(leaf(5, 3), 0, index, leaf(2, 3)), IndexError),
        (g.scatter(leaf(5), 0, index, leaf(2), "add"), RuntimeError),
    ]
    for node, kind in cases:
        program = build_program(graph_of(node))
        buffers, _, _ = leaves_of(node)
        with pytest.raises(kind, match="dimension 0 with size 5"):
            program.run(buffers)


def test_indices_of_known_range_need_no_guard() -> None:
    x = leaf(6, 3)
    count = g.iota(6)
    known = [
        g.flip(count, (0,)),
        g.remainder(g.multiply(count, g.constant(7, int64)), g.constant(6, int64)),
        g.minimum(g.add(count, g.constant(2, int64)), g.constant(5, int64)),
        g.reshape(g.argmax(leaf(4, 6), 1), (4,)),
    ]
    for index in known:
        assert not check(g.index_select(x, 0, index)).schedule.guards
    beyond = g.add(count, g.constant(1, int64))
    program = build_program(graph_of(g.index_select(x, 0, beyond)))
    assert len(program.schedule.guards) == 1


def test_a_schedule_goes_with_its_making_and_comes_back_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A program outlives its schedule, which is many times as large; whoever looks sees it made again."""
    texts: list[str] = []

    def noting(*arguments: Any) -> Schedule:
        schedule = make_schedule(*arguments)
        texts.append(nests_text(schedule))
        return schedule

    monkeypatch.setattr(building, "make_schedule", noting)
    x = leaf(40, 30)
    gc.collect()
    before = sum(type(each) is Schedule for each in gc.get_objects())
    program = build_program(graph_of(g.divide(x, g.sum_dims(g.exp(x), [1]))))
    gc.collect()
    assert sum(type(each) is Schedule for each in gc.get_objects()) == before
    assert nests_text(program.schedule) == texts[0]
