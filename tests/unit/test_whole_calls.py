"""Compiled calls that are replayed whole: everything is as if the function had run, and where not, it runs."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import lampas as torch
from lampas import nn
from lampas.compiler.whole_calls import WholeCalls
from lampas.engine.realize.statistics import statistics
from lampas.engine.settings import settings
from lampas.nn import functional as F

SCALE = 1.0
WEIGHT = torch.ones(3, requires_grad=True)
LOG: list[int] = []
CALLS = 12  # enough to be recorded, and to be replayed a few times


@pytest.fixture(autouse=True)
def compiled_tier() -> Iterator[None]:
    with settings.override(tier="compiled"):
        yield


def calls_of(function: Any) -> WholeCalls:
    """The replays behind a compiled function."""
    for cell in function.__closure__:
        found = getattr(cell.cell_contents, "args", ())
        if len(found) > 1 and isinstance(found[1], WholeCalls):
            return found[1]
    raise AssertionError("no compiled function")


def step_of(net: Any, optimizer: Any) -> Callable[[Any, Any], Any]:
    """A step of training."""

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


class Twin:
    """A network with an optimizer, and a step that may be compiled."""

    def __init__(self, compiled: bool, optimizer: str = "SGD", **options: Any) -> None:
        torch.manual_seed(3)
        self.net = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))
        self.optimizer = getattr(torch.optim, optimizer)(self.net.parameters(), lr=0.05, **options)
        step = step_of(self.net, self.optimizer)
        self.compiled = compiled
        self.step = torch.compile(step) if compiled else step

    def state(self) -> list[Any]:
        """All that can be seen of it."""
        found: list[Any] = []
        for tensor in [*self.net.parameters(), *self.net.buffers()]:
            found += [tensor.tolist(), tensor._version, tensor.requires_grad]
            found.append(None if tensor.grad is None else tensor.grad.tolist())
        for state in self.optimizer.state.values():
            found += [(name, value.tolist()) for name, value in state.items()]
        return found


def batch(number: int, rows: int = 4) -> tuple[Any, Any]:
    generator = torch.Generator().manual_seed(number)
    inputs = torch.randn(rows, 6, generator=generator)
    return inputs, torch.randint(0, 3, (rows,), generator=generator)


def together(
    change: Callable[[Twin, int], None] = lambda twin, number: None,
    calls: int = 2 * CALLS,
    rows: Callable[[int], int] = lambda number: 4,
    **options: Any,
) -> WholeCalls:
    """Two twins do the same, one compiled; `change` comes before each step. Everything must be equal, bit by bit."""
    twins = Twin(True, **options), Twin(False, **options)
    for number in range(calls):
        losses = []
        for twin in twins:
            change(twin, number)
            losses.append(twin.step(*batch(number, rows(number))))
        first, second = losses
        assert first.item() == second.item(), number
        assert first.requires_grad
        assert first.grad_fn.name() == second.grad_fn.name()
        assert twins[0].state() == twins[1].state(), number
    return calls_of(twins[0].step)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.9, "nesterov": True},
        {"optimizer": "Adam"},
        {"optimizer": "AdamW", "amsgrad": True},
        {"optimizer": "RMSprop"},
        {"optimizer": "Adagrad"},
    ],
    ids=str,
)
def test_a_training_step_is_replayed(options: Any) -> None:
    calls = together(**options)
    assert calls.replayed > CALLS
    assert not calls.reasons
    assert str(calls).endswith("calls replayed whole")


def test_no_python_runs_in_a_replay() -> None:
    ran = SimpleNamespace(count=0)

    class Counting(nn.Linear):
        def forward(self, input: Any) -> Any:
            return super().forward(input)

    net = Counting(2, 1)
    step = torch.compile(lambda x: net(x))
    with torch.no_grad():
        for _ in range(CALLS):
            step(torch.ones(3, 2))
        original, Counting.forward = Counting.forward, None  # type: ignore[assignment]
        try:
            with pytest.raises(TypeError):
                step(torch.ones(3, 2))  # a class's function was replaced: seen
        finally:
            Counting.forward = original
        assert step(torch.ones(3, 2)).tolist() == net(torch.ones(3, 2)).tolist()
    assert calls_of(step).replayed
    assert not ran.count


def test_learning_rates_and_options_of_groups() -> None:
    def change(twin: Twin, number: int) -> None:
        twin.optimizer.param_groups[0]["lr"] = 0.1 / (1 + number)
        if number == CALLS:
            twin.optimizer.param_groups[0]["weight_decay"] = 0.1

    assert together(change, momentum=0.5).replayed > CALLS // 2


def test_train_and_eval_alternate() -> None:
    calls = together(lambda twin, number: twin.net.train(number % 8 < 6) and None, calls=40)
    assert calls.replayed > CALLS


def test_batch_sizes_alternate() -> None:
    calls = together(rows=lambda number: 3 + number % 2, calls=40)
    assert len(calls.replays) == 2


def freeze(twin: Twin, number: int) -> None:
    twin.net[0].weight.requires_grad_(number < 14 or number > 18)


def load(twin: Twin, number: int) -> None:
    if number == 14:
        state = {name: value * 0.5 for name, value in twin.net.state_dict().items()}
        state["1.num_batches_tracked"] = torch.tensor(3)
        twin.net.load_state_dict(state)
        twin.optimizer.load_state_dict(twin.optimizer.state_dict())


def give_other_memory(twin: Twin, number: int) -> None:
    if number == 14:
        twin.net[3].bias.data = torch.ones(3)


def replace_a_layer(twin: Twin, number: int) -> None:
    if number == 14:
        torch.manual_seed(9)
        twin.net[2] = nn.Tanh()


def hook_a_module(twin: Twin, number: int) -> None:
    if number == 14:
        twin.hook = twin.net[0].register_forward_hook(lambda *given: given[2] * 2)  # type: ignore[attr-defined]
    if number == 18:
        twin.hook.remove()  # type: ignore[attr-defined]


def hook_a_parameter(twin: Twin, number: int) -> None:
    if number == 14:
        twin.net[0].weight.register_hook(lambda gradient: gradient * 3)


def write_a_parameter(twin: Twin, number: int) -> None:
    if number > 12:
        with torch.no_grad():
            twin.net[0].weight.mul_(0.5)


def set_gradients(twin: Twin, number: int) -> None:
    if number % 5 == 0:
        twin.net.zero_grad()
    elif number % 5 == 1 and twin.net[0].bias.grad is not None:
        twin.net[0].bias.grad.add_(1)


def add_a_group(twin: Twin, number: int) -> None:
    if number == 14:
        extra = nn.Parameter(torch.ones(2))
        extra.grad = torch.ones(2)
        twin.extra = extra  # type: ignore[attr-defined]
        twin.optimizer.add_param_group({"params": [extra], "lr": 1.0})


@pytest.mark.parametrize(
    "change",
    [
        freeze,
        load,
        give_other_memory,
        replace_a_layer,
        hook_a_module,
        hook_a_parameter,
        write_a_parameter,
        set_gradients,
        add_a_group,
    ],
    ids=lambda change: change.__name__,
)
def test_changes_between_calls(change: Any) -> None:
    assert together(change, calls=30, momentum=0.9).replayed


def test_values_that_somebody_holds_stay() -> None:
    twin = Twin(True, momentum=0.9)
    weight = twin.net[0].weight
    for number in range(2 * CALLS):
        twin.step(*batch(number))
        value, gradient, pending = weight.detach().clone(), weight.grad, weight * 2
        view, array = weight.detach(), weight.detach().numpy() if number > CALLS else None
        kept = value.tolist(), gradient.tolist()
        before = twin.step(*batch(number))
        assert (value.tolist(), gradient.tolist()) == kept
        assert pending.tolist() == (value * 2).tolist()
        assert view.tolist() == weight.tolist() != kept[0]
        assert weight.grad is not gradient
        if array is not None:
            assert array.tolist() == weight.tolist()
        after = twin.step(*batch(number))
        assert before.item() != after.item()
    assert calls_of(twin.step).replayed


def test_a_second_walk_back_is_refused() -> None:
    twin = Twin(True)
    for number in range(CALLS):
        loss = twin.step(*batch(number))
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()
    assert twin.step(*batch(1)).grad_fn is not None


def test_a_bad_index_changes_nothing() -> None:
    twin, plain = Twin(True), Twin(False)
    for number in range(CALLS):
        twin.step(*batch(number)), plain.step(*batch(number))
    inputs, _ = batch(1)
    with pytest.raises(IndexError):
        twin.step(inputs, torch.tensor([0, 1, 7, 2]))
    with pytest.raises(IndexError):
        plain.step(inputs, torch.tensor([0, 1, 7, 2]))
    assert twin.state() == plain.state()
    assert twin.step(*batch(3)).item() == plain.step(*batch(3)).item()


def test_gradients_are_added_up() -> None:
    net = nn.Linear(6, 3)
    other = nn.Linear(6, 3)
    other.load_state_dict(net.state_dict())

    def add(module: Any, x: Any, y: Any) -> Any:
        loss = F.cross_entropy(module(x), y)
        loss.backward()
        return loss.detach()

    compiled = torch.compile(add)
    for number in range(CALLS):
        compiled(net, *batch(number)), add(other, *batch(number))
        assert net.weight.grad.tolist() == other.weight.grad.tolist()
        assert net.weight.grad._version == other.weight.grad._version
    assert calls_of(compiled).replayed


def test_random_numbers_go_on() -> None:
    def run(compiled: bool) -> list[float]:
        torch.manual_seed(5)
        net = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.3), nn.Linear(8, 3))
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        step = step_of(net, optimizer)
        used = torch.compile(step) if compiled else step
        found = [used(*batch(number)).item() for number in range(CALLS)]
        assert not compiled or calls_of(used).replayed
        return [*found, torch.rand(1).item()]

    assert run(True) == run(False)


# ---- what the code looks at -----------------------------------------------------------------------------------------


def test_globals_cells_attributes_and_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    config, factors, options = SimpleNamespace(shift=1.0, other=0), [2.0], {"power": 2}
    outer = 0.5

    def compute(x: Any) -> Any:
        return (x * SCALE + config.shift) ** options["power"] * factors[0] + outer

    compiled = torch.compile(compute)
    x = torch.arange(4.0)

    def check() -> None:
        before = calls_of(compiled).replayed
        for _ in range(CALLS):
            assert compiled(x).tolist() == compute(x).tolist()
        assert calls_of(compiled).replayed > before

    check()
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    check()
    config.shift = 7.0
    check()
    factors[0] = 5.0
    check()
    options["power"] = 3
    check()
    outer = 1.5
    check()


def test_attributes_of_modules_and_arguments() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = 2.0

        def forward(self, x: Any, power: int = 1, *, sign: bool = False) -> Any:
            return -((x * self.factor) ** power) if sign else (x * self.factor) ** power

    module = Scaled()
    compiled = torch.compile(module)
    x = torch.arange(3.0)
    for number in range(3 * CALLS):
        module.factor = 2.0 if number < CALLS else 3.0
        assert compiled(x).tolist() == (x * module.factor).tolist()
        assert compiled(x, 2, sign=True).tolist() == (-((x * module.factor) ** 2)).tolist()
    assert compiled(x.double()).dtype is torch.float64


def test_results_in_their_containers() -> None:
    compiled = torch.compile(lambda x: {"a": [x + 1, x], "b": (None, 2.5, (x * 2).sum())})
    x = torch.arange(3.0)
    for _ in range(CALLS):
        made = compiled(x)
        assert made["a"][1] is x
        assert made["a"][0].tolist() == [1, 2, 3]
        assert made["b"][:2] == (None, 2.5)
        assert made["b"][2].item() == 6
    assert calls_of(compiled).replayed


# ---- what is not replayed -------------------------------------------------------------------------------------------


class Stateful(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Any) -> Any:
        self.calls += 1
        return x + self.calls


def sets_a_global(x: Any) -> Any:
    global SCALE
    SCALE = 1.0
    return x


def appends(x: Any) -> Any:
    LOG.append(1)
    return x + len(LOG)


def iterates(x: Any, numbers: Iterator[int] = iter(range(10**6))) -> Any:  # noqa: B008
    return x + next(numbers)


REFUSED = {
    "an attribute": (Stateful(), "sets the attribute calls"),
    "a global": (sets_a_global, "sets the global SCALE"),
    "a list": (appends, "differs from call to call"),
    "an iterator": (iterates, "whose changes are not seen"),
    "a branch": (lambda x: x if x.sum() > 0 else -x, "a value is read"),
    "a print": (lambda x: print(end="") or x * 2, "calls print"),
    "NumPy": (lambda x: x * np.sum([1, 2]), "calls"),
    "a gradient": (lambda x: x * WEIGHT, "gradients may be asked"),
    "an argument": (lambda x: x.add_(1), "changes an argument"),
    "a new value": (lambda x: x * torch.tensor([1.0, 2.0, 3.0]), "anew in each call"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    function, reason = REFUSED[name]
    compiled = (
        torch.compile(lambda x: function(x)) if name == "an attribute" else torch.compile(function)
    )
    LOG.clear()
    for _ in range(30):
        compiled(torch.ones(3))
    calls = calls_of(compiled)
    assert calls.replayed == 0
    assert any(reason in found for found in calls.reasons), calls.reasons
    assert name != "a list" or len(LOG) == 30


def test_schedulers_and_random_modules_are_refused() -> None:
    twin = Twin(False)
    schedule = torch.optim.lr_scheduler.StepLR(twin.optimizer, 1)

    def step(x: Any, y: Any) -> Any:
        loss = twin.step(x, y)
        schedule.step()
        return loss

    compiled = torch.compile(step)
    for number in range(CALLS):
        compiled(*batch(number))
    assert schedule.last_epoch == CALLS
    assert "keeps a state" in calls_of(compiled).reasons[0]


def test_nothing_is_kept_of_the_call_that_was_recorded() -> None:
    twin = Twin(True)
    kept = []
    for number in range(CALLS):
        inputs, classes = batch(number)
        kept.append(torch._weakref(inputs) if hasattr(torch, "_weakref") else None)
        twin.step(inputs, classes)
    del inputs, classes
    gc.collect()
    shapes = [
        each for each in gc.get_objects() if type(each) is torch.Tensor and each._shape == (4, 6)
    ]
    assert not shapes


def test_threads_share_a_compiled_function() -> None:
    compiled = torch.compile(lambda x: (x * 2 + 1).sum())
    sums: dict[int, set[float]] = {}

    def work(number: int) -> None:
        x = torch.full((5,), float(number))
        sums[number] = {compiled(x).item() for _ in range(2 * CALLS)}

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sums == {number: {10 * number + 5} for number in range(4)}


def test_watchers_see_every_operation() -> None:
    twin = Twin(True)
    for number in range(CALLS):
        twin.step(*batch(number))
    replayed = calls_of(twin.step).replayed
    with torch.profiler.profile() as profile:
        twin.step(*batch(1))
    assert calls_of(twin.step).replayed == replayed
    assert any("linear" in row.key or "addmm" in row.key for row in profile.key_averages())


def test_a_debugger_sees_every_line() -> None:
    twin = Twin(True)
    for number in range(CALLS):
        twin.step(*batch(number))
    replayed, lines = calls_of(twin.step).replayed, []

    def trace(frame: Any, event: str, argument: Any) -> Any:
        if frame.f_code.co_name == "step" and frame.f_code.co_filename == __file__:
            lines.append(frame.f_lineno)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        twin.step(*batch(1))
    finally:
        sys.settrace(before)
    assert calls_of(twin.step).replayed == replayed
    assert len(set(lines)) >= 5


def test_a_compiled_model_in_training_is_not_cut_off_from_its_loss() -> None:
    """What is refused has not been computed apart: the loop stays one program."""
    twin = Twin(False)
    model = torch.compile(twin.net)
    built = 0
    for number in range(2 * CALLS):
        inputs, classes = batch(number)
        twin.optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), classes)
        loss.backward()
        twin.optimizer.step()
        if number == 3:
            built = statistics.programs
    assert statistics.programs == built


def test_modes_are_told_apart() -> None:
    net = nn.Linear(3, 2)
    compiled = torch.compile(lambda x: net(x))
    x = torch.randn(4, 3)
    with torch.no_grad():
        for _ in range(CALLS):
            compiled(x)
        assert calls_of(compiled).replayed
        with torch.autocast("cpu"):
            assert compiled(x).dtype is torch.bfloat16
        with torch.inference_mode():
            assert compiled(x).tolist() == net(x).tolist()
        before = calls_of(compiled).replayed
        with torch.enable_grad():
            assert compiled(x).requires_grad
        assert calls_of(compiled).replayed == before
        assert compiled(x).requires_grad is False
    assert calls_of(compiled).replayed == before + 1
