"""The profiler beside PyTorch's: names, signatures, schedules, and how often operators are seen."""

import inspect
import itertools
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import lampas
import lampas.autograd.profiler
import lampas.autograd.profiler_util
import lampas.profiler

torch = pytest.importorskip("torch")
theirs_of = {
    lampas.profiler: torch.profiler,
    lampas.autograd.profiler: torch.autograd.profiler,
    lampas.autograd.profiler_util: torch.autograd.profiler_util,
}
OWN = {"roofline"}  # parameters that PyTorch does not have, all of them by keyword only


def parameters(function: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    """Name, kind and default of each parameter (enumerations by their names)."""
    found = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, p.default) for p in found if p.name not in OWN | {"self"}]


@pytest.mark.parametrize("ours", theirs_of, ids=lambda module: module.__name__)
def test_names(ours: Any) -> None:
    theirs = theirs_of[ours]
    for name in ours.__all__:
        assert hasattr(theirs, name), name
    if ours is lampas.profiler:
        assert set(theirs.__all__) <= set(ours.__all__)


FUNCTIONS = [
    "profiler.schedule",
    "profiler.tensorboard_trace_handler",
    "profiler.supported_activities",
    "profiler.record_function.__init__",
    "profiler.itt.range_push",
    "profiler.itt.range_pop",
    "profiler.itt.mark",
    "profiler.itt.range",
    "profiler.itt.is_available",
    "profiler.ExecutionTraceObserver.__init__",
    "autograd.profiler.emit_nvtx.__init__",
    "autograd.profiler.emit_itt.__init__",
    "autograd.profiler.load_nvprof",
    "autograd.profiler.parse_nvprof_trace",
]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signatures_of_functions(name: str) -> None:
    ours, theirs = lampas, torch
    for part in name.split("."):
        ours, theirs = getattr(ours, part), getattr(theirs, part)
    assert parameters(ours) == parameters(theirs)


CLASSES = [
    "profiler.profile",
    "profiler._KinetoProfile",
    "autograd.profiler.profile",
    "autograd.profiler_util.EventList",
    "autograd.profiler_util.FunctionEvent",
    "autograd.profiler_util.FunctionEventAvg",
    "autograd.profiler_util.Interval",
]


@pytest.mark.parametrize("name", CLASSES)
def test_methods_of_classes(name: str) -> None:
    ours, theirs = lampas, torch
    for part in name.split("."):
        ours, theirs = getattr(ours, part), getattr(theirs, part)
    own = {key for key in dir(ours) if not key.startswith("_")}
    for key in {key for key in dir(theirs) if not key.startswith("_")} & own:
        first, second = getattr(ours, key), getattr(theirs, key)
        assert callable(first) == callable(second), key
        if inspect.isfunction(first) and inspect.isfunction(second):
            assert parameters(first) == parameters(second), key
    if name.endswith(("profile", "_KinetoProfile", "FunctionEventAvg", "Interval")):
        assert parameters(ours.__init__) == parameters(theirs.__init__)
    if name.endswith(("profile", "EventList", "FunctionEventAvg")):
        missing = {key for key in dir(theirs) if not key.startswith("_")} - own
        assert missing <= {"config"}


def test_enumerations() -> None:
    for name in ("ProfilerAction", "ProfilerActivity", "DeviceType"):
        ours, theirs = getattr(lampas.profiler, name), getattr(torch.profiler, name)
        listed = {key: int(member.value) for key, member in theirs.__members__.items()}
        assert {key: member.value for key, member in ours.__members__.items()} == listed


def test_schedules() -> None:
    for wait, warmup, active, repeat, first, first_wait in itertools.product(
        (0, 2), (0, 1), (1, 3), (0, 2), (0, 3), (0, 1)
    ):
        given = dict(
            wait=wait,
            warmup=warmup,
            active=active,
            repeat=repeat,
            skip_first=first,
            skip_first_wait=first_wait,
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            plans = [module.profiler.schedule(**given) for module in (lampas, torch)]
        messages = [str(warning.message) for warning in caught]
        assert messages[: len(messages) // 2] == messages[len(messages) // 2 :]
        steps = [[plan(step).name for step in range(25)] for plan in plans]
        assert steps[0] == steps[1], given


@pytest.mark.parametrize(
    "given", [dict(wait=-1, warmup=0, active=1), dict(wait=0, warmup=0, active=0)]
)
def test_bad_schedules(given: dict[str, int]) -> None:
    messages = []
    for module in (lampas, torch):
        with pytest.raises(AssertionError) as caught:
            module.profiler.schedule(**given)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def program(torch: Any) -> list[Any]:
    """Operators that both show under one name, and a backward walk; results are kept so that they are computed."""
    functional = torch.nn.functional
    images = torch.ones(2, 3, 8, 8, requires_grad=True)
    filters = torch.ones(4, 3, 3, 3, requires_grad=True)
    hidden = functional.relu(functional.conv2d(images, filters, padding=1))
    flat = functional.avg_pool2d(hidden, 2).flatten(1)
    logits = functional.linear(flat, torch.ones(5, flat.shape[1]), torch.ones(5))
    loss = functional.nll_loss(functional.log_softmax(logits, 1), torch.tensor([1, 3]))
    loss.backward()
    y = torch.arange(30.0).reshape(5, 6)
    more = [y * 2, y - y, y.exp().log(), y.sigmoid(), y.tanh(), functional.gelu(y), y.clamp(0, 1)]
    more += [functional.softmax(y, 1), y.pow(2), y > 0, -y, y.argmax(1), torch.stack([y, y])]
    more += [functional.layer_norm(y, (6,)), y.masked_fill(y > 3, 1.0), y.cumsum(0), y.topk(2)]
    return [loss, filters.grad, *more]


SAME = """
    aten::convolution aten::relu aten::avg_pool2d aten::linear aten::log_softmax aten::nll_loss aten::exp aten::log
    aten::sigmoid aten::tanh aten::gelu aten::clamp aten::softmax aten::gt aten::neg aten::argmax aten::stack
    aten::layer_norm aten::masked_fill aten::cumsum aten::topk aten::mul aten::sub aten::pow
    NllLossBackward0 LogSoftmaxBackward0 AddmmBackward0 ReluBackward0 ConvolutionBackward0 AvgPool2DBackward0
    torch::autograd::AccumulateGrad outer
""".split()


def test_operators_are_seen_as_often() -> None:
    found = []
    for module in (lampas, torch):
        with module.profiler.profile() as prof, module.profiler.record_function("outer"):
            kept = program(module)
        assert kept
        found.append({row.key: row.count for row in prof.key_averages()})
    ours, theirs = found
    assert {name: ours.get(name) for name in SAME} == {name: theirs.get(name) for name in SAME}


def test_shapes_and_operations_of_products() -> None:
    rows = []
    for module in (lampas, torch):
        x, y = module.ones(4, 8), module.ones(8, 3)
        with module.profiler.profile(record_shapes=True, with_flops=True) as prof:
            kept = module.mm(x, y)
        assert kept.shape == (4, 3)
        averages = prof.key_averages(group_by_input_shape=True)
        row = next(row for row in averages if row.key == "aten::mm")
        rows.append((row.count, row.input_shapes, row.flops))
    assert rows[0] == rows[1] == (1, [[4, 8], [8, 3]], 2 * 4 * 8 * 3)


def test_steps_of_a_schedule_are_seen_alike() -> None:
    seen: list[list[Any]] = [[], []]
    for place, module in enumerate((lampas, torch)):
        plan = module.profiler.schedule(wait=1, warmup=1, active=2, repeat=2)

        def ready(prof: Any, place: int = place) -> None:
            counts = {row.key: row.count for row in prof.key_averages()}
            seen[place].append((prof.step_num, counts["ProfilerStep*"], counts["aten::mul"]))

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with module.profiler.profile(schedule=plan, on_trace_ready=ready) as prof:
                for _ in range(9):
                    module.ones(3) * 2
                    prof.step()
    assert seen[0] == seen[1] == [(4, 2, 2), (8, 2, 2)]


def test_the_head_of_a_table_is_the_same() -> None:
    heads = []
    for module in (lampas, torch):
        with module.profiler.profile(profile_memory=True) as prof:
            module.ones(3) * 2
        lines = prof.key_averages().table(sort_by="self_cpu_time_total", row_limit=2).splitlines()
        assert lines[-1].startswith("Self CPU time total: ")
        heads.append(lines[1].split())
    assert heads[0] == heads[1]
