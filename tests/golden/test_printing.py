"""The text of some tensors, as PyTorch 2.13 prints them."""

import numpy as np
import pytest

from lampas.engine import dtype as dt
from lampas.engine.tensor import printing

CASES = [
    (np.float32(3.0), dt.float32, "tensor(3.)"),
    (np.array([1.0, 2.5], "f4"), dt.float32, "tensor([1.0000, 2.5000])"),
    (np.array([1.0, -2.0], "f4"), dt.float32, "tensor([ 1., -2.])"),
    (np.array([1e-5, 1.0], "f4"), dt.float32, "tensor([1.0000e-05, 1.0000e+00])"),
    (np.array([1.0, np.nan, np.inf], "f4"), dt.float32, "tensor([1., nan, inf])"),
    (np.array([0.5, np.nan, -np.inf], "f4"), dt.float32, "tensor([0.5000,    nan,   -inf])"),
    (np.array([True, False]), dt.bool_, "tensor([ True, False])"),
    (np.array([1, 2], "i4"), dt.int32, "tensor([1, 2], dtype=torch.int32)"),
    (np.array([1.5], "f2"), dt.float16, "tensor([1.5000], dtype=torch.float16)"),
    (np.array([1 + 2j], "c8"), dt.complex64, "tensor([1.+2.j])"),
    (np.zeros((0, 3), "f4"), dt.float32, "tensor([], size=(0, 3))"),
    (np.zeros(0, "i8"), dt.int64, "tensor([], dtype=torch.int64)"),
    (np.arange(1001), dt.int64, "tensor([   0,    1,    2,  ...,  998,  999, 1000])"),
    (np.eye(2, dtype="f4"), dt.float32, "tensor([[1., 0.],\n        [0., 1.]])"),
    (
        np.arange(12, dtype="f4").reshape(2, 2, 3),
        dt.float32,
        "tensor([[[ 0.,  1.,  2.],\n         [ 3.,  4.,  5.]],\n\n"
        "        [[ 6.,  7.,  8.],\n         [ 9., 10., 11.]]])",
    ),
]


@pytest.mark.parametrize(("array", "kind", "text"), CASES, ids=[case[2] for case in CASES])
def test_text(array, kind, text):
    assert printing.format_tensor(np.asarray(array), dtype=kind) == text


def test_notes():
    array = np.array([1.0], "f4")
    leaf = printing.format_tensor(array, dtype=dt.float32, requires_grad=True)
    assert leaf == "tensor([1.], requires_grad=True)"
    made = printing.format_tensor(array, dtype=dt.float32, grad_fn_name="MulBackward0")
    assert made == "tensor([1.], grad_fn=<MulBackward0>)"
    other = printing.format_tensor(array, dtype=dt.float32, prefix="Box(")
    assert other == "Box([1.])"


def test_options_are_restored():
    before = printing.get_printoptions()
    with printing.printoptions(precision=2, sci_mode=False):
        text = printing.format_tensor(np.array([0.125, 1e6], "f4"), dtype=dt.float32)
        assert text == "tensor([      0.12, 1000000.00])"
    assert printing.get_printoptions() == before
