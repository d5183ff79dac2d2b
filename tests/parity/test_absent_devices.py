"""`cuda` and `backends` answer as a PyTorch without CUDA does."""

import inspect
import warnings

import pytest

import lampas.backends
import lampas.cuda

torch = pytest.importorskip("torch")
if torch.backends.cuda.is_built():
    pytest.skip("this PyTorch has CUDA built in", allow_module_level=True)


def answer(module, name: str) -> object:
    """What a call without arguments gives: a value, or the error and its key phrase."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return getattr(module, name)()
        except AssertionError as error:
            return type(error), "Torch not compiled with CUDA enabled" in str(error)


def takes_nothing(function) -> bool:
    parameters = inspect.signature(function).parameters.values()
    return all(item.default is not item.empty for item in parameters)


CALLS = [name for name in lampas.cuda.__all__ if takes_nothing(getattr(lampas.cuda, name))]


@pytest.mark.parametrize("name", CALLS)
def test_answers_are_equal(name: str) -> None:
    assert answer(lampas.cuda, name) == answer(torch.cuda, name)


@pytest.mark.parametrize("name", ["enabled", "benchmark", "deterministic", "allow_tf32"])
def test_switches_start_equal(name: str) -> None:
    assert getattr(lampas.backends.cudnn, name) == getattr(torch.backends.cudnn, name)
