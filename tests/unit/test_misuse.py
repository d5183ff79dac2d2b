"""Wrong programs end in PyTorch's exception, with a message that helps."""

import pytest

import lampas
import lampas.nn
import lampas.optim
import lampas.utils.data
from tests.misuses import MISUSES, Misuse


def run(code: str, library: object) -> None:
    exec(code, {"T": library})


@pytest.mark.parametrize("misuse", MISUSES, ids=lambda misuse: misuse.name)
def test_misuse(misuse: Misuse) -> None:
    with pytest.raises(misuse.error) as caught:
        run(misuse.code, lampas)
    message = str(caught.value)
    for word in misuse.words:
        assert word in message, message


def test_table_is_large_enough() -> None:
    assert len({misuse.name for misuse in MISUSES}) >= 100
