"""Checkpointed parts: the same numbers as without, fewer values kept, misuse told."""

import contextlib
from typing import Any

import pytest

import lampas
from lampas import nn
from lampas.utils.checkpoint import (
    CheckpointError,
    checkpoint,
    checkpoint_sequential,
    set_checkpoint_debug_enabled,
)

BOTH = pytest.mark.parametrize("reentrant", [True, False])


def make_model() -> nn.Sequential:
    lampas.manual_seed(5)
    return nn.Sequential(
        nn.Linear(6, 8), nn.Dropout(0.4), nn.Tanh(), nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 2)
    )


def gradients(model: nn.Module, run: Any) -> list[list[float]]:
    lampas.manual_seed(7)
    x = lampas.randn(3, 6, requires_grad=True)
    out = run(x)
    (out * out).sum().backward()
    lampas.rand(1)
    after = lampas.rand(3)
    tensors = [x, *model.parameters()]
    result = [tensor.grad.flatten().tolist() for tensor in tensors]
    return [*result, out.flatten().tolist(), after.tolist()]


@BOTH
@pytest.mark.parametrize("segments", [1, 2, 3])
def test_gradients_and_random_numbers_stay_the_same(reentrant: bool, segments: int) -> None:
    plain = make_model()
    parted = make_model()
    expected = gradients(plain, plain)
    found = gradients(
        parted, lambda x: checkpoint_sequential(parted, segments, x, use_reentrant=reentrant)
    )
    assert found[-1] == expected[-1]  # the random numbers that follow
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-8)


@BOTH
def test_the_part_runs_twice_and_its_tape_is_gone(reentrant: bool) -> None:
    runs = []

    def part(x: lampas.Tensor) -> lampas.Tensor:
        runs.append(lampas.is_grad_enabled())
        return x.exp().sin().tanh()

    x = lampas.ones(2, requires_grad=True)
    out = checkpoint(part, x, use_reentrant=reentrant)
    assert len(runs) == 1
    (leaf, _), *others = [edge for edge in out.grad_fn.next_functions if edge[0] is not None]
    assert leaf.name().endswith("AccumulateGrad")
    assert not others
    out.sum().backward()
    assert len(runs) == 2
    assert runs[1]


@BOTH
def test_second_backward_needs_retain_graph(reentrant: bool) -> None:
    x = lampas.ones(2, requires_grad=True)
    out = checkpoint(lambda value: value.exp(), x, use_reentrant=reentrant).sum()
    out.backward(retain_graph=True)
    first = x.grad.tolist()
    out.backward()
    assert x.grad.tolist() == [2 * value for value in first]
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        out.backward()


def test_closed_over_tensors_and_functional_gradients() -> None:
    x = lampas.tensor([1.0, 2.0])
    w = lampas.tensor([3.0, 4.0], requires_grad=True)
    scaled = w * 2
    out = checkpoint(lambda value: (value * scaled).exp().log(), x, use_reentrant=False)
    (grad,) = lampas.autograd.grad(out.sum(), w)
    assert grad.tolist() == pytest.approx([2.0, 4.0])


def test_higher_derivatives() -> None:
    def third(run: Any) -> list[float]:
        x = lampas.tensor([0.5, 1.5], requires_grad=True)
        out = run(x)
        for _ in range(3):
            (out,) = lampas.autograd.grad(out.sum(), x, create_graph=True)
        return out.tolist()

    def part(x: lampas.Tensor) -> lampas.Tensor:
        return (x * x).exp() * x.sin()

    expected = third(part)
    found = third(lambda x: checkpoint(part, x, use_reentrant=False))
    assert found == pytest.approx(expected, rel=1e-5)


def test_nested_checkpoints() -> None:
    def inner(x: lampas.Tensor) -> lampas.Tensor:
        return x.sin().exp()

    def outer(x: lampas.Tensor) -> lampas.Tensor:
        return checkpoint(inner, x * 2, use_reentrant=False).tanh()

    x = lampas.tensor([0.3], requires_grad=True)
    checkpoint(outer, x, use_reentrant=False).backward()
    y = lampas.tensor([0.3], requires_grad=True)
    inner(y * 2).tanh().backward()
    assert x.grad.tolist() == pytest.approx(y.grad.tolist())


def test_hooks_of_leaves_run_once() -> None:
    x = lampas.ones(1, requires_grad=True)
    calls = []
    x.register_hook(lambda gradient: calls.append(gradient.item()))
    checkpoint(lambda value: value * 3, x, use_reentrant=False).backward()
    assert calls == [3.0]


def test_results_in_containers_and_inputs_passed_through() -> None:
    x = lampas.ones(2, requires_grad=True)

    def part(value: lampas.Tensor, *, scale: float) -> dict[str, Any]:
        return {"scaled": [value * scale, 7], "same": value, "index": value.argmax()}

    found = checkpoint(part, x, use_reentrant=False, scale=3.0)
    assert found["same"] is x
    assert found["scaled"][1] == 7
    assert not found["index"].requires_grad
    found["scaled"][0].sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_autocast_holds_in_the_second_run() -> None:
    seen = []

    def part(x: lampas.Tensor) -> lampas.Tensor:
        y = x @ x
        seen.append(y.dtype)
        return y.float()

    x = lampas.ones(2, 2, requires_grad=True)
    with lampas.autocast("cpu", dtype=lampas.bfloat16):
        out = checkpoint(part, x, use_reentrant=False)
    out.sum().backward()
    assert seen == [lampas.bfloat16, lampas.bfloat16]


def test_contexts_of_both_runs() -> None:
    seen = []

    @contextlib.contextmanager
    def note(name: str) -> Any:
        seen.append(name)
        yield

    x = lampas.ones(1, requires_grad=True)
    contexts = lambda: (note("first"), note("second"))  # noqa: E731
    checkpoint(lambda value: value.exp(), x, use_reentrant=False, context_fn=contexts).backward()
    assert seen == ["first", "second"]
    with pytest.raises(ValueError, match="context_fn"):
        checkpoint(lambda value: value, x, use_reentrant=True, context_fn=contexts)


def test_a_part_that_changes_is_told() -> None:
    x = lampas.ones(2, requires_grad=True)
    runs = []

    def shrinking(value: lampas.Tensor) -> lampas.Tensor:
        runs.append(1)
        return value.sin() if len(runs) == 1 else value[:1].sin()

    def growing(value: lampas.Tensor) -> lampas.Tensor:
        runs.append(1)
        return value.sin() if len(runs) == 1 else value.cos()

    out = checkpoint(shrinking, x, use_reentrant=False)
    with pytest.raises(CheckpointError, match="different number of tensors"):
        out.sum().backward()
    runs.clear()
    out = checkpoint(growing, x, use_reentrant=False)
    with (
        set_checkpoint_debug_enabled(True),
        pytest.raises(CheckpointError, match=r"different metadata(?s:.*)recomputation: .*Cos"),
    ):
        out.sum().backward()


def test_misuse() -> None:
    x = lampas.ones(1, requires_grad=True)
    with pytest.warns(UserWarning, match="use_reentrant parameter should be passed explicitly"):
        checkpoint(lambda value: value, x)
    with pytest.raises(ValueError, match="Unexpected keyword arguments: k"):
        checkpoint(lambda value, k: value, x, use_reentrant=True, k=1)
    with pytest.warns(UserWarning, match="None of the inputs have requires_grad=True"):
        out = checkpoint(lambda value: value * x, lampas.ones(1), use_reentrant=True)
    assert not out.requires_grad
    with pytest.raises(ValueError, match="cannot be run in 3 segments"):
        checkpoint_sequential([lampas.sin], 3, x, use_reentrant=False)
    with lampas.no_grad():
        assert not checkpoint(lambda value: value * 2, x, use_reentrant=False).requires_grad
