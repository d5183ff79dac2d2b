"""Every setting at a value that is not its default: a training run gives the same numbers."""

import os
import subprocess
import sys

import pytest

from lampas.engine.settings import VARIABLES

PROGRAM = """
import lampas as torch
from lampas import nn, optim
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(40, 300), nn.ReLU(), nn.LayerNorm(300), nn.Linear(300, 5))
optimizer = optim.AdamW(model.parameters(), lr=0.01)
inputs, targets = torch.randn(96, 40), torch.randint(0, 5, (96,))
for start in (0, 32, 64, 0, 32):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(inputs[start:start + 32]), targets[start:start + 32])
    loss.backward()
    optimizer.step()
    print(loss.item())
print(model[0].weight.abs().sum().item())
"""
VALUES = {
    "LAMPAS_DEBUG": "1",
    "LAMPAS_TIER": "reference",
    "LAMPAS_EAGER": "1",
    "LAMPAS_THREADS": "1",
    "LAMPAS_CACHE": "0",
    "LAMPAS_CACHE_DIR": "",
    "LAMPAS_CACHE_MB": "1",
    "LAMPAS_FUSE": "0",
    "LAMPAS_VERIFY": "1",
    "LAMPAS_VECTOR": "16",
    "LAMPAS_PENDING": "3",
    "LAMPAS_CONVOLUTION": "direct",
}
EXACT = {"LAMPAS_DEBUG", "LAMPAS_THREADS", "LAMPAS_CACHE", "LAMPAS_CACHE_DIR", "LAMPAS_CACHE_MB", "LAMPAS_VERIFY"}  # fmt: skip


def numbers(**settings: str) -> list[float]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LAMPAS_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**environment, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [float(line) for line in done.stdout.splitlines() if line[:1].isdigit()][-6:]


@pytest.fixture(scope="module")
def expected() -> list[float]:
    return numbers()


def test_every_setting_is_tried() -> None:
    assert set(VALUES) == set(VARIABLES.values())


@pytest.mark.parametrize("name", VALUES)
def test_numbers_stay(name: str, expected: list[float], tmp_path) -> None:
    found = numbers(**{name: VALUES[name] or str(tmp_path)})
    if name in EXACT:
        assert found == expected
    else:
        assert found == pytest.approx(expected, rel=2e-5)


def test_a_bad_value_is_refused() -> None:
    with pytest.raises(AssertionError, match="LAMPAS_TIER is 'fast'"):
        numbers(LAMPAS_TIER="fast")
