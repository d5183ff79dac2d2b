"""The benchmark suite: every workload runs, its statistics and tables are right, its processes answer."""

import itertools
import json
import math
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

import lampas
from bench import compare, functions, load, memory
from bench.contestants import Failure, Worker, chosen_contestants
from bench.machine import Level, Peaks
from bench.ratios import Ratio, difference, digits, geometric_mean, ratio_of
from bench.report import show_checks, times_table
from bench.roofline import Entry, kernel_table, typical, watched_steps
from bench.rounds import Round, enough, summary
from bench.table import markdown
from bench.worker import Session, durations, settle
from bench.workloads import WORKLOADS, Workload, make_program, make_step
from bench.workloads.registry import three_quarters
from lampas.engine.settings import settings

HEAVY = {"resnet18-train-64", "resnet18-train-224"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in HEAVY)) for name in WORKLOADS],
)
def test_workload_runs(name: str) -> None:
    """A step at the least sizes; NumPy's tier, since what is compiled is tested elsewhere."""
    chosen = WORKLOADS[name]
    with settings.override(tier="reference"):
        program = make_program(lampas, chosen)
        value = make_step(lampas, program, *chosen.small())()
    assert math.isfinite(value)
    assert chosen.description.endswith(".")


def test_steps_learn_and_repeat() -> None:
    """The same seed gives the same numbers, and training lowers the loss on batches seen again."""
    chosen = WORKLOADS["tiny"]
    with settings.override(tier="compiled"):  # which is taken otherwise depends on what ran before
        steps = [make_step(lampas, make_program(lampas, chosen), 16, 0) for _ in range(2)]
        first, second = ([step() for _ in range(400)] for step in steps)
    assert first == second
    assert sum(first[-4:]) < sum(first[:4])


def test_wrap_gets_the_forward_function() -> None:
    calls = []

    def wrap(forward: Any) -> Any:
        return lambda *inputs: calls.append(len(inputs)) or forward(*inputs)

    chosen = WORKLOADS["tiny"]
    make_step(lampas, make_program(lampas, chosen, wrap), 4, 0)()
    assert calls == [2]


def test_changed_sizes() -> None:
    def build(lib: Any) -> Any:
        """One."""

    assert Workload("a", build, 16, 64).changed() == {"batch": (12, 64), "extent": (16, 48)}
    assert Workload("b", build, 1, 0).changed() == {"batch": (2, 0)}
    assert Workload("c", build, 16, 64).small() == (2, 32)
    assert three_quarters(1) == 2


def test_ratio_of_medians() -> None:
    found = ratio_of([3.0, 6.0, 30.0], [1.0, 3.0, 2.0])
    assert found == Ratio(middle=3.0, lowest=2.0, highest=15.0)
    with pytest.raises(ValueError, match="zip"):
        ratio_of([1.0], [1.0, 2.0])


def test_disturbed_rounds_are_repeated() -> None:
    """They do not count where there are enough quiet ones; the least disturbed do where there are not."""
    slow = Round({"torch": 90.0, "lampas": 3.0}, 0.5)
    quiet = [Round({"torch": 2.0, "lampas": 1.0}, others) for others in (0.01, 0.02)]
    assert not enough([slow, quiet[0]], 2)
    assert enough([slow, *quiet], 2)
    assert enough([slow] * 6, 2)
    assert enough([], 0)
    found = summary([slow, *quiet], 2)
    assert found["milliseconds"] == {"lampas": 1000.0, "torch": 2000.0}
    assert found["ratios"] == {"torch": ratio(2.0, 2.0, 2.0)}
    assert found["others"] == pytest.approx(0.015)
    assert summary([slow, Round({"torch": 8.0, "lampas": 2.0}, 0.1)], 1)["ratios"][
        "torch"
    ] == ratio(4.0, 4.0, 4.0)
    assert summary([], 0)["milliseconds"] == {}


def test_a_round_whose_load_is_unknown_counts() -> None:
    unknown = Round({"lampas": 1.0}, math.nan)
    assert enough([unknown], 1)
    assert math.isnan(summary([unknown], 1)["others"])


def test_failing_later_leaves_no_time() -> None:
    found = summary([Round({"torch": 1.0, "lampas": 1.0}, 0.0), Round({"lampas": 1.0}, 0.0)], 2)
    assert found["milliseconds"] == {"lampas": 1000.0}
    assert found["ratios"] == {}


def test_means_and_differences() -> None:
    assert geometric_mean([2.0, 0.5]) == pytest.approx(1.0)
    assert math.isnan(geometric_mean([]))
    assert difference(1.01, 1.0) == pytest.approx(0.01)
    assert difference(0.0, 0.0) == 0.0


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.01234, "0.0123"), (0.5, "0.500"), (1.234, "1.23"), (99.95, "100.0"), (1234.5, "1234")],
)
def test_three_digits(value: float, shown: str) -> None:
    assert digits(value) == shown


def ratio(middle: float, lowest: float, highest: float) -> dict[str, float]:
    return {"middle": middle, "lowest": lowest, "highest": highest}


RESULTS: dict[str, Any] = {
    "contestants": ["torch", "torch-compile", "lampas"],
    "rows": [
        {
            "name": "fast",
            "description": "A fast one.",
            "milliseconds": {"torch": 4.0, "torch-compile": 3.0, "lampas": 1.0},
            "ratios": {"torch": ratio(4.0, 3.5, 4.25), "torch-compile": ratio(3.0, 3.0, 3.0)},
            "values": {"torch": 1.0, "lampas": 1.0001},
            "errors": {},
            "others": 0.25,
        },
        {
            "name": "slow",
            "description": "A | slow one.",
            "milliseconds": {"torch": 10.0, "lampas": 10.0},
            "ratios": {"torch": ratio(1.0, 0.9, 1.1)},
            "values": {"torch": 1.0, "lampas": 1.1},
            "errors": {"torch-compile": "BackendCompilerFailed: no"},
            "others": math.nan,
        },
    ],
}


def test_markdown_table() -> None:
    assert markdown(RESULTS).splitlines() == [
        "| workload | PyTorch ms | torch.compile ms | Lampas ms | ratio | to torch.compile |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| A fast one | 4.00 | 3.00 | 1.00 | 4.00 (3.50 – 4.25) | 3.00 (3.00 – 3.00) |",
        "| A \\| slow one | 10.0 | fails | 10.0 | 1.00 (0.90 – 1.10) | – |",
        "| geometric mean |  |  |  | **2.00** | **3.00** |",
    ]
    assert "slow" not in markdown(RESULTS, ["fast"])


def test_terminal_tables(capsys: pytest.CaptureFixture[str]) -> None:
    table = times_table(RESULTS["rows"], RESULTS["contestants"])
    assert [column.header for column in table.columns][-2:] == [
        "torch-compile / lampas",
        "others took",
    ]
    assert table.row_count == 3
    assert show_checks(RESULTS["rows"]) == 1
    assert "DIFFERENT" in capsys.readouterr().out


def test_settling_and_durations() -> None:
    counter = itertools.count(1)
    found = settle(lambda: float(next(counter)))
    assert found["value"] == 1.0
    assert found["preparing"] >= 0.0
    assert len(durations(lambda: 0.0, 0.0)) == 1


def test_session_serves_a_workload() -> None:
    """What a worker does when told, without the process around it."""
    session = Session("lampas")
    built = session.build("tiny")
    assert {"value", "first", "preparing", "kernels"} <= built.keys()
    assert session.time("tiny", 0.0)["times"]
    assert set(session.change("tiny")) == {"batch"}
    assert session.drop("tiny") == {}
    assert not session.steps
    json.dumps(built)


@pytest.mark.slow
def test_worker_process_answers(tmp_path: Path) -> None:
    with Worker("lampas", {"LAMPAS_CACHE_DIR": str(tmp_path)}) as worker:
        assert worker.ask("build", "tiny")["kernels"] > 0
        with pytest.raises(Failure, match="KeyError: 'nothing'"):
            worker.ask("build", "nothing")
        assert worker.ask("time", "tiny", 0.0)["times"]
        worker.process.kill()
        worker.process.wait()
        with pytest.raises(Failure, match="the process has ended"):
            worker.ask("drop", "tiny")
        assert not worker.alive


class ScriptedWorker:
    """Answers as written; torch-compile cannot build "cnn", and Lampas takes half of torch's time."""

    started: ClassVar[list[str]] = []
    seconds: ClassVar[dict[str, float]] = {"torch": 2.0, "torch-compile": 1.5, "lampas": 1.0}

    def __init__(self, contestant: str) -> None:
        if contestant == "lampas-compile":
            raise Failure("LookupError: not there")
        self.contestant, self.seconds_to_import, self.alive = contestant, 0.5, True
        self.process = SimpleNamespace(pid=0)
        self.started.append(contestant)

    def ask(self, action: str, name: str, *_: Any) -> dict[str, Any]:
        if action == "build" and (self.contestant, name) == ("torch-compile", "cnn"):
            self.alive = False
            raise Failure("the process has ended")
        times = [self.seconds[self.contestant]] * 3
        return {"build": {"value": 1.0}, "time": {"times": times}, "drop": {}}[action]


def test_comparison_goes_on_after_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "Worker", ScriptedWorker)
    monkeypatch.setattr(compare, "PAUSE", 0.0)
    ScriptedWorker.started.clear()
    comparison = compare.Comparison(["torch", "torch-compile", "lampas-compile", "lampas"])
    assert comparison.left_out == {"lampas-compile": "LookupError: not there"}
    cnn, tiny = (comparison.compare(name, 2, 0.0) for name in ("cnn", "tiny"))
    assert ScriptedWorker.started == ["torch", "torch-compile", "lampas", "torch-compile"]
    assert cnn["errors"] == {"torch-compile": "the process has ended"}
    assert cnn["milliseconds"] == {"torch": 2000.0, "lampas": 1000.0}
    assert cnn["ratios"] == {"torch": ratio(2.0, 2.0, 2.0)}
    assert tiny["ratios"]["torch-compile"] == ratio(1.5, 1.5, 1.5)
    assert tiny["errors"] == {}


def test_contestants() -> None:
    """Lampas is there and last; compiling ones come only when asked for."""
    assert chosen_contestants(compiling=False, others=False)[-1] == "lampas"
    assert "lampas-compile" not in chosen_contestants(compiling=False, others=True)
    assert "lampas-compile" in chosen_contestants(compiling=True, others=False)


def test_memory_reads_its_own_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n")
    monkeypatch.setattr(memory, "STATUS", status)
    assert (memory.resident(), memory.peak()) == (1.0, 2.0)
    monkeypatch.setattr(memory, "STATUS", tmp_path / "absent")
    assert math.isnan(memory.peak())


def test_load_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten of forty ticks went to others: sixteen were work, six of them ours."""
    monkeypatch.setattr(load, "PROCESSES", tmp_path)
    monkeypatch.setattr(os, "getpid", lambda: 1)
    own = tmp_path / "2" / "stat"
    own.parent.mkdir()
    (tmp_path / "stat").write_text("cpu  100 0 0 900 0 0 0 0 7 7\n")
    own.write_text("2 (a) b) S " + "0 " * 10 + "30 20 0 0\n")
    meanwhile = load.OthersLoad([2])
    (tmp_path / "stat").write_text("cpu  110 1 2 920 4 0 0 3 9 9\n")
    own.write_text("2 (a) b) S " + "0 " * 10 + "34 22 0 0\n")
    assert meanwhile.share() == 0.25
    (tmp_path / "stat").unlink()
    assert math.isnan(load.OthersLoad([2]).share())


PEAKS = Peaks(1, 100.0, (Level("L1", 1000.0, 50.0), Level("memory", math.inf, 10.0)))


def test_roof() -> None:
    """The longer of computing and moving, at the rate of the level that holds the bytes."""
    assert PEAKS.level(1000.0).name == "L1"
    assert PEAKS.seconds(1e6, 100.0) == pytest.approx(1e-5)
    assert PEAKS.seconds(1.0, 1e6) == pytest.approx(1e-4)


def test_kernels_of_a_step() -> None:
    step = make_step(lampas, make_program(lampas, WORKLOADS["tiny"]), 16, 0)
    times, steps = watched_steps(step, 3)
    assert len(times) == len(steps) == 3
    entries = typical(steps)
    assert sum(entry.operations for entry in entries) > 2 * 16 * 10 * 5
    assert [e.microseconds for e in entries] == sorted(
        (e.microseconds for e in entries), reverse=True
    )
    assert kernel_table(entries, PEAKS, 3).row_count == min(len(entries), 4)


def test_typical_kernels() -> None:
    steps = [{"k": Entry("k", "add", 1, time, 10.0, 20.0)} for time in (5.0, 1.0, 3.0)]
    assert typical(steps) == [Entry("k", "add", 1, 3.0, 10.0, 20.0)]


@pytest.mark.parametrize("name", ["x[rows]", "train LayerNorm", "train x[rows]"])
def test_single_functions_are_timed(name: str) -> None:
    assert name in functions.case_names([name])
    found = functions.measure(lampas, [name], 0.0)
    assert found[name] > 0


def test_a_failing_function_is_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        functions, "forward_cases", lambda: {"bad": "t.nothing(x)", "abs": "t.abs(x)"}
    )
    assert [*functions.measure(lampas, ["bad", "abs"], 0.0)] == ["abs"]
    assert "lampas: bad: AttributeError" in capsys.readouterr().err


def test_what_is_behind_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    functions.report([("x[rows]", 1e-6, 2e-6), ("train abs", 4e-6, 2e-6)], 1.0)
    shown = capsys.readouterr().out
    assert "x[rows]" in shown
    assert "0.50" in shown
    assert "train abs" not in shown
    assert "forward and backward: geometric mean 2.00 of 1; 0 below 1" in shown
