"""Trails: walking back without a tape gives what the tape gives, bit for bit, and the tape is there for who looks."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import lampas as torch
from lampas import nn
from lampas.engine.derive import trail as trails
from lampas.engine.settings import settings
from lampas.nn import functional as F

Numbers = list[list[float]]


def both_ways(program: Callable[[], Numbers], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbers with trails, and one operation at a time on the tape.

    Bit for bit where NumPy computes both; compiled, a whole step rounds otherwise than its parts.
    """
    torch.manual_seed(0)
    compiled = program()
    monkeypatch.setattr(settings, "tier", "reference")
    torch.manual_seed(0)
    quick = program()
    monkeypatch.setattr(settings, "eager", True)
    torch.manual_seed(0)
    assert program() == quick
    for ours, theirs in zip(compiled, quick, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-6)


def gradients(*tensors: Any) -> list[float]:
    return [x for t in tensors if t.grad is not None for x in t.grad.flatten().tolist()]


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))


def batch() -> tuple[Any, Any]:
    return torch.randn(5, 4), torch.randint(0, 3, (5,))


# ---- programs that take turns ----------------------------------------------------------------------------------


def plain_training() -> Numbers:
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(5):
        x, y = batch()
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return [losses, *[p.flatten().tolist() for p in model.parameters()]]


def branches() -> Numbers:
    model = network()
    losses = []
    for step in range(6):
        x, y = batch()
        out = model(x)
        if step % 2:
            out = out * 2 + 1
        if step % 3 == 2:
            out = torch.tanh(out)
        loss = F.cross_entropy(out, y)
        loss.backward()
        losses.append(loss.item())
    return [losses, gradients(*model.parameters())]


def in_place_and_views() -> Numbers:
    w = torch.randn(4, 6, requires_grad=True)
    found = []
    for _ in range(3):
        x = torch.randn(5, 4)
        h = x @ w
        h.add_(1)
        left, right = h[:, :3], h[:, 3:]
        right = right.clone().mul_(left)
        part = right.view(-1)
        part = F.relu(part, inplace=True)
        (part.sum() + (h.t() * h.t()).mean()).backward()
        found.append(gradients(w))
    return found


def frozen_and_accumulated() -> Numbers:
    model = network()
    found = []
    for step in range(6):
        model[0].weight.requires_grad_(step % 2 == 0)
        x, y = batch()
        F.cross_entropy(model(x), y).backward()
        found.append(gradients(*model.parameters()))
        if step == 3:
            model.zero_grad()
    return found


def two_models() -> Numbers:
    generator, critic = nn.Linear(3, 4), network()
    found = []
    for _ in range(3):
        made = generator(torch.randn(5, 3))
        (critic(made.detach()).mean() - critic(torch.randn(5, 4)).mean()).backward()
        critic.zero_grad()
        (-critic(made).mean()).backward()
        found.append(gradients(*generator.parameters(), *critic.parameters()))
    return found


def hooks() -> Numbers:
    w = torch.randn(4, requires_grad=True)
    seen: list[float] = []
    for step in range(4):
        y = w * 3
        if step >= 1:
            y.register_hook(lambda g: seen.extend(g.tolist()))
        if step == 2:
            w.register_hook(lambda g: g * 2)
        (y * y).sum().backward()
        seen.extend(gradients(w))
    return [seen]


def looking_in_between() -> Numbers:
    w = torch.randn(4, requires_grad=True)
    found: Numbers = []
    for step in range(4):
        y = (w * 2).exp()
        if step % 2:
            found.append([y.sum().item()])
        z = (y * w).sum()
        assert z.grad_fn.name() == "SumBackward0" or step % 2 == 0
        z.backward(retain_graph=True)
        z.backward()
        found.append(gradients(w))
    return found


def same_operand_twice() -> Numbers:
    a, b = (torch.randn(3, requires_grad=True) for _ in range(2))
    found = []
    for first, second in ((a, b), (a, a), (b, a), (b, b)):
        (first * second).sum().backward()
        found.append(gradients(a, b))
    return found


def given_gradients_and_unused_parts() -> Numbers:
    w = torch.randn(3, requires_grad=True)
    found = []
    for step in range(3):
        a, b = (w * 2).sin(), (w * w).cos()
        a.backward(torch.full((3,), float(step)))
        b.sum().backward()
        found.append(gradients(w))
    return found


def functional_training() -> Numbers:
    """Gradients are asked for, not accumulated: Newton's method, and steps written by hand."""
    losses = []
    x = torch.tensor(2.0, requires_grad=True)
    for _ in range(4):
        y = x**3 - 2 * x - 5
        (slope,) = torch.autograd.grad(y, x)
        x = (x - y / slope).detach().requires_grad_()
        losses.append([x.item()])
    model = network()
    for step in range(4):
        given, labels = batch()
        loss = F.cross_entropy(model(given), labels)
        parameters = list(model.parameters())
        slopes = torch.autograd.grad(loss, parameters, retain_graph=step == 2)
        if step == 2:
            slopes = torch.autograd.grad(loss, parameters[:1]) + slopes[1:]
        with torch.no_grad():
            for parameter, slope in zip(parameters, slopes, strict=True):
                parameter -= 0.1 * slope
        assert all(parameter.grad is None for parameter in parameters)
        losses.append([loss.item(), *[slope.sum().item() for slope in slopes]])
    return losses


def errors_in_forward() -> Numbers:
    model = network()
    found = []
    for step in range(4):
        x, y = batch()
        out = model[1](model[0](x))
        if step == 1:
            with pytest.raises(RuntimeError):
                model[0](out)
        F.cross_entropy(model[2](out), y).backward()
        found.append(gradients(*model.parameters()))
    return found


PROGRAMS = [
    plain_training, branches, in_place_and_views, frozen_and_accumulated, two_models, hooks,
    looking_in_between, same_operand_twice, given_gradients_and_unused_parts, functional_training,
    errors_in_forward,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_trails_give_what_the_tape_gives(
    program: Callable[[], Numbers], monkeypatch: pytest.MonkeyPatch
) -> None:
    both_ways(program, monkeypatch)


def test_asking_for_some_gradients_releases_only_what_leads_there() -> None:
    x, w = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    total = (x * x).sum() + (w * w).sum()
    (first,) = torch.autograd.grad(total, x)
    (second,) = torch.autograd.grad(total, w)
    assert first.tolist() == second.tolist() == [2.0] * 3
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(total, w)


@pytest.mark.parametrize("eager", [False, True])
def test_what_saves_nothing_is_walked_again(eager: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "eager", eager)
    x = torch.ones(3, 2, requires_grad=True)
    total = (x.t().reshape(-1) + 1).sum()
    total.backward()
    total.backward()
    assert x.grad.tolist() == [[2.0] * 2] * 3


def test_gradients_of_leaves_are_asked_for_without_a_tape() -> None:
    x, w = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    loss = (x * w).sum()
    mark = loss._edge
    torch.autograd.grad(loss, (x, w), retain_graph=True)
    assert loss._edge is mark
    assert mark.trail.entries is None
    (twice,) = torch.autograd.grad(loss, (w,), torch.tensor(2.0), retain_graph=True)
    assert twice.tolist() == [2.0] * 3
    assert mark.trail.entries is None
    torch.autograd.grad(loss, (x, w))
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(loss, (x, w))


def test_second_derivatives_are_walked_on_the_tape(monkeypatch: pytest.MonkeyPatch) -> None:
    def program() -> Numbers:
        w = torch.randn(3, requires_grad=True)
        (g,) = torch.autograd.grad((w**3).sum(), w, create_graph=True)
        g.sum().backward()
        return [gradients(w)]

    both_ways(program, monkeypatch)


# ---- what users see --------------------------------------------------------------------------------------------


def test_a_known_walk_is_one_node() -> None:
    w = torch.randn(3, requires_grad=True)
    for _ in range(3):
        y = (w * 2).exp().sum()
        mark = y._edge
        y.backward()
    assert type(mark) is trails.Mark
    assert mark.trail.entries is None


def test_a_second_walk_is_refused() -> None:
    w = torch.randn(3, requires_grad=True)
    y = (w * w).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()
    assert y.grad_fn is not None


def test_overwritten_values_are_noticed() -> None:
    w = torch.randn(3, requires_grad=True)
    for _ in range(2):
        y = w.exp()
        z = y.sum()
        y.detach().add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace"):
            z.backward()


def test_the_tape_shows_the_operations_in_order() -> None:
    w = torch.randn(3, requires_grad=True)
    y = ((w * 2).exp() + w).sum()
    node = y.grad_fn
    assert node is not None
    names = [node.name(), node.next_functions[0][0].name()]  # type: ignore[union-attr]
    assert names == ["SumBackward0", "AddBackward0"]
    assert y.requires_grad
    assert not y.is_leaf


def test_what_is_computed_and_never_walked_is_forgotten() -> None:
    w = torch.randn(3, requires_grad=True)
    references = []
    for _ in range(3):
        y = w.exp()
        references.append(weakref.ref(y._storage))
        y.sum().item()
        del y
    gc.collect()
    assert [reference() for reference in references] == [None] * 3


def test_released_values_are_forgotten() -> None:
    w = torch.randn(3, requires_grad=True)
    y = w.exp()
    reference = weakref.ref(y._storage)
    z = y.sum()
    del y
    z.backward()
    assert reference() is None
    assert z.item() > 0


def test_threads_have_trails_of_their_own() -> None:
    w = torch.randn(64, requires_grad=True)
    expected = (w.detach().exp() * 2).tolist()
    found: dict[int, list[float]] = {}

    def work(number: int) -> None:
        mine = w.detach().clone().requires_grad_()
        for _ in range(5):
            mine.grad = None
            (mine.exp() * 2).sum().backward()
        found[number] = mine.grad.tolist()  # type: ignore[union-attr]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[n] == pytest.approx(expected, rel=1e-6) for n in range(3))


def test_the_trie_begins_anew_when_it_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trails, "STEPS_KEPT", 3)
    w = torch.randn(3, requires_grad=True)
    for scale in range(8):
        w.grad = None
        (w * float(scale)).sum().backward()
        assert w.grad.tolist() == [float(scale)] * 3  # type: ignore[union-attr]
    assert trails._ROOT[0].count <= 4


def test_what_has_no_derivative_does_not_write_the_tape() -> None:
    """Counting hits after the backward pass, as training loops do."""
    model = nn.Linear(4, 3)
    for _ in range(4):
        out = model(torch.randn(5, 4))
        F.cross_entropy(out, torch.randint(0, 3, (5,))).backward()
    trail = out._edge.trail  # type: ignore[union-attr]
    classes = out.argmax(1)
    assert not classes.requires_grad
    assert (classes == out.detach().argmax(1)).all()
    assert not (out > 0).requires_grad
    assert trail.entries is None
