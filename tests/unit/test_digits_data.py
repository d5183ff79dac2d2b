"""The embedded digits: what is there, and that the split is fixed and covers everything."""

import importlib.resources

import numpy

from lampas.data import load_digits


def test_shapes_and_types() -> None:
    data = load_digits()
    assert data.train_images.shape == (4000, 28, 28)
    assert data.test_images.shape == (1000, 28, 28)
    assert data.train_images.dtype == data.test_images.dtype == numpy.uint8
    assert data.train_labels.dtype == data.test_labels.dtype == numpy.int64
    assert data.train_images.max() == 255


def test_classes_are_balanced() -> None:
    data = load_digits()
    assert numpy.bincount(data.train_labels).tolist() == [400] * 10
    assert numpy.bincount(data.test_labels).tolist() == [100] * 10


def test_every_fifth_of_a_class_is_for_testing() -> None:
    data = load_digits()
    with importlib.resources.files("lampas.data").joinpath("mnist-5k.npz").open("rb") as file:
        arrays = numpy.load(file)
        images = arrays["images"].reshape(10, 100, 5, 28, 28)
    assert numpy.array_equal(data.test_images.reshape(10, 100, 28, 28), images[:, :, 4])
    assert numpy.array_equal(data.train_images.reshape(10, 100, 4, 28, 28), images[:, :, :4])


def test_no_test_digit_was_trained_on() -> None:
    data = load_digits()
    seen = {image.tobytes() for image in data.train_images}
    assert not [index for index, image in enumerate(data.test_images) if image.tobytes() in seen]
