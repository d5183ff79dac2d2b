"""Whole small programs print what they print under PyTorch."""

import contextlib
import io
import warnings

import pytest

import lampas
from tests.parity.programs import PROGRAMS

torch = pytest.importorskip("torch")


def printed(code: str, library: object) -> str:
    """What the program prints."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch itself warns of NumPy's coming changes
        exec(code, {"T": library})
    return text.getvalue().replace(repr(library.Tensor), "<class 'torch.Tensor'>")


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_prints_the_same(name: str) -> None:
    assert printed(PROGRAMS[name], lampas) == printed(PROGRAMS[name], torch)
