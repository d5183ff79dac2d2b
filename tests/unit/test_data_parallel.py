"""Data parallelism: the module itself without a GPU; the whole scheme over logical devices of the CPU."""

import numpy as np
import pytest

import lampas
from lampas import nn
from lampas.nn.parallel import DataParallel, data_parallel, gather, parallel_apply, scatter

DEVICES = ["cpu:0", "cpu:1", "cpu:2"]


def network() -> nn.Module:
    lampas.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))


def test_without_a_gpu_it_is_the_module() -> None:
    model = network()
    wrapper = DataParallel(model)
    inputs = lampas.randn(5, 4)
    assert wrapper.device_ids == []
    assert lampas.equal(wrapper(inputs), model(inputs))
    assert next(iter(wrapper.state_dict())) == "module.0.weight"


@pytest.mark.parametrize("batch", [1, 2, 7, 12])
def test_replicas_give_the_modules_outputs_and_gradients(batch: int) -> None:
    model = network()
    inputs = lampas.randn(batch, 4)
    whole = model(inputs)
    (whole**2).sum().backward()
    expected = [parameter.grad.numpy().copy() for parameter in model.parameters()]
    model.zero_grad()
    split = DataParallel(model, DEVICES)(inputs)
    assert np.allclose(split.detach().numpy(), whole.detach().numpy(), atol=1e-6)
    (split**2).sum().backward()
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        assert np.allclose(parameter.grad.numpy(), gradient, atol=1e-5)


def test_containers_are_scattered_and_gathered() -> None:
    x = lampas.arange(6)
    pieces = scatter({"x": x, "pair": (x, [x]), "name": "a"}, DEVICES[:2])
    assert [piece["x"].tolist() for piece in pieces] == [[0, 1, 2], [3, 4, 5]]
    assert pieces[1]["pair"][1][0].tolist() == [3, 4, 5]
    assert pieces[0]["name"] == "a"
    outputs = [{"sum": piece["x"].sum(), "x": (piece["x"],)} for piece in pieces]
    joined = gather(outputs, "cpu")
    assert joined["sum"].tolist() == [3, 12]
    assert joined["x"][0].tolist() == x.tolist()


def test_keyword_arguments_and_one_call() -> None:
    class Scale(nn.Module):
        def forward(self, x: lampas.Tensor, *, by: lampas.Tensor) -> lampas.Tensor:
            return x * by

    x = lampas.arange(4.0)
    result = data_parallel(Scale(), (x,), DEVICES[:2], module_kwargs={"by": x})
    assert result.tolist() == [0, 1, 4, 9]


def test_an_error_names_its_replica() -> None:
    class Bad(nn.Module):
        def forward(self, x: lampas.Tensor) -> lampas.Tensor:
            raise ValueError("no")

    with pytest.raises(ValueError, match="no") as caught:
        parallel_apply([Bad(), Bad()], [(lampas.ones(1),)] * 2, devices=DEVICES[:2])
    assert "replica 0 on device cpu:0" in caught.value.__notes__[0]


def test_a_missing_device_is_refused() -> None:
    with pytest.raises(AssertionError, match="CUDA"):
        DataParallel(network(), [0, 1])
