"""Image functions against values that torchvision recorded (`vision_cases.py`)."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lampas
from lampas.vision import ops, transforms, tv_tensors, utils
from lampas.vision.transforms import functional, v2
from tests.golden import vision_cases as cases

TABLES = cases.FUNCTIONS | cases.RANDOM | cases.OTHERS | cases.V2


@cache
def recorded() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).with_name("vision_images.npz")) as arrays:
        return dict(arrays)


@cache
def names() -> dict[str, Any]:
    lampas.manual_seed(0)
    image = lampas.randint(0, 256, (3, 20, 24), dtype=lampas.uint8)
    corner = lampas.rand(40, 2) * 12
    boxes = lampas.cat([corner, corner + lampas.rand(40, 2) * 9 + 1], 1)
    return {
        "torch": lampas,
        "T": transforms,
        "F": functional,
        "V2": v2,
        "V": v2.functional,
        "tv": tv_tensors,
        "ops": ops,
        "utils": utils,
        "image": image,
        "floats": image / 255,
        "pil": functional.to_pil_image(image),
        "boxes": boxes,
        "scores": lampas.rand(40),
    }


@pytest.mark.parametrize("name", TABLES)
def test_as_recorded(name: str) -> None:
    expression, tolerance = TABLES[name]
    scope = names()
    lampas.manual_seed(7)
    found = eval(expression, dict(scope))
    if isinstance(found, Image.Image):
        found = functional.pil_to_tensor(found)
    expected = recorded()[name]
    assert tuple(found.shape) == expected.shape
    assert found.numpy().dtype == expected.dtype
    apart = np.abs(found.numpy().astype(np.float64) - expected.astype(np.float64))
    assert apart.max(initial=0.0) <= tolerance
