"""PyTorch raises the exceptions that the table of misuses says."""

import pytest

from tests.misuses import MISUSES, Misuse

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("misuse", MISUSES, ids=lambda misuse: misuse.name)
def test_table_tells_pytorchs_types(misuse: Misuse) -> None:
    with pytest.raises(Exception) as caught:
        exec(misuse.code, {"T": torch})
    assert isinstance(caught.value, misuse.error), repr(caught.value)
