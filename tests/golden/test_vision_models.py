"""Models against what torchvision 0.29 recorded (`vision_models.json`).

For every model: names, shapes, dtypes and order of the state dict (a digest) and the number of
parameters. For some: sums of the start values under seed 0 (of absolute values, of values, of last
values), and the first outputs for an input of seed 1, in evaluation. A transformer's last layer,
which starts at zero, is drawn anew with deviation 0.02 before the input.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lampas
from lampas import nn
from lampas.vision import models

RECORDED = json.loads(Path(__file__).with_name("vision_models.json").read_text())
STARTED = [name for name, row in RECORDED.items() if "start" in row]
LARGE = {"alexnet", "vgg11", "vgg11_bn", "vit_b_16", "wide_resnet50_2", "inception_v3"}
NAMES = [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in STARTED]
FILLS = (
    "constant_ kaiming_normal_ kaiming_uniform_ normal_ ones_ trunc_normal_ uniform_ "
    "xavier_uniform_ zeros_"
).split()


@pytest.fixture
def without_start_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers are made without drawing numbers: only their shapes are of interest."""
    for fill in FILLS:
        monkeypatch.setattr(nn.init, fill, lambda tensor, *args, **options: tensor)
    monkeypatch.setattr(lampas.Tensor, "normal_", lambda tensor, *args, **options: tensor)


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.usefixtures("without_start_values")
def test_names_shapes_and_counts(name: str) -> None:
    model = models.get_model(name)
    rows = [f"{key} {list(value.shape)} {value.dtype}" for key, value in model.state_dict().items()]
    row = RECORDED[name]
    assert len(rows) == row["entries"]
    assert sum(parameter.numel() for parameter in model.parameters()) == row["parameters"]
    assert hashlib.sha256("\n".join(rows).encode()).hexdigest()[:24] == row["sha256"]


def test_no_model_is_missing() -> None:
    assert models.list_models() == sorted(RECORDED)


def _sums(model: nn.Module) -> list[float]:
    arrays: list[Any] = [p.detach().numpy().astype(np.float64) for p in model.parameters()]
    return [
        float(sum(np.abs(array).sum() for array in arrays)),
        float(sum(array.sum() for array in arrays)),
        float(sum(array.reshape(-1)[-1] for array in arrays)),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_start_values_and_output(name: str) -> None:
    row = RECORDED[name]
    lampas.manual_seed(0)
    model = models.get_model(name)
    np.testing.assert_allclose(_sums(model), row["start"], rtol=1e-9)
    model.eval()
    lampas.manual_seed(1)
    if name.startswith("vit"):
        nn.init.normal_(model.heads.head.weight, std=0.02)
    image = lampas.randn(1, 3, row["size"], row["size"])
    with lampas.no_grad():
        output = model(image).numpy()[0].astype(np.float64)
    scale = row["norm"] / np.sqrt(len(output))
    assert np.abs(output[:8] - row["output"]).max() <= 1e-4 * scale
    assert abs(np.linalg.norm(output) / row["norm"] - 1) <= 1e-5


def test_googlenet_returns_its_side_branches_in_training() -> None:
    model = models.googlenet(num_classes=4, init_weights=False)
    logits, second, first = model(lampas.randn(2, 3, 64, 64))
    assert logits.shape == second.shape == first.shape == (2, 4)
