"""The cursor's native function: it takes what the written ones take, refuses what they refuse, and loses no reference."""

from __future__ import annotations

import gc
import sys
import threading
from types import BuiltinFunctionType
from typing import TYPE_CHECKING, Any

import pytest

import lampas
from lampas import nn
from lampas.engine.derive import trail as trails
from lampas.engine.graph import journal as journals
from lampas.engine.llvm import python_objects
from lampas.engine.llvm.text import Module
from lampas.engine.settings import settings
from lampas.engine.tensor import cursor_binding, cursor_native, door
from lampas.engine.tensor.core import wrap
from lampas.engine.tensor.cursor import write_step
from lampas.engine.tensor.device import CPU

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STEPS = 12
needs_native = pytest.mark.skipif(
    not python_objects.are_known(), reason="this interpreter lays objects out in another way"
)


@pytest.fixture(autouse=True)
def fresh_paths() -> Iterator[None]:
    """Every test begins with tries that know nothing."""
    forget()
    with settings.override(tier="compiled", eager=False):
        yield
    forget()


def forget() -> None:
    trails._ROOT[0] = trails._Root()
    trails.end_trail()
    journals.forget()
    journals.CURRENT.journal = journals.Journal()


def training(seed: int = 0) -> Callable[[], list[float]]:
    """Steps of a network with views, several results, running statistics, a tied weight and integers."""
    lampas.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(16, 16), nn.LayerNorm(16), nn.Tanh(), nn.Linear(16, 5),
    )  # fmt: skip
    optimizer = lampas.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    tied = nn.Parameter(lampas.randn(16, 16))
    x, y = lampas.randn(6, 2, 4, 4), lampas.randint(0, 5, (6,))

    def step() -> list[float]:
        optimizer.zero_grad()
        tied.grad = None
        found = nn.functional.cross_entropy(model(x), y)
        parts = (tied @ tied.t() * 0.1).view(4, 64)[1:3].exp().split(32, 1)
        loss = found + (parts[0] * parts[1] + tied.sum() * tied.sum()).mean()
        loss.backward()
        optimizer.step()
        return [loss.item(), tied.grad.sum().item()]

    return step


def run(steps: int = STEPS) -> list[list[float]]:
    step = training()
    return [step() for _ in range(steps)]


def steps_of(root: Any) -> list[Any]:
    """All entries of a trie."""
    found, waiting = [], [root]
    while waiting:
        here = waiting.pop()
        found.append(here)
        waiting.extend(here.branches.values())
    return found


@needs_native
def test_the_native_function_takes_all_steps_of_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the first: two paths begin at the journal's root, the step's and that of the sum that is looked at."""
    refused: list[str] = []

    def write_telling(step: Any, *arguments: Any) -> Any:
        written = write_step(step, *arguments)

        def follow(*given: Any) -> Any:
            refused.append(step.operation.name)
            return written(*given)

        return written and follow

    monkeypatch.setattr(door, "write_step", write_telling)
    step = training()
    for _ in range(STEPS):
        step()
    noted = [each for each in steps_of(trails._ROOT[0]) if getattr(each, "follow", None)]
    native = [each for each in noted if type(each.follow) is BuiltinFunctionType]
    assert len(native) > 20
    assert len(native) >= 0.9 * len(noted)
    refused.clear()
    step()
    assert refused == ["convolution"]


@needs_native
def test_the_numbers_are_those_of_the_functions_written_in_python(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    native = run()
    forget()
    monkeypatch.setattr(cursor_binding, "entrance", lambda: None)
    assert run() == native
    with settings.override(eager=True):
        assert run(3) == native[:3]


@needs_native
def test_no_reference_is_lost_or_left_over() -> None:
    """Objects that every step refers to are referred to as often after many steps as before."""
    step = training()
    for _ in range(STEPS):
        step()
    watched = [None, True, False, 0, CPU, lampas.float32, journals.CURRENT, lampas.Tensor]
    watched += [each.recipe for each in steps_of(trails._ROOT[0]) if getattr(each, "recipe", None)]
    watched += [shape for each in watched[8:20] for shape, _ in each.kinds]

    def counts() -> list[int]:
        gc.collect()
        return [sys.getrefcount(each) for each in watched]

    before, objects = counts(), len(gc.get_objects())
    for _ in range(300):
        step()
    drift = [after - first for after, first in zip(counts(), before, strict=True)]
    assert max(map(abs, drift)) < 60, drift
    # What earlier tests have left may go meanwhile; nothing of ours may come.
    assert len(gc.get_objects()) - objects < 200


CHANGES: dict[str, Callable[[Any], Any]] = {
    "another shape": lambda x: lampas.ones(5, 3),
    "another dtype": lambda x: x.double(),
    "a gradient wanted": lambda x: x.clone().requires_grad_(),
    "written in place": lambda x: x.add_(1),
    "a view": lambda x: x.t().contiguous().t(),
    "shared with an array": lambda x: lampas.from_numpy(x.numpy()),
    "another device": lambda x: x.to("meta"),
}


@needs_native
@pytest.mark.parametrize("change", CHANGES)
def test_what_differs_is_recorded_as_the_long_way_does(change: str) -> None:
    w = nn.Parameter(lampas.full((3, 3), 0.5))

    def once(x: Any) -> Any:
        weight = w.to(x.dtype)
        if x.device.type == "meta":
            return (x @ weight.to("meta")).tanh().shape
        y = (x @ weight).tanh() * 2
        (gradient,) = lampas.autograd.grad(y.sum(), [w])
        return [y.tolist(), gradient.tolist(), y.requires_grad]

    for _ in range(6):
        once(lampas.ones(3, 3))
    changed = CHANGES[change](lampas.ones(3, 3))
    found = once(changed)
    forget()
    assert found == once(CHANGES[change](lampas.ones(3, 3)))


@needs_native
def test_a_value_saved_and_then_overwritten_is_still_caught() -> None:
    w = nn.Parameter(lampas.ones(4))
    for turn in range(8):
        x = lampas.ones(4)
        y = (w * x).exp()
        if turn == 7:
            y.add_(1)
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                y.sum().backward()
            return
        y.sum().backward()


@needs_native
def test_threads_follow_trails_of_their_own() -> None:
    results: dict[int, list[list[float]]] = {}

    def work(number: int) -> None:
        w = nn.Parameter(lampas.full((3,), float(number + 1)))
        rows = []
        for _ in range(40):
            w.grad = None
            loss = (w * w).exp().sum()
            loss.backward()
            rows.append([loss.item(), w.grad[0].item()])
        results[number] = rows

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for rows in results.values():
        assert all(row == rows[0] for row in rows)
    assert len({rows[0][0] for rows in results.values()}) == 3


def test_an_interpreter_of_another_kind_keeps_the_functions_written_in_python(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(python_objects, "are_known", lambda: False)
    monkeypatch.setattr(cursor_binding, "entrance", cursor_binding.entrance.__wrapped__)
    run(6)
    noted = [each.follow for each in steps_of(trails._ROOT[0]) if getattr(each, "follow", None)]
    assert noted
    assert not any(type(each) is BuiltinFunctionType for each in noted)


@needs_native
def test_an_interpreter_that_hides_its_functions_keeps_them_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unlinked() -> Module:
        module = Module()
        for name in ("lampas_follow", "lampas_wrap"):
            b = module.function(name, [("ptr", "own")], "ptr")
            b.ret(b.call("Py_FunctionThatIsNotThere", "ptr", [b.arguments[0]]))
        return module

    monkeypatch.setattr(cursor_native, "follow_module", unlinked)
    assert cursor_binding.entrance.__wrapped__() is None


@needs_native
def test_places_of_slots_are_those_of_the_objects() -> None:
    """Every slot that the function reads or fills, tried on a living object."""
    import ctypes

    from lampas.engine.tensor import cursor_parts

    x = lampas.ones(3).requires_grad_()
    y = x * 2
    things = [y, y._storage, y._node, trails.CURRENT.trail, journals.CURRENT.journal]
    for thing in things:
        for name in type(thing).__slots__:
            if name.startswith("__") or not hasattr(thing, name):
                continue
            place = cursor_parts.place(f"{type(thing).__name__}.{name}")
            found = ctypes.c_void_p.from_address(id(thing) + place).value
            assert found is None or found == id(getattr(thing, name)), name


@needs_native
def test_new_objects_have_the_slots_that_python_gives_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A slot that is added to a class must be filled here too."""

    def filled() -> list[set[str]]:
        w = nn.Parameter(lampas.ones(3))
        for _ in range(6):
            y = w * 2
            y.sum().backward()
        things: list[Any] = [y, y._storage, y._node, y._edge, w.grad, w.grad._storage]
        return [
            {name for name in type(each).__slots__ if name[:2] != "__" and has(each, name)}
            for each in things
        ]

    def has(thing: Any, name: str) -> bool:
        try:
            type(thing).__dict__[name].__get__(thing)
        except AttributeError:
            return False
        return True

    native = filled()
    forget()
    monkeypatch.setattr(cursor_binding, "entrance", lambda: None)
    monkeypatch.setattr(cursor_binding, "PLAIN_TENSOR", [lambda node, edge: wrap(node, CPU, edge)])
    assert filled() == native
