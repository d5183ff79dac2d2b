"""The digits that ship with the package, and the fixed rule that splits them.

Source and licence of the data: README.md in this folder.
"""

from importlib.resources import files
from typing import NamedTuple

import numpy

CLASSES = 10
TEST_EVERY = 5


class Digits(NamedTuple):
    """Images are uint8 (n, 28, 28), white on black; labels are int64 (n,)."""

    train_images: numpy.ndarray
    train_labels: numpy.ndarray
    test_images: numpy.ndarray
    test_labels: numpy.ndarray


def load_digits() -> Digits:
    """Read the 5,000 embedded digits: 4,000 to train on, 1,000 (every fifth of a class) to test.

    >>> load_digits().test_images.shape
    (1000, 28, 28)
    """
    with files(__name__).joinpath("mnist-5k.npz").open("rb") as file, numpy.load(file) as arrays:
        images, labels = arrays["images"], arrays["labels"].astype(numpy.int64)
    position = numpy.arange(len(labels)) - numpy.searchsorted(labels, labels)  # within its class
    test = position % TEST_EVERY == TEST_EVERY - 1
    return Digits(images[~test], labels[~test], images[test], labels[test])
