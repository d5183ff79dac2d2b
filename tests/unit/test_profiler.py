"""Recording: what is seen, when, and that nothing is left behind."""

import threading
import warnings
from collections.abc import Iterator

import pytest

import lampas as torch
from lampas import nn, optim
from lampas.engine.realize.replay import Replay
from lampas.engine.settings import settings
from lampas.engine.tensor.door import HOOKS, LOOKERS
from lampas.engine.watch import CLOSE_WATCHERS, WATCHERS, watched
from lampas.optim.step_replays import StepReplays
from lampas.profiler import (
    ExecutionTraceObserver,
    ProfilerAction,
    ProfilerActivity,
    itt,
    profile,
    record_function,
    schedule,
    supported_activities,
)
from lampas.utils.data import DataLoader, TensorDataset


@pytest.fixture(autouse=True)
def nobody_looks_on() -> Iterator[None]:
    yield
    assert WATCHERS == CLOSE_WATCHERS == HOOKS == LOOKERS == []


def counts(prof: profile) -> dict[str, int]:
    return {row.key: row.count for row in prof.key_averages()}


INPUTS = torch.arange(32).reshape(4, 8) % 5 - 2.0
WEIGHT = torch.arange(24).reshape(3, 8) % 3 - 1.0


def work() -> torch.Tensor:
    return torch.nn.functional.linear(INPUTS, WEIGHT).relu() * 3


def train(model: nn.Module, optimizer: optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.ones(4, 8)).sum().backward()
    optimizer.step()


def note_calls(patch: pytest.MonkeyPatch, kind: type, name: str, results: list[bool]) -> None:
    """Have a method append what it returns."""
    call = getattr(kind, name)
    patch.setattr(kind, name, lambda *given: results.append(call(*given)) or results[-1])


# ---- what is seen ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("detailed", [False, True])
def test_a_step_met_before_shows_the_same(detailed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile does not keep a step from being replayed, and sees the same of it."""
    replayed: list[bool] = []
    note_calls(monkeypatch, Replay, "run", replayed)
    note_calls(monkeypatch, StepReplays, "take", replayed)
    model = nn.Sequential(nn.Linear(8, 3), nn.ReLU())
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with settings.override(tier="compiled"):
        for _ in range(8):
            train(model, optimizer)
        replayed.clear()
        with profile(record_shapes=detailed) as prof:
            train(model, optimizer)
    assert True in replayed
    found = counts(prof)
    for name in (
        "aten::linear",
        "aten::relu",
        "aten::sum",
        "AddmmBackward0",
        "ReluBackward0",
        "SumBackward0",
    ):
        assert found[name] == 1, name
    assert found["torch::autograd::AccumulateGrad"] == 2
    assert found["lampas::run"] == found["Optimizer.step#SGD.step"] == 1
    assert any(name.startswith("kernel::") and "sgd" in name for name in found)
    shapes = [e.input_shapes for e in prof.events() if e.name.endswith(("Backward0", "Grad"))]
    expected = [[[]], [[4, 3]], [[4, 3]], [[3, 8]], [[3]]]
    assert sorted(shapes) == sorted(expected if detailed else [[]] * 5)


def test_operators_are_seen_in_eager_mode() -> None:
    with settings.override(eager=True), profile() as prof:
        work()
    assert counts(prof)["aten::relu"] == 1


def test_operators_and_kernels() -> None:
    with settings.override(tier="compiled"), profile() as prof:
        first, result = work(), work()
    found = counts(prof)
    assert (found["aten::linear"], found["aten::relu"], found["aten::mul"]) == (2, 2, 2)
    assert found["lampas::compile"] == 1
    kernels = {name for name in found if name.startswith("kernel::")}
    assert "kernel::linear+relu+mul (gemm)" in kernels
    assert all("linear+relu+mul" in name for name in kernels)
    assert first.tolist() == result.tolist()
    assert result.tolist() == ((INPUTS @ WEIGHT.t()).clamp(min=0) * 3).tolist()


def test_values_that_wait_are_computed_at_the_borders() -> None:
    early = torch.ones(3).cos()
    with profile() as prof:
        late = torch.ones(3).log()
    names = counts(prof)
    assert any("log" in name for name in names if name.startswith("kernel::"))
    assert not any("cos" in name for name in names)
    assert late.tolist() == [0.0] * 3
    assert early.tolist() == pytest.approx([0.540302306] * 3)


def test_small_graphs_show_the_tier_that_ran_them() -> None:
    with settings.override(tier="reference"), profile() as prof:
        kept = work()
    assert counts(prof)["kernel::linear+relu+mul (reference)"] == 1
    assert kept.shape == (4, 3)


def test_training_step() -> None:
    model = nn.Sequential(nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 2))
    optimizer = optim.Adam(model.parameters())
    with settings.override(tier="compiled"), profile(with_modules=True) as prof:
        train(model, optimizer)
    found = counts(prof)
    assert found["AddmmBackward0"] == 2
    assert found["ReluBackward0"] == 1
    assert found["torch::autograd::AccumulateGrad"] == 4
    assert found["Optimizer.step#Adam.step"] == found["optim::adam"] == 1
    assert found["nn.Module: Sequential_0"] == found["nn.Module: Linear_1"] == 1
    assert any("AddmmBackward0" in name for name in found if name.startswith("kernel::"))
    linear = next(event for event in prof.events() if event.name == "nn.Module: Linear_0")
    assert [child.name for child in linear.cpu_children] == ["aten::linear"]
    assert linear.cpu_parent.name == "nn.Module: Sequential_0"


def test_views_are_operators() -> None:
    x = torch.ones(4, 6)
    with profile() as prof:
        x.t()
        x[1:3]
        x.view(24)
    found = counts(prof)
    assert (found["aten::t"], found["aten::slice"], found["aten::view"]) == (1, 1, 1)


def test_named_ranges() -> None:
    @record_function("twice")
    def twice(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    with profile() as prof, record_function("outer", "note"):
        twice(twice(torch.ones(3)))
    found = {event.name: event for event in prof.events()}
    assert counts(prof)["twice"] == 2
    assert found["outer"].is_user_annotation
    assert found["twice"].cpu_parent is found["outer"]
    assert [child.name for child in found["twice"].cpu_children] == ["aten::mul"]


def test_ranges_without_a_profile_do_nothing() -> None:
    with record_function("nobody looks"):
        assert watched("kind", "subject", max, 1, 2) == 2


def test_a_range_that_is_open_at_the_end_ends_there() -> None:
    prof = profile()
    prof.start()
    with record_function("open"):
        prof.stop()
    event = next(event for event in prof.events() if event.name == "open")
    assert event.end_us >= event.start_us >= 0


def test_exceptions_pass_and_close_what_is_open() -> None:
    with profile() as prof:
        with pytest.raises(RuntimeError):
            torch.ones(2, 3) @ torch.ones(4, 5)
        torch.ones(3) + 1
    assert counts(prof)["aten::add"] == 1
    prof = profile()

    def fail() -> None:
        with prof:
            torch.ones(3) + 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert counts(prof)["aten::add"] == 1


def test_threads_have_numbers() -> None:
    def work_elsewhere() -> None:
        with record_function("elsewhere"):
            torch.ones(3) + 1

    with profile() as prof:
        torch.ones(3) + 1
        other = threading.Thread(target=work_elsewhere)
        other.start()
        other.join()
    threads = {event.name: event.thread for event in prof.events() if event.name != "aten::add"}
    assert threads["elsewhere"] == 2
    assert counts(prof)["aten::add"] == 2


def test_two_profiles_at_once() -> None:
    with profile() as outer:
        torch.ones(3) + 1
        with profile() as inner:
            torch.ones(3) * 2
    assert counts(outer)["aten::mul"] == counts(inner)["aten::mul"] == 1
    assert "aten::add" not in counts(inner)


def test_data_loading() -> None:
    loader = DataLoader(TensorDataset(torch.ones(4, 2)), batch_size=2)
    with profile() as prof:
        list(loader)
    name = "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__"
    assert counts(prof)[name] == 3  # the last one ends the walk, as in PyTorch


def test_index_checks_are_kernels() -> None:
    rows, chosen = torch.ones(4, 2), torch.tensor([1, 3])
    with settings.override(tier="compiled"), profile() as prof:
        found = torch.nn.functional.embedding(chosen, rows)
    assert any(name.startswith("kernel::index check") for name in counts(prof))
    assert found.shape == (2, 2)


# ---- life -----------------------------------------------------------------------------------------------------------


def test_schedule_and_handler() -> None:
    seen: list[tuple[int, int, list[str]]] = []

    def ready(prof: profile) -> None:
        names = [event.trace_name for event in prof.events() if event.is_user_annotation]
        seen.append((prof.step_num, counts(prof)["aten::add"], names))

    plan = schedule(wait=1, warmup=1, active=2, repeat=2)
    with profile(schedule=plan, on_trace_ready=ready) as prof:
        for _ in range(10):
            torch.ones(3) + 1
            prof.step()
    assert seen == [
        (4, 2, ["ProfilerStep#2", "ProfilerStep#3"]),
        (8, 2, ["ProfilerStep#6", "ProfilerStep#7"]),
    ]
    assert prof.current_action is ProfilerAction.NONE
    assert "ProfilerStep*" in counts(prof)


def test_events_of_all_cycles() -> None:
    plan = schedule(wait=0, warmup=1, active=1)
    with profile(schedule=plan, acc_events=True) as prof:
        for _ in range(4):
            torch.ones(3) + 1
            prof.step()
    assert counts(prof)["aten::add"] == 2


def test_a_cycle_that_ends_early_is_handed_over() -> None:
    seen: list[int] = []
    plan = schedule(wait=0, warmup=1, active=3)
    with profile(schedule=plan, on_trace_ready=lambda prof: seen.append(prof.step_num)) as prof:
        prof.step()
    assert seen == [1]


def test_without_a_schedule_steps_are_only_counted() -> None:
    seen: list[int] = []
    with profile(on_trace_ready=lambda prof: seen.append(len(prof.events()))) as prof:
        torch.ones(3) + 1
        prof.step()
        assert prof.key_averages() == []
    assert prof.step_num == 1
    assert len(seen) == 1
    assert seen[0] > 0


def test_reports_before_a_recording() -> None:
    prof = profile()
    for report in (prof.events, prof.key_averages, prof.stop):
        with pytest.raises(AssertionError, match="Profiler must be initialized before"):
            report()
    prof.step()
    assert prof.get_trace_id() is None


def test_collection_is_paused_and_resumed() -> None:
    with profile() as prof:
        prof.toggle_collection_dynamic(False, [ProfilerActivity.CPU])
        torch.ones(3) + 1
        prof.toggle_collection_dynamic(True, [ProfilerActivity.CPU])
        torch.ones(3) * 2
    assert "aten::add" not in counts(prof)
    assert counts(prof)["aten::mul"] == 1


def test_what_is_not_offered_says_so() -> None:
    for name in ("experimental_config", "execution_trace_observer", "post_processing_timeout_s"):
        with pytest.raises(NotImplementedError, match=name):
            profile(**{name: 1})  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError, match="filters"):
        profile(activities=[{ProfilerActivity.CPU: ["add"]}])
    with pytest.raises(NotImplementedError, match="DEVICE_STOPPED"):
        profile(schedule=lambda step: ProfilerAction.DEVICE_STOPPED)
    with pytest.raises(NotImplementedError, match="ExecutionTraceObserver"):
        ExecutionTraceObserver()
    for refused in (lambda: itt.mark("x"), lambda: itt.range_push("x"), itt.range_pop):
        with pytest.raises(NotImplementedError, match="itt"):
            refused()
    with pytest.raises(NotImplementedError, match="itt"), itt.range("x"):
        pass
    assert not itt.is_available()


def test_activities() -> None:
    assert supported_activities() == {ProfilerActivity.CPU}
    with pytest.raises(AssertionError, match="No valid profiler activities"):
        profile(activities=[])
    with pytest.warns(UserWarning, match="XPU is not available"):
        profile(activities=[ProfilerActivity.XPU])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA])


def test_nothing_is_loaded_before_it_is_asked_for() -> None:
    import subprocess
    import sys

    text = "import sys, lampas; print([n for n in sys.modules if n.startswith('lampas.profiler')])"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
