"""Pictures to learn from: Fashion-MNIST where it is found, else the digits that come with Lampas."""

import gzip
from pathlib import Path

import numpy
import torch

SYSTEM = Path("/usr/share/datasets/fashion-mnist")
NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST_NAMES = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def load_pictures(folder: Path = SYSTEM):
    """The data's name, then (pictures, labels) to train on and to test: bytes (n, 28, 28) and int64."""
    if all((folder / f"{name}.gz").exists() for name in NAMES + TEST_NAMES):
        return "Fashion-MNIST", _read(folder, NAMES), _read(folder, TEST_NAMES)
    print(f"no Fashion-MNIST in {folder} (Debian: apt install dataset-fashion-mnist); using digits")
    from lampas.data import load_digits

    digits = load_digits()
    return (
        "digits",
        (torch.from_numpy(digits.train_images), torch.from_numpy(digits.train_labels)),
        (torch.from_numpy(digits.test_images), torch.from_numpy(digits.test_labels)),
    )


def _read(folder: Path, names: tuple[str, str]):
    pictures, labels = (gzip.decompress((folder / f"{name}.gz").read_bytes()) for name in names)
    pixels = numpy.frombuffer(pictures, numpy.uint8, offset=16).reshape(-1, 28, 28)
    classes = numpy.frombuffer(labels, numpy.uint8, offset=8).astype(numpy.int64)
    return torch.from_numpy(pixels.copy()), torch.from_numpy(classes)
