"""`torch.testing` beside PyTorch: the same verdicts, messages and random inputs."""

from typing import Any

import numpy
import pytest

import lampas

torch = pytest.importorskip("torch")

# fmt: off
CASES = [
    'close(torch.tensor([1., 2., 3.]), torch.tensor([1., 2., 4.]))',
    'close(torch.tensor([1, 2, 3]), torch.tensor([1, 2, 4]))',
    'close(1.0, 2.0)',
    'close(1, 2)',
    'close(True, False)',
    'close(None, 1)',
    'close(1, None)',
    "close('a', 'a')",
    "close('a', 'b')",
    'close(torch.tensor([1., 2.]), torch.tensor([1., 2., 3.]))',
    'close(torch.tensor([1.]), torch.tensor([1]))',
    'close([1, 2], [1, 2, 3])',
    "close({'a':1}, {'b':1})",
    'close([1.0, torch.tensor([1.])], [1.0, torch.tensor([2.])])',
    "close({'a':[torch.tensor([1.])]}, {'a':[torch.tensor([3.])]})",
    'close(torch.tensor(1.), torch.tensor(2.))',
    "close(torch.tensor([float('nan')]), torch.tensor([float('nan')]))",
    "close(torch.tensor([float('nan')]), torch.tensor([float('nan')]), equal_nan=True)",
    'close(torch.tensor([1.]), torch.tensor([2.]), rtol=1e-3)',
    'close(torch.tensor([1.]), torch.tensor([2.]), rtol=0, atol=0)',
    'close(torch.tensor([1.]), torch.tensor([2.]), rtol=0, atol=0.5)',
    "close(torch.tensor([1.]), torch.tensor([2.]), msg='hey')",
    "close(torch.tensor([1.]), torch.tensor([2.]), msg=lambda m:'X '+m)",
    'close(torch.ones(2, 3), torch.ones(3, 2).t())',
    'close(torch.ones(2, 3), torch.ones(3, 2).t(), check_stride=True)',
    'close(torch.tensor([1.], dtype=torch.float64), torch.tensor([1.00001]), check_dtype=False)',
    'close(torch.tensor([1.]), torch.tensor([1.], dtype=torch.float64))',
    'close(torch.tensor([True, False]), torch.tensor([True, True]))',
    'close(torch.tensor([1+2j]), torch.tensor([1+3j]))',
    'close(1+2j, 1+3j)',
    'close(torch.tensor([0., 1.]), torch.tensor([1., 0.]))',
    'close(torch.tensor([1, 2]), torch.tensor([1, 3]), rtol=0.1, atol=0.1)',
    'close(torch.ones(2, 2), [1, 1])',
    'close([torch.ones(2)], torch.ones(1, 2))',
    'close(1, 1.0)',
    'close(1, 1.0, check_dtype=False)',
    'close(torch.tensor(1.), 1.0)',
    "close(torch.tensor([float('inf')]), torch.tensor([1.]))",
    'close((1, 2), [1, 2])',
    'close([], [])',
    'close({1:2.0}, {1:3.0})',
    'close(torch.ones(0), torch.ones(0))',
    "close(float('nan'), float('nan'))",
    'close(1.0, 1.1, rtol=0.01, atol=0.01)',
    "close(torch.ones(2, device='meta'), torch.ones(2, device='meta'))",
    "close(torch.ones(2, device='meta'), torch.ones(2))",
    'close(torch.nn.Parameter(torch.ones(2)), torch.ones(2), allow_subclasses=False)',
    'close(torch.ones(2), torch.nn.Parameter(torch.ones(2)))',
    "close({'a':1.0, 'c':2.}, {'b':1.0})",
    'close(numpy.ones(2), numpy.ones(2)*2)',
    'close(torch.tensor([200], dtype=torch.uint8), torch.tensor([0], dtype=torch.uint8))',
    'close(set([1]), set([1]))',
    "close('ab', ['a', 'b'])",
    'close(torch.tensor([1., 2.], dtype=torch.float16), torch.tensor([1., 3.], dtype=torch.float16))',
    'make(2, dtype=torch.float32, low=3, high=1)',
    'make(2)',
    "make((2, 3), dtype=torch.int64, device='cpu').shape",
    "make(2, dtype=torch.int64, device='cpu', low=1, high=1)",
    "make(2, dtype=torch.int64, device='cpu', low=1.5, high=2.2)",
    "make(2, dtype=torch.float32, device='cpu', low=float('nan'))",
    "make(2, dtype=torch.int64, device='cpu', requires_grad=True)",
    "make(2, dtype=torch.bool, device='cpu', low=-5, high=9)",
    "make(2, dtype=torch.uint8, device='cpu', low=-5, high=900)",
    "make(2, 3, dtype=torch.float32, device='cpu', noncontiguous=True).stride()",
    "make(1, dtype=torch.float32, device='cpu', noncontiguous=True).stride()",
    "make(2, dtype=torch.float32, device='cpu', low=-float('inf'))",
    "make([2, 1], dtype=torch.complex64, device='cpu').shape",
    "make(2, 3, dtype=torch.float32, device='cpu', noncontiguous=True, memory_format=torch.contiguous_format)",
    "make(4, dtype=torch.int8, device='cpu', low=0, high=1, exclude_zero=True)",
    "make(4, dtype=torch.bool, device='cpu', low=0, high=1, exclude_zero=True)",
    "make(2, dtype=torch.float32, device='cpu')",
    "make(2, dtype=torch.float16, device='cpu', low=-1e6, high=1e6)",
    "make((), dtype=torch.float64, device='cpu')",
    "make(2, dtype=torch.float16, device='cpu')",
    "make(2, dtype=torch.bfloat16, device='cpu', low=0)",
    "make(3, dtype=torch.int64, device='cpu')",
    "make(3, dtype=torch.complex64, device='cpu')",
    "make(3, dtype=torch.float32, device='cpu', low=5)",
    "make(3, dtype=torch.uint8, device='cpu')",
]
# fmt: on


def outcome(namespace: Any, case: str) -> tuple[str, str]:
    """The value or the exception, with class names as PyTorch has them."""
    namespace.manual_seed(1)
    names = {
        "torch": namespace,
        "numpy": numpy,
        "close": namespace.testing.assert_close,
        "make": namespace.testing.make_tensor,
    }
    try:
        return "value", str(eval(case, names))
    except (AssertionError, TypeError, ValueError, RuntimeError) as error:
        message = str(error).replace("lampas.engine.tensor.core.Tensor", "torch.Tensor")
        return type(error).__name__, message.replace("lampas.nn.", "torch.nn.")


@pytest.mark.parametrize("case", CASES)
def test_same_outcome(case: str) -> None:
    assert outcome(lampas, case) == outcome(torch, case)


def test_what_is_no_dtype() -> None:
    with pytest.raises(TypeError, match="The requested dtype 'x' is not supported"):
        lampas.testing.make_tensor(2, dtype="x", device="cpu")


def test_first_difference_in_order_and_types_before_values() -> None:
    with pytest.raises(TypeError, match="No comparison pair"):
        lampas.testing.assert_close([1.0, "a"], [2.0, "a"])
    with pytest.raises(AssertionError, match=r"item \[0\]"):
        lampas.testing.assert_close([1.0, 5.0], [2.0, 6.0])
