"""The cursor: a step with a function of its own takes it only where nothing differs from what it was written for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import lampas as torch
from lampas.engine.derive import trail
from lampas.engine.derive.trail import CURRENT, current_trail, end_trail
from lampas.engine.graph.journal import OFTEN
from lampas.engine.settings import settings
from lampas.engine.tensor import door
from lampas.nn import functional as F

Inputs = dict[str, Any]


def make_inputs() -> Inputs:
    torch.manual_seed(0)
    leaves = {name: torch.randn(3, 3, requires_grad=True) for name in ("a", "b", "c")}
    return {**leaves, "x": torch.randn(3, 3), "y": torch.tensor([0, 2, 1])}


def usual(i: Inputs) -> Any:
    """A view, several results, integers, a number of Python, the same leaf in two operations."""
    first, rest = (F.linear(i["x"], i["a"], i["b"][0]) * i["a"]).split([1, 2])
    joined = torch.cat((rest, first)).t() * 0.5
    return F.cross_entropy(joined @ i["b"], i["y"]) + joined.sum()


def swapped(i: Inputs) -> None:
    i["a"], i["b"] = i["b"], i["a"]


def same_twice(i: Inputs) -> None:
    i["b"] = i["a"]


def frozen(i: Inputs) -> None:
    i["a"].requires_grad_(False)


def wanted(i: Inputs) -> None:
    i["x"].requires_grad_()


def made(i: Inputs) -> None:
    i["a"] = i["a"] * 2


def made_without(i: Inputs) -> None:
    with torch.no_grad():
        i["a"] = i["a"] * 2


def double(i: Inputs) -> None:
    for name in "abcx":
        i[name] = i[name].detach().double().requires_grad_(name != "x")


def written(i: Inputs) -> None:
    with torch.no_grad():
        i["x"].add_(1)


def part_written(i: Inputs) -> None:
    whole = i["c"] * 1
    i["a"] = whole[:]
    whole[0].mul_(3)


def shared_with_numpy(i: Inputs) -> None:
    array = i["x"].numpy()
    array[0] = 7


def other_data(i: Inputs) -> None:
    i["a"].data = i["c"].data


def transposed(i: Inputs) -> None:
    i["x"] = i["x"].t()


def other_classes(i: Inputs) -> None:
    i["y"] = torch.tensor([1, 1, 0], dtype=torch.uint8)


DIFFERENCES: list[Callable[[Inputs], None]] = [
    swapped, same_twice, frozen, wanted, made, made_without, double, written, part_written, shared_with_numpy, other_data,
    transposed, other_classes,
]  # fmt: skip


def run(difference: Callable[[Inputs], None], usual_first: int) -> list[list[float]]:
    """Loss and gradients of a step that differs, after so many usual ones."""
    for _ in range(usual_first):
        usual(make_inputs()).backward()
        end_trail()
    inputs = make_inputs()
    difference(inputs)
    names = [name for name in "abcx" if inputs[name].requires_grad and inputs[name].is_leaf]
    loss = usual(inputs)
    loss.backward()
    return [
        [loss.item()],
        *[inputs[name].grad.flatten().tolist() for name in names if inputs[name].grad is not None],
    ]


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_a_step_that_differs(
    difference: Callable[[Inputs], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "tier", "reference")
    found = run(difference, OFTEN + 2)
    monkeypatch.setattr(door, "OFTEN", 1 << 60)
    monkeypatch.setattr(trail, "_ROOT", [trail._Root()])
    end_trail()
    assert run(difference, OFTEN + 2) == found
    monkeypatch.setattr(settings, "eager", True)
    for ours, theirs in zip(run(difference, 0), found, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-6)


def test_a_usual_step_is_taken_by_its_function() -> None:
    inputs = make_inputs()
    for _ in range(OFTEN + 1):
        usual(inputs).backward()
        end_trail()
    here = current_trail()
    steps = []
    place: Any = here.step
    while place.next is not None:
        place = place.next
        steps.append(place)
    assert len(steps) > 8
    assert all(step.follow is not None for step in steps)
    before = [step.taken for step in steps]
    usual(inputs)
    assert here.steps == steps
    assert [step.taken for step in steps] == before  # only the long way counts


def test_a_resolved_trail_is_not_followed() -> None:
    for _ in range(OFTEN + 2):
        inputs = make_inputs()
        product = inputs["a"] * inputs["b"]
        assert product.grad_fn is not None
        (product * inputs["c"]).sum().backward()
        assert torch.equal(inputs["c"].grad, product)
        end_trail()


def test_modes_are_respected() -> None:
    a = torch.ones(2, requires_grad=True)
    for _ in range(OFTEN + 2):
        (a * a).sum().backward()
        end_trail()
    with torch.no_grad():
        assert not (a * a).requires_grad
    with torch.autograd.detect_anomaly():
        assert CURRENT.trail is None
        with pytest.raises(RuntimeError, match="nan values"):
            (a * a * float("nan")).sum().backward()
        assert CURRENT.trail is None
    assert (a * a).requires_grad
    assert CURRENT.trail is not None
