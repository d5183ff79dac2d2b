"""Programs and the thread pool: order, chunks, threads, forks, concurrent callers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy
import pytest

import lampas
from lampas.engine.device import pool
from lampas.engine.device.launch import Program, Record, chunks
from lampas.engine.device.pool import (
    cgroup_quota,
    current_pool,
    default_threads,
    get_num_threads,
    granted_threads,
    set_num_threads,
)
from lampas.engine.llvm.compiler import compile_functions
from lampas.engine.llvm.text import Builder, Module
from lampas.engine.realize import realize
from lampas.engine.settings import settings

PARAMETERS = [
    ("ptr", "operands"),
    ("ptr", "integers"),
    ("i64", "begin"),
    ("i64", "end"),
    ("i64", "worker"),
]
LONG = 10_000_000  # an estimate that makes a record parallel


def kernel(module: Module, name: str) -> tuple[Builder, list]:
    b = module.function(name, PARAMETERS)
    return b, b.arguments


@pytest.fixture(scope="module")
def kernels() -> dict[str, int]:
    """add: y[i] += x[i] + integer; who: y[i] = worker; count: y[begin] = end - begin."""
    module = Module()
    b, (operands, integers, begin, end, worker) = kernel(module, "add")
    x, y = b.load_element("ptr", operands, 0), b.load_element("ptr", operands, 1)
    with b.loop(begin, end) as i:
        place = b.element_pointer(y, i, "i64")
        more = b.add(b.load_element("i64", x, i), b.load_element("i64", integers, 0))
        b.store(b.add(b.load("i64", place), more), place)
    b.ret()
    b, (operands, integers, begin, end, worker) = kernel(module, "who")
    with b.loop(begin, end) as i:
        b.store(worker, b.element_pointer(b.load_element("ptr", operands, 0), i, "i64"))
    b.ret()
    b, (operands, integers, begin, end, worker) = kernel(module, "count")
    b.store(
        b.subtract(end, begin), b.element_pointer(b.load_element("ptr", operands, 0), begin, "i64")
    )
    b.ret()
    return compile_functions(module, ["add", "who", "count"])


@pytest.fixture(autouse=True)
def two_threads():
    before = get_num_threads()
    set_num_threads(2)
    yield
    set_num_threads(before)


def address(array: numpy.ndarray) -> int:
    return array.__array_interface__["data"][0]


def adding(kernels: dict[str, int], size: int, times: int, work: int) -> Program:
    record = Record(kernels["add"], ((0, 0), (1, 0)), (1,), size, 1, work, "add")
    return Program([record] * times, 2)


@pytest.mark.parametrize("work", [0, LONG])
def test_records_run_in_order(kernels: dict[str, int], work: int) -> None:
    x, y = numpy.arange(1000), numpy.zeros(1000, numpy.int64)
    adding(kernels, 1000, 50, work).run([address(x), address(y)])
    assert (y == 50 * (x + 1)).all()


def test_offsets_are_bytes(kernels: dict[str, int]) -> None:
    x, y = numpy.arange(10), numpy.zeros(10, numpy.int64)
    record = Record(kernels["add"], ((0, 16), (1, 40)), (0,), 5, 1, 0)
    Program([record], 2).run([address(x), address(y)])
    assert y.tolist() == [0] * 5 + [2, 3, 4, 5, 6]


def test_empty_records_are_skipped(kernels: dict[str, int]) -> None:
    program = Program([Record(kernels["add"], ((0, 0), (1, 0)), (0,), 0)], 2)
    program.run([0, 0])
    assert program.live == []


def test_a_program_without_records(kernels: dict[str, int]) -> None:
    Program([], 0).run([])


def test_chunks_follow_the_grain(kernels: dict[str, int]) -> None:
    y = numpy.zeros(1000, numpy.int64)
    record = Record(kernels["count"], ((0, 0),), (), 1000, 64, LONG)
    Program([record], 1).run([address(y)])
    starts = numpy.flatnonzero(y)
    assert (starts % 64 == 0).all()
    assert y.sum() == 1000
    assert len(starts) > 4


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("extent", [1, 2, 7, 64, 1000, 12345])
@pytest.mark.parametrize("grain", [1, 3, 64])
def test_chunks_cover_the_extent(threads: int, extent: int, grain: int) -> None:
    chunk, count = chunks(Record(1, (), (), extent, grain, LONG), threads)
    assert (count - 1) * chunk < extent <= count * chunk
    assert count == 1 or chunk % grain == 0


def test_small_records_stay_on_the_caller(kernels: dict[str, int]) -> None:
    y = numpy.full(1000, -1)
    Program([Record(kernels["who"], ((0, 0),), (), 1000, 1, 500)], 1).run([address(y)])
    assert (y == 0).all()


def test_worker_numbers_stay_below_the_threads_of_the_program(kernels: dict[str, int]) -> None:
    y = numpy.full(100_000, -1)
    record = Record(kernels["who"], ((0, 0),), (), 100_000, 1, LONG)
    narrow = Program([record] * 20, 1, threads=2)
    set_num_threads(4)
    narrow.run([address(y)])
    assert set(y.tolist()) <= {0, 1}
    Program([record] * 20, 1).run([address(y)])
    assert set(y.tolist()) <= {0, 1, 2, 3}


def test_bad_records_are_refused(kernels: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="uses slots \\[3\\] of a program with 2 slots"):
        Program([Record(kernels["add"], ((3, 0),), (), 1)], 2)
    with pytest.raises(ValueError, match="bad extent"):
        Program([Record(kernels["add"], (), (), -1)], 0)
    with pytest.raises(TypeError):
        adding(kernels, 10, 1, 0).run([1, 2, 3][:0] + ["no", 2])  # type: ignore[list-item]


def test_durations_of_records(kernels: dict[str, int]) -> None:
    x, y = numpy.arange(1000), numpy.zeros(1000, numpy.int64)
    spans = adding(kernels, 1000, 3, 0).profile([address(x), address(y)])
    assert [name for name, _ in spans] == ["add"] * 3
    assert all(span >= 0 for _, span in spans)


def test_concurrent_callers(kernels: dict[str, int]) -> None:
    program = adding(kernels, 5000, 10, LONG)
    x = numpy.arange(5000)
    results = [numpy.zeros(5000, numpy.int64) for _ in range(4)]

    def call(y: numpy.ndarray) -> None:
        for _ in range(20):
            program.run([address(x), address(y)])

    callers = [threading.Thread(target=call, args=(y,)) for y in results]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert all((y == 200 * (x + 1)).all() for y in results)


def test_a_forked_child_starts_its_own_pool(kernels: dict[str, int]) -> None:
    program = adding(kernels, 5000, 10, LONG)
    x, y = numpy.arange(5000), numpy.zeros(5000, numpy.int64)
    program.run([address(x), address(y)])
    child = os.fork()
    if child == 0:
        y[:] = 0
        fresh = pool.state.pool is None
        program.run([address(x), address(y)])
        os._exit(0 if fresh and (y == 10 * (x + 1)).all() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_stopped_pools_workers_end(kernels: dict[str, int]) -> None:
    running = current_pool()
    assert running is not None
    set_num_threads(1)
    for worker in running.workers:
        worker.join(10)
        assert not worker.is_alive()
    assert current_pool() is None


def test_workers_that_slept_wake_up(kernels: dict[str, int]) -> None:
    running = current_pool()
    assert running is not None
    x, y = numpy.arange(5000), numpy.zeros(5000, numpy.int64)
    program = adding(kernels, 5000, 4, LONG)
    asleep = threading.Event()
    for _ in range(20):
        asleep.wait(0.002)  # long enough for the worker to fall asleep
        program.run([address(x), address(y)])
    assert (y == 80 * (x + 1)).all()


def test_threads_that_cannot_start_are_done_without(
    kernels: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pool: object, number: int) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(pool.Pool, "start", refuse)
    set_num_threads(3)
    x, y = numpy.arange(5000), numpy.zeros(5000, numpy.int64)
    adding(kernels, 5000, 3, LONG).run([address(x), address(y)])
    assert (y == 3 * (x + 1)).all()


def test_python_exits_while_workers_wait() -> None:
    code = (
        "from lampas.engine.device.pool import current_pool, set_num_threads\n"
        "set_num_threads(3)\nassert len(current_pool().workers) == 2\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


# ---- how many threads -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, -1])
def test_thread_numbers_are_positive(count: int) -> None:
    with pytest.raises(RuntimeError, match="positive"):
        set_num_threads(count)


@pytest.mark.parametrize("count", [1.5, "2", True])
def test_thread_numbers_are_integers(count: object) -> None:
    with pytest.raises(TypeError, match="expects an int"):
        set_num_threads(count)  # type: ignore[arg-type]


def test_set_and_get() -> None:
    set_num_threads(5)
    assert get_num_threads() == 5


def test_quota_of_both_kinds_of_cgroup(tmp_path: Path) -> None:
    assert cgroup_quota(str(tmp_path)) >= 1_000_000
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("250000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cgroup_quota(str(tmp_path)) == 3
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    assert cgroup_quota(str(tmp_path)) == 1
    assert granted_threads(str(tmp_path)) == 1
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    assert cgroup_quota(str(tmp_path)) >= 1_000_000


def test_the_environment_limits_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "granted_threads", lambda: 8)
    monkeypatch.setattr(settings, "threads", 0)
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert default_threads() == 3
    with settings.override(threads=2):
        assert default_threads() == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert default_threads() == 8


def test_more_threads_bind_programs_anew() -> None:
    before = get_num_threads()
    x = lampas.arange(1 << 18) * 1.0

    def threads_of_a_run() -> int:
        with settings.override(tier="compiled"):
            (x * 3.0 + 1.0).sum().item()
        return next(reversed(realize._PLANS.values())).program.segments[0].threads

    try:
        set_num_threads(1)
        assert threads_of_a_run() == 1
        set_num_threads(2)
        assert threads_of_a_run() == 2
        kept = len(realize._PLANS)
        set_num_threads(1)
        assert len(realize._PLANS) == kept
    finally:
        set_num_threads(before)
