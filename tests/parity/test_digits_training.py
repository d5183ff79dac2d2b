"""The digits program under real PyTorch and under Lampas: the same numbers from the same seed."""

import numpy
import pytest

import lampas
from lampas.data import load_digits
from lampas.demo import digits

torch = pytest.importorskip("torch")

STEPS = 50


def first_losses(namespace, optimizer_name: str) -> list[float]:
    data = load_digits()
    namespace.manual_seed(0)
    tensors = digits.to_tensors(namespace, data.train_images, data.train_labels)
    model = digits.make_model(namespace)
    optimizer = digits.make_optimizer(namespace, optimizer_name, model)
    steps = digits.train_epoch(namespace, model, optimizer, *tensors)
    return [loss for _, loss in zip(range(STEPS), steps, strict=False)]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_first_losses_are_equal(optimizer: str) -> None:
    ours, theirs = first_losses(lampas, optimizer), first_losses(torch, optimizer)
    assert len(ours) == STEPS
    numpy.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_order_of_the_digits_is_equal() -> None:
    orders = []
    for namespace in (lampas, torch):
        namespace.manual_seed(0)
        digits.make_model(namespace)  # draws the weights first, as the program does
        orders.append([namespace.randperm(4000).numpy() for _ in range(2)])
    assert numpy.array_equal(orders[0], orders[1])


def test_inputs_are_equal() -> None:
    data = load_digits()
    ours, theirs = (
        digits.to_tensors(namespace, data.test_images, data.test_labels)
        for namespace in (lampas, torch)
    )
    assert numpy.array_equal(ours[0].numpy(), theirs[0].numpy())
    assert numpy.array_equal(ours[1].numpy(), theirs[1].numpy())
