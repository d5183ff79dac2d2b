"""`lampas.compile`, `lampas.compiler` and `lampas.explain`: what programs written for PyTorch's see of them."""

from __future__ import annotations

import copy
import inspect
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import lampas as torch
from lampas import nn
from lampas.compiler import regions
from lampas.compiler.report import Report
from lampas.engine.realize import building
from lampas.engine.realize.statistics import statistics
from lampas.engine.settings import settings
from lampas.engine.watch import WATCHERS

Unsupported = torch._dynamo.exc.Unsupported


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()
    assert settings.tier == "auto"
    assert not regions.HERE.compiling


def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2))


def programs_built(call: Callable[[], Any]) -> int:
    before = statistics.programs
    call()
    return statistics.programs - before


# ---- functions ----------------------------------------------------------------------------------------------------


def test_a_function_gives_a_wrapper_that_does_the_same() -> None:
    def shifted(x: Any, by: float = 1.0) -> Any:
        """Adds."""
        return x + by

    compiled = torch.compile(shifted, mode="reduce-overhead", dynamic=True)
    assert compiled(torch.ones(2), by=2.0).tolist() == [3.0, 3.0]
    assert (compiled.__name__, compiled.__doc__) == ("shifted", "Adds.")
    assert compiled._torchdynamo_orig_callable is shifted
    assert inspect.signature(compiled) == inspect.signature(shifted)
    assert torch.compile(compiled)._torchdynamo_orig_callable is shifted
    assert torch.compile(shifted, disable=True) is shifted


def test_decorator_forms() -> None:
    @torch.compile
    def bare(x: Any) -> Any:
        return x * 2

    @torch.compile(fullgraph=True, options={"max-autotune": True})
    def called(x: Any) -> Any:
        return x * 3

    assert (bare(torch.ones(1)) + called(torch.ones(1))).item() == 5


def test_methods_and_classes() -> None:
    class Doubler:
        @torch.compile
        def double(self, x: Any) -> Any:
            return x * 2

        def __call__(self, x: Any) -> bool:
            return torch.compiler.is_compiling()

    assert Doubler().double(torch.ones(1)).item() == 2
    assert torch.compile(Doubler) is Doubler
    assert Doubler()(1) is True


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"backend": "nope"}, torch._dynamo.exc.InvalidBackend, "Invalid backend: 'nope'"),
        ({"mode": "nope"}, RuntimeError, "Unrecognized mode=nope, should be one of: default"),
        ({"options": {"nope": 1}}, RuntimeError, "Unexpected optimization option nope"),
        ({"options": {"max_autotune": 3}}, RuntimeError, "got int should be bool"),
        ({"mode": "default", "options": {}}, RuntimeError, "Either mode or options"),
    ],
)
def test_bad_choices(arguments: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        torch.compile(torch.sin, **arguments)


def test_what_cannot_be_compiled() -> None:
    with pytest.raises(AssertionError, match="callable function is expected"):
        torch.compile(3)
    with pytest.raises(RuntimeError, match="Model can't be None"):
        torch.compile()(None)

    def my_backend(graph: Any, inputs: Any) -> Any:
        return graph.forward

    with pytest.raises(NotImplementedError, match="my_backend"):
        torch.compile(torch.sin, backend=my_backend)


# ---- modules ------------------------------------------------------------------------------------------------------


def test_a_module_gives_a_wrapper_that_passes_everything_through() -> None:
    original = model()
    compiled: Any = torch.compile(original)
    assert len(compiled) == 3
    assert isinstance(compiled, nn.Module)
    assert isinstance(compiled, torch._dynamo.eval_frame.OptimizedModule)
    assert compiled._orig_mod is original
    assert list(compiled.state_dict()) == [f"_orig_mod.{name}" for name in original.state_dict()]
    for ours, theirs in zip(compiled.parameters(), original.parameters(), strict=True):
        assert ours is theirs
    compiled.eval()
    assert not original.training
    assert not original[1].training
    assert not compiled.training
    compiled.train()
    assert original.training
    compiled.note = 3
    assert original.note == 3
    del compiled.note
    assert not hasattr(original, "note")
    assert not hasattr(compiled, "note")
    assert bool(torch.compile(nn.Linear(1, 1)))
    assert repr(compiled).startswith("OptimizedModule(\n  (_orig_mod): Sequential(")
    assert torch.compile(compiled)._orig_mod is original


def test_a_compiled_module_computes_and_learns_like_the_module() -> None:
    original = model().eval()
    compiled = torch.compile(copy.deepcopy(original))
    x = torch.randn(5, 3)
    for one in (original, compiled):
        one(x).square().sum().backward()
    for ours, theirs in zip(compiled.parameters(), original.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad)
    original.load_state_dict(compiled._orig_mod.state_dict())
    compiled.load_state_dict(compiled.state_dict())


def test_hooks_of_both_run() -> None:
    original = nn.Linear(1, 1)
    compiled = torch.compile(original)
    calls: list[str] = []
    original.register_forward_hook(lambda *_: calls.append("original"))
    compiled.register_forward_hook(lambda *_: calls.append("wrapper"))
    compiled(torch.ones(1, 1))
    assert calls == ["original", "wrapper"]


def test_compiled_modules_are_copied_and_pickled() -> None:
    compiled = torch.compile(nn.Linear(2, 2), mode="max-autotune")
    x = torch.ones(1, 2)
    for again in (copy.deepcopy(compiled), pickle.loads(pickle.dumps(compiled))):
        assert again._orig_mod is not compiled._orig_mod
        assert again(x).tolist() == compiled(x).tolist()


def test_compiling_in_place() -> None:
    class Asker(nn.Module):
        def forward(self) -> bool:
            return torch.compiler.is_compiling()

    asker = Asker()
    assert asker() is False
    assert asker.compile(fullgraph=True) is None
    assert asker() is True
    assert copy.deepcopy(asker)() is False
    seen: list[bool] = []
    asker.register_forward_hook(lambda module, args, result: seen.append(result))
    asker()
    assert seen == [True]
    with pytest.raises(RuntimeError, match="Unrecognized mode"):
        asker.compile(mode="nope")


# ---- what holds inside --------------------------------------------------------------------------------------------


def test_inside_a_call_structures_are_compiled_at_first_sight() -> None:
    def read(x: Any) -> float:
        return (x.tan() * 3 - 0.25).sum().item()

    x = torch.randn(3, 7)
    assert programs_built(lambda: read(x)) == 0
    assert programs_built(lambda: torch.compile(read, backend="eager")(x)) == 0
    assert programs_built(lambda: torch.compile(read)(x)) == 1
    assert programs_built(lambda: torch.compile(read)(x)) == 0


def test_a_tier_that_was_forced_stays() -> None:
    with settings.override(tier="reference"):
        assert torch.compile(lambda: settings.tier)() == "reference"
    assert torch.compile(lambda: settings.tier)() == "compiled"


def test_an_error_leaves_nothing_behind() -> None:
    @torch.compile
    def fails() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fails()


def test_threads_that_overlap_leave_the_tier_as_it_was() -> None:
    first_in, second_in = threading.Event(), threading.Event()

    def first() -> None:
        first_in.set()
        second_in.wait(5)

    def second() -> None:
        second_in.set()
        thread.join(5)

    thread = threading.Thread(target=torch.compile(first))
    thread.start()
    first_in.wait(5)
    torch.compile(second)()


def test_reads_are_refused_in_a_whole_graph() -> None:
    def branching(x: Any) -> Any:
        if x.sum() > 0:  # the line of the error
            return x * 2
        return x

    whole = torch.compile(branching, fullgraph=True)
    with pytest.raises(Unsupported) as caught:
        whole(torch.ones(2))
    message, line = str(caught.value), branching.__code__.co_firstlineno + 1
    assert f'File "{__file__}", line {line}' in message
    assert "if x.sum() > 0:  # the line of the error" in message
    assert "bool (a branch)" in message
    assert isinstance(caught.value, RuntimeError)
    assert torch.compile(branching)(torch.ones(2)).tolist() == [2.0, 2.0]
    assert branching(torch.ones(2)).tolist() == [2.0, 2.0]


def test_a_module_in_a_whole_graph_names_the_line_of_its_forward() -> None:
    class Reader(nn.Module):
        def forward(self, x: Any) -> float:
            return x.exp().item()

    with pytest.raises(Unsupported, match=r"(?s)reason: item.*return x\.exp\(\)\.item\(\)"):
        torch.compile(Reader(), fullgraph=True)(torch.ones(1))


def test_a_training_step_may_be_a_whole_graph() -> None:
    network = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

    @torch.compile(fullgraph=True)
    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = network(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    x = torch.ones(4, 3)
    first = step(x).item()
    assert step(x).item() < first


# ---- torch.compiler -----------------------------------------------------------------------------------------------


def test_questions() -> None:
    def ask() -> tuple[bool, ...]:
        compiler = torch.compiler
        return compiler.is_compiling(), compiler.is_dynamo_compiling(), compiler.is_exporting()

    assert ask() == (False, False, False)
    assert torch.compile(ask)() == (True, True, False)
    assert torch.compiler.list_backends() == ["cudagraphs", "inductor"]
    assert "eager" in torch.compiler.list_backends(None)
    assert torch.compiler.cudagraph_mark_step_begin() is None


def test_disabled_functions_are_outside() -> None:
    @torch.compiler.disable(reason="it reads")
    def outside(x: Any) -> tuple[bool, str, float]:
        return torch.compiler.is_compiling(), settings.tier, x.sum().item()

    whole = torch.compile(lambda x: (outside(x * 2), settings.tier), fullgraph=True)
    assert whole(torch.ones(2)) == ((False, "auto", 4.0), "compiled")
    assert torch.compile(outside)(torch.ones(2))[0] is False
    assert torch.compiler.disable(nn.Identity())(3) == 3


def test_stances() -> None:
    ask = torch.compile(lambda: (torch.compiler.is_compiling(), settings.tier))
    with torch.compiler.set_stance("force_eager"):
        assert ask() == (False, "auto")
    with torch.compiler.set_stance("eager_then_compile"):
        assert ask() == (True, "auto")
    assert torch.compiler.set_stance("force_eager")(ask)() == (False, "auto")
    assert ask() == (True, "compiled")
    torch.compiler.set_stance("force_eager")
    assert ask()[0] is False
    with pytest.raises(RuntimeError, match=r"invalid torch\.compile stance 'nope'"):
        torch.compiler.set_stance("nope")
    with pytest.raises(NotImplementedError, match="fail_on_recompile"):
        torch.compiler.set_stance("fail_on_recompile")


def test_marks_give_functions_back() -> None:
    def function() -> int:
        return 1

    assert torch.compiler.allow_in_graph(function) is function
    assert torch.compiler.assume_constant_result(function) is function
    with pytest.raises(AssertionError, match="callable"):
        torch.compiler.allow_in_graph(3)
    with pytest.raises(NotImplementedError, match="substitute_in_graph"):
        torch.compiler.substitute_in_graph(function)
    with pytest.raises(NotImplementedError, match="wrap_numpy"):
        torch.compiler.wrap_numpy(function)


# ---- explain ------------------------------------------------------------------------------------------------------


def test_what_is_called_compiling_includes_arranging(monkeypatch: pytest.MonkeyPatch) -> None:
    arranged: list[float] = []
    arrange = building.arrange

    def slowly(graph: Any) -> Any:
        start = time.perf_counter_ns()
        while time.perf_counter_ns() < start + 2_000_000:
            pass
        arranged.append(time.perf_counter_ns() - start)
        return arrange(graph)

    monkeypatch.setattr(building, "arrange", slowly)
    with settings.override(tier="compiled"), torch.explain() as report:
        (torch.ones(7, 3).cos() * 5).sum().item()
    (flush,) = [flush for flush in report.flushes if flush.compilation is not None]
    assert flush.compilation.nanoseconds > sum(arranged) > 0


def branching(x: Any) -> Any:
    y = (x.cosh() * 5).sum()
    if y > 3:
        return y.exp()
    return y.sin()


def test_a_branch_is_a_flush_at_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    report = torch.explain(branching)(torch.ones(2, 3))
    first, last = report.flushes
    assert (first.place.file, first.place.why) == (__file__, "bool (a branch)")
    assert first.place.line == branching.__code__.co_firstlineno + 2
    assert first.place.source == "if y > 3:"
    assert (first.values, first.plan, first.tier) == (2, "new", "NumPy")
    assert first.operations >= 4
    assert last.place.why == "end of explain"
    assert report.result.item() > 0
    assert capsys.readouterr().out == f"{report}\n"


def test_a_second_run_compiles_nothing() -> None:
    def run() -> Report:
        with torch.explain() as report, settings.override(tier="compiled"):
            (torch.ones(2, 6).sinh() * 7).sum().item()
            (torch.ones(2, 6).cosh() * 7).sum().item()
        return report

    first, second, third = run(), run(), run()
    assert [flush.plan for flush in first.flushes] == ["new", "new"]
    assert len(first.compilations) == 2
    assert all(one.kernels and one.nanoseconds for one in first.compilations)
    assert not second.compilations
    assert [flush.plan for flush in third.flushes] == ["followed", "followed"]
    assert [flush.tier for flush in third.flushes] == ["program", "program"]
    assert "compiled in" in repr(first)
    assert repr(third).endswith("0 new structures, 0 known, 2 followed; 0 compiled in 0.0 ms")


def test_a_changed_shape_names_the_operation() -> None:
    @torch.compile
    def read(x: Any) -> float:
        return (x + 1).atan().sum().item()

    with torch.explain() as report:
        for size in (4, 4, 5):
            read(torch.ones(size, 3))
    reads = [flush for flush in report.flushes if flush.place.why == "item"]
    assert [flush.diverged for flush in reads[:2]] == ["", ""]
    assert "[5, 3]" in reads[2].diverged
    assert "was" in reads[2].diverged
    assert "[4, 3]" in reads[2].diverged
    assert reads[2].compilation is not None
    assert reads[2].diverged in repr(report)


@pytest.mark.parametrize(
    ("why", "read"),
    [
        ("numpy", lambda x: x.numpy()),
        ("tolist", lambda x: x.tolist()),
        ("print", repr),
        ("format", lambda x: f"{x.sum():.1f}"),
        ("float", lambda x: float(x.sum())),
        ("indexing", lambda x: x[x > 0]),
        ("equal", lambda x: torch.equal(x, x * 2)),
    ],
)
def test_reasons(why: str, read: Callable[[Any], Any]) -> None:
    with torch.explain() as report:
        read(torch.ones(3) * 2)
    assert report.flushes[0].place.why == why
    assert report.flushes[0].place.file == __file__


def test_the_optimizer_and_the_limit_are_reasons() -> None:
    weight = nn.Parameter(torch.ones(3))
    with torch.explain() as report:
        weight.square().sum().backward()
        torch.optim.SGD([weight], lr=0.1).step()
        with settings.override(pending=3):
            kept = [torch.ones(2) * number for number in range(6)]
    assert len(kept) == 6
    assert {"optimizer step", "LAMPAS_PENDING limit"} <= {f.place.why for f in report.flushes}


def test_explanations_end_and_pass_errors_on() -> None:
    with pytest.raises(KeyError), torch.explain():
        raise KeyError
    assert not WATCHERS
    with pytest.raises(TypeError, match="explain"):
        torch.explain(torch.ones(1))
    with torch.explain() as report:
        pass
    assert repr(report) == "lampas.explain: no value was computed"
