"""Averages, tables and files, from events with known times."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lampas as torch
from lampas.autograd import profiler as legacy
from lampas.autograd.profiler_util import FunctionEventAvg
from lampas.engine.device.launch import Program, Record
from lampas.engine.llvm.compiler import compile_function
from lampas.engine.llvm.target import host
from lampas.engine.settings import settings
from lampas.profiler import profile, record_function, tensorboard_trace_handler
from lampas.profiler.events import EventList, FunctionEvent
from lampas.profiler.memory import Point, as_json, picture
from lampas.profiler.peaks import Peaks, chains, computing_kernel, moving_kernel
from lampas.profiler.table import make_table
from lampas.profiler.timeline import attribute, nest


def event(name: str, start: float, end: float, **more: Any) -> FunctionEvent:
    return FunctionEvent(0, name, 1, start, end, **more)


def kernel(name: str, start: float, end: float, **more: Any) -> FunctionEvent:
    return event(f"kernel::{name} (map)", start, end, category="kernel", **more)


def sample() -> EventList:
    """A range with two operators, and a run whose two kernels came from them."""
    events = [
        event("range", 0, 100, category="user_annotation", is_user_annotation=True),
        event("aten::mul", 10, 14, input_shapes=[[2, 3]], stack=["a.py(1): f", "a.py(9): main"]),
        event("aten::mul", 20, 26, input_shapes=[[4]], stack=["a.py(2): f", "a.py(9): main"]),
        event("lampas::run", 40, 90, category="runtime"),
        kernel("mul", 40, 60, shares=(("mul", ((2, 3),), 1.0),), nbytes=4000, flops=1000),
        kernel(
            "mul+exp", 60, 80, shares=(("mul", ((4,),), 0.25), ("exp", ((4,),), 0.75)), flops=80
        ),
    ]
    for number, each in enumerate(events):
        each.id = number
    nest(events)
    attribute(events)
    return EventList(events, with_flops=True)


def test_nesting_and_self_times() -> None:
    first, _, second, run, *kernels = sample()
    assert [child.name for child in first.cpu_children] == ["aten::mul", "aten::mul", "lampas::run"]
    assert run.cpu_children == kernels
    assert first.self_cpu_time_total == 100 - 4 - 6 - 50
    assert run.self_cpu_time_total == 10
    assert second.cpu_parent is first


def test_operators_get_their_kernels_time() -> None:
    _, first, second, *_ = sample()
    assert (first.kernel_time, second.kernel_time) == (20, 5)
    assert (first.cpu_time_total, second.cpu_time_total) == (24, 11)
    assert (first.flops, second.flops) == (1000, 20)


def test_averages() -> None:
    found = {row.key: row for row in sample().key_averages()}
    row = found["aten::mul"]
    assert (row.count, row.cpu_time_total, row.self_cpu_time_total) == (2, 35, 10)
    assert (row.cpu_time, row.kernel_time_total, row.input_shapes) == (17.5, 25, [])
    assert found["kernel::mul (map)"].nbytes == 4000
    assert sample().self_cpu_time_total == 100
    assert sample().total_average().count == 6
    assert row.cuda_time_total == row.device_time_total == 0


def test_grouping_by_shapes_and_stacks() -> None:
    rows = sample().key_averages(group_by_input_shapes=True)
    assert [row.input_shapes for row in rows if row.key == "aten::mul"] == [[[2, 3]], [[4]]]
    rows = sample().key_averages(group_by_stack_n=1)
    assert [row.stack for row in rows if row.key == "aten::mul"] == [["a.py(1): f"], ["a.py(2): f"]]
    assert len(sample().key_averages(group_by_overload_name=True)) == 5


TABLE = [
    "---------------------  ------------  ------------  ------------  ------------  ------------  ------------  ",
    "                 Name    Self CPU %      Self CPU   CPU total %     CPU total  CPU time avg    # of Calls  ",
    "---------------------  ------------  ------------  ------------  ------------  ------------  ------------  ",
    "                range        40.00%      40.000us       100.00%     100.000us     100.000us             1  ",
    "    kernel::mul (map)        20.00%      20.000us        20.00%      20.000us      20.000us             1  ",
    "---------------------  ------------  ------------  ------------  ------------  ------------  ------------  ",
    "Self CPU time total: 100.000us",
]


def test_table() -> None:
    rows = EventList(sample().key_averages())
    text = rows.table(sort_by="self_cpu_time_total", row_limit=2, max_name_column_width=21)
    assert text.splitlines() == TABLE


def test_columns() -> None:
    rows = sample().key_averages(group_by_input_shapes=True)
    lines = rows.table(sort_by="nbytes").splitlines()
    assert lines[1].split()[-6:] == ["Input", "Shapes", "Bytes", "FLOPs", "GB/s", "GFLOP/s"]
    assert lines[3].split()[-5:] == ["KB", "1.000", "K", "0.2", "0.1"]
    with_stack = sample().key_averages(group_by_stack_n=2).table()
    assert "Source Location" in with_stack
    assert with_stack.count("a.py(9): main") == 2
    memory = EventList(sample(), profile_memory=True).table(
        header="Title", top_level_events_only=True
    )
    assert "Self CPU Mem" in memory
    assert "Title" in memory
    assert memory.count("range") == 1
    assert "aten::mul" not in memory


def test_odd_requests() -> None:
    rows = sample().key_averages()
    assert len(rows.table(row_limit=-1).splitlines()) == 5 + len(rows)
    assert "0.100ms" in rows.table(time_unit="ms")
    with pytest.raises(ValueError, match="time_unit"):
        rows.table(time_unit="fortnight")
    with pytest.raises(AttributeError, match="nonsense"):
        rows.table(sort_by="nonsense")
    assert EventList().table() == str(EventList()) == ""


def test_roofline_holds_a_kernel_against_the_nearer_bound() -> None:
    peaks = Peaks(100e9, ((1000, 50e9), (1_000_000, 10e9)))
    assert peaks.share(operations=1000, nbytes=0, seconds=20e-9) == 0.5
    assert peaks.share(operations=1000, nbytes=0, seconds=20e-9, itemsize=8) == 1.0
    assert peaks.share(operations=0, nbytes=1000, seconds=40e-9) == 0.5
    assert peaks.share(operations=0, nbytes=2000, seconds=400e-9, calls=1) == 0.5
    assert peaks.share(operations=0, nbytes=2000, seconds=80e-9, calls=2) == 0.5


def test_kernels_that_measure_peaks() -> None:
    target = host()
    chain = chains(target) * target.lanes("float")
    sums = np.arange(2 * chain, dtype=np.float32)
    address = compile_function(computing_kernel(target), "lampas_peak_operations")
    record = Record(address, ((0, 0),), (3,), 2)
    Program([record], 1, 1).run([sums.ctypes.data])
    first = np.arange(2 * chain, dtype=np.float32).reshape(2, -1, target.lanes("float"))
    assert sums.reshape(first.shape).tolist() == (first + 3 * first[:, :1] ** 2).tolist()
    y, x = np.ones(512, np.float32), np.arange(512, dtype=np.float32)
    address = compile_function(moving_kernel(target), "lampas_peak_bytes")
    record = Record(address, ((0, 0), (1, 0)), (256, 2), 2)
    Program([record], 2, 1).run([y.ctypes.data, x.ctypes.data])
    assert y.tolist() == (1 + 2 * x).tolist()


def test_roofline_column(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Peaks(100e6, ((1 << 30, 1e9),))
    monkeypatch.setattr("lampas.profiler.table.peaks", lambda: known)
    lines = sample().key_averages().table(sort_by="nbytes", roofline=True).splitlines()
    assert lines[1].split()[-1] == "Roofline"
    assert lines[3].split()[-1] == "50.0%"
    assert lines[-3].split()[-1] == "4.0%"
    assert {line.split()[-1] for line in lines if "aten" in line or "run" in line} == {"--"}
    assert make_table([], total=0) == ""


# ---- files ----------------------------------------------------------------------------------------------------------


def recorded(**options: bool) -> profile:
    with settings.override(tier="compiled"), profile(**options) as prof, record_function("work"):
        result = torch.nn.functional.linear(torch.ones(4, 8), torch.ones(3, 8)).relu()
    assert result.shape == (4, 3)
    return prof


def test_shapes_flops_and_bytes_of_a_recording() -> None:
    prof = recorded(record_shapes=True, with_flops=True)
    found = {row.key: row for row in prof.key_averages(group_by_input_shape=True)}
    assert found["aten::linear"].input_shapes == [[4, 8], [3, 8]]
    assert found["aten::linear"].flops == 2 * 4 * 8 * 3
    row = found["kernel::linear+relu (gemm)"]
    assert row.input_shapes == [[4, 8], [3, 8]]
    assert row.flops == 2 * 4 * 8 * 3
    assert row.nbytes == 4 * (4 * 8 + 3 * 8 + 4 * 3)


def test_stacks(tmp_path: Path) -> None:
    prof = recorded(with_stack=True)
    event = next(event for event in prof.events() if event.name == "aten::linear")
    assert event.stack[0].startswith(f"{__file__}(")
    assert event.stack[0].endswith("): recorded")
    assert not any("profiler/recorder" in frame for frame in event.stack)
    path = tmp_path / "stacks.txt"
    sample().export_stacks(str(path), "self_cpu_time_total")
    assert path.read_text() == "a.py(9):_main;a.py(1):_f 4\na.py(9):_main;a.py(2):_f 6\n"
    with pytest.raises(ValueError, match="metric should be one of"):
        prof.export_stacks(str(path), "nonsense")


def test_chrome_trace(tmp_path: Path) -> None:
    prof = recorded(record_shapes=True, profile_memory=True)
    prof.add_metadata("run", "first")
    prof.add_metadata_json("sizes", "[1, 2]")
    path = tmp_path / "trace.json"
    path.write_text("an older one")
    prof.export_chrome_trace(str(path))
    trace = json.loads(path.read_text())
    assert (trace["run"], trace["sizes"], trace["record_shapes"]) == ("first", [1, 2], 1)
    assert trace["trace_id"] == prof.get_trace_id()
    by_name = {found["name"]: found for found in trace["traceEvents"]}
    kernel = by_name["kernel::linear+relu (gemm)"]
    work = by_name["work"]
    assert kernel["cat"] == "kernel"
    assert kernel["args"]["Operations"].keys() == {"linear", "relu"}
    assert kernel["args"]["Bytes"] > 0
    assert by_name["aten::linear"]["args"]["Input Dims"] == [[4, 8], [3, 8]]
    assert work["ts"] <= by_name["aten::linear"]["ts"] <= work["ts"] + work["dur"]
    assert by_name["memory"]["ph"] == "C"
    assert [name.name for name in tmp_path.iterdir()] == ["trace.json"]
    prof.export_chrome_trace(str(tmp_path / "trace.json.gz"))
    with gzip.open(tmp_path / "trace.json.gz") as file:
        assert json.load(file)["traceEvents"]


def test_tensorboard_handler(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    tensorboard_trace_handler(str(folder), worker_name="me", use_gzip=True)(recorded())
    tensorboard_trace_handler(str(folder))(recorded())
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 2
    assert any(name.startswith("me.") and name.endswith(".pt.trace.json.gz") for name in names)


def test_memory_of_a_recording(tmp_path: Path) -> None:
    with settings.override(tier="compiled"), profile(profile_memory=True) as prof:
        kept = torch.arange(1024, dtype=torch.float32).exp()
    rows = {row.key: row for row in prof.key_averages()}
    assert rows["lampas::run"].cpu_memory_usage == 4096
    assert rows["aten::exp"].cpu_memory_usage == 0
    prof.export_memory_timeline(str(tmp_path / "memory.json"))
    found = json.loads((tmp_path / "memory.json").read_text())
    assert found["live_bytes"][-1] - found["live_bytes"][0] == 4096
    assert found["peak_bytes"] == max(found["live_bytes"])
    assert found["times_us"] == sorted(found["times_us"])
    for name in ("memory.html", "memory.svg", "memory.json.gz"):
        prof.export_memory_timeline(str(tmp_path / name), device="cpu")
        assert (tmp_path / name).stat().st_size > 100
    for name, error in (("memory.txt", ValueError), ("memory.raw.json.gz", NotImplementedError)):
        with pytest.raises(error):
            prof.export_memory_timeline(str(tmp_path / name))
    with pytest.raises(NotImplementedError, match="cuda:0"):
        prof.export_memory_timeline(str(tmp_path / "memory.json"), device="cuda:0")
    with pytest.raises(ValueError, match="profile_memory=True required"):
        recorded().export_memory_timeline(str(tmp_path / "memory.json"))
    assert kept.shape == (1024,)


def test_memory_points_and_picture() -> None:
    points = [Point(0, 100, 0), Point(5, 400, 200), Point(9, 150, 0)]
    assert as_json(points)["peak_bytes"] == 400
    drawn = picture(points).svg
    assert "Memory, at most" in drawn
    assert drawn == picture(points).svg


# ---- the older form -------------------------------------------------------------------------------------------------


def test_legacy_profile() -> None:
    with legacy.profile(record_shapes=True) as prof:
        assert repr(prof) == "<unfinished torch.autograd.profile>"
        with legacy.record_function("work"):
            torch.ones(3) + 1
    assert {"aten::add", "work"} <= {row.key for row in prof.key_averages()}
    assert str(prof) == prof.table()
    assert "aten::add" in prof.table(sort_by="cpu_time_total", row_limit=100)
    assert isinstance(prof.total_average(), FunctionEventAvg)
    assert prof.self_cpu_time_total == prof.function_events.self_cpu_time_total > 0
    with pytest.raises(RuntimeError, match="not reentrant"):
        prof.__enter__()


def test_legacy_profile_that_is_switched_off() -> None:
    with legacy.profile(enabled=False) as prof:
        torch.ones(3) + 1
    assert prof.function_events == []
    assert str(prof) == ""


def test_legacy_names_that_are_not_offered() -> None:
    for manager in (legacy.emit_nvtx, legacy.emit_itt):
        with pytest.raises(NotImplementedError, match=manager.__name__), manager():
            pass
        with manager(enabled=False):
            pass
    for function in (legacy.load_nvprof, legacy.parse_nvprof_trace):
        with pytest.raises(NotImplementedError, match=function.__name__):
            function("file")
    with pytest.warns(UserWarning, match="CUDA is not available"):
        legacy.profile(use_cuda=True)


def test_legacy_trace(tmp_path: Path) -> None:
    with legacy.profile() as prof:
        torch.ones(3) + 1
    prof.export_chrome_trace(str(tmp_path / "trace.json"), metadata={"note": 1})
    assert json.loads((tmp_path / "trace.json").read_text())["note"] == 1
