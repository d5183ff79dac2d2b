"""Transforms of whole samples, image files, drawing, and what bad arguments raise."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lampas
from lampas.vision import io, ops, transforms, tv_tensors, utils
from lampas.vision.transforms import functional as F
from lampas.vision.transforms import v2


@pytest.fixture
def image() -> lampas.Tensor:
    return lampas.randint(0, 256, (3, 12, 10), dtype=lampas.uint8)


@pytest.fixture
def boxes() -> Any:
    corners = [[1.0, 2.0, 5.0, 6.0], [0.0, 0.0, 10.0, 12.0]]
    return tv_tensors.BoundingBoxes(corners, format="XYXY", canvas_size=(12, 10))


# Samples ------------------------------------------------------------------------------------------


def test_kinds_are_kept_and_the_rest_passes(image: lampas.Tensor, boxes: Any) -> None:
    mask = tv_tensors.Mask(lampas.arange(120).reshape(12, 10))
    sample = {"image": tv_tensors.Image(image), "target": (boxes, mask, "name", 7)}
    flipped = v2.RandomHorizontalFlip(p=1.0)(sample)
    new_boxes, new_mask, name, number = flipped["target"]
    assert type(flipped["image"]) is tv_tensors.Image
    assert lampas.equal(flipped["image"].as_subclass(lampas.Tensor), image.flip(-1))
    assert type(new_boxes) is tv_tensors.BoundingBoxes
    assert new_boxes.tolist() == [[5.0, 2.0, 9.0, 6.0], [0.0, 0.0, 10.0, 12.0]]
    assert new_boxes.canvas_size == (12, 10)
    assert new_mask[0, 0].item() == 9
    assert (name, number) == ("name", 7)


def test_operations_give_plain_tensors(image: lampas.Tensor) -> None:
    kind = tv_tensors.Image(image)
    assert type(kind + 1) is lampas.Tensor
    assert type(tv_tensors.wrap(kind + 1, like=kind)) is tv_tensors.Image


def test_only_the_first_plain_tensor_is_an_image(image: lampas.Tensor) -> None:
    first, second = v2.RandomVerticalFlip(p=1.0)(image, image)
    assert lampas.equal(first, image.flip(-2))
    assert second is image
    pil = F.to_pil_image(image)
    _, label = v2.RandomVerticalFlip(p=1.0)(pil, image)
    assert label is image


def test_boxes_follow_the_image(boxes: Any) -> None:
    picture = tv_tensors.Image(lampas.zeros(3, 12, 10))
    resized, moved = v2.Resize((24, 5))(picture, boxes)
    assert resized.shape == (3, 24, 5)
    assert moved.canvas_size == (24, 5)
    assert moved[0].tolist() == [0.5, 4.0, 2.5, 12.0]
    _, cropped = v2.CenterCrop(6)(picture, boxes)
    assert cropped[0].tolist() == [0.0, 0.0, 3.0, 3.0]
    turned = v2.functional.rotate(boxes, 90.0, expand=True)
    assert turned.canvas_size == (10, 12)
    np.testing.assert_allclose(turned[0].tolist(), [2.0, 5.0, 6.0, 9.0], atol=1e-5)


def test_usual_chain(image: lampas.Tensor) -> None:
    chain = v2.Compose(
        [
            v2.ToImage(),
            v2.RandomResizedCrop(8),
            v2.RandomApply([v2.ColorJitter(0.2, 0.2, 0.2, 0.1)], p=0.5),
            v2.ToDtype(lampas.float32, scale=True),
            v2.Normalize([0.5] * 3, [0.25] * 3),
        ]
    )
    made, label = chain(F.to_pil_image(image), 3)
    assert (made.shape, made.dtype, label) == ((3, 8, 8), lampas.float32, 3)
    assert "RandomResizedCrop(size=(8, 8)" in repr(chain)


def test_mixing_of_batches() -> None:
    images = lampas.stack([lampas.zeros(1, 6, 6), lampas.ones(1, 6, 6)])
    mixed, labels = v2.MixUp(num_classes=3)(images, lampas.tensor([0, 2]))
    kept = labels[0, 0].item()
    assert labels.sum(1).tolist() == pytest.approx([1.0, 1.0])
    assert mixed[0].mean().item() == pytest.approx(1 - kept, abs=1e-6)
    cut, labels = v2.CutMix(num_classes=3)(images, lampas.tensor([0, 2]))
    assert cut[0].mean().item() == pytest.approx(1 - labels[0, 0].item(), abs=1e-6)
    with pytest.raises(ValueError, match="num_classes must be passed"):
        v2.MixUp()(images, lampas.tensor([0, 2]))


def test_boxes_are_cleared_up(image: lampas.Tensor) -> None:
    rows = [[0, 0, 4, 4], [1, 1, 1, 5], [-2, 0, 3, 3]]
    boxes = tv_tensors.BoundingBoxes(rows, format="XYXY", canvas_size=(12, 10))
    sample = {"image": image, "boxes": boxes, "labels": lampas.tensor([4, 5, 6])}
    clear = v2.SanitizeBoundingBoxes()(sample)
    assert clear["boxes"].tolist() == [[0, 0, 4, 4]]
    assert clear["labels"].tolist() == [4]


def test_crop_by_overlap(image: lampas.Tensor, boxes: Any) -> None:
    for _ in range(5):
        cropped, left = v2.RandomIoUCrop()(tv_tensors.Image(image), boxes)
        assert left.canvas_size == tuple(cropped.shape[-2:])
    with pytest.raises(TypeError, match="bounding boxes"):
        v2.RandomIoUCrop()(image)


# Files --------------------------------------------------------------------------------------------


def test_png_round_trip(tmp_path: Path, image: lampas.Tensor) -> None:
    io.write_png(image, tmp_path / "a.png")
    assert lampas.equal(io.read_image(tmp_path / "a.png"), image)
    assert lampas.equal(io.decode_image(io.encode_png(image)), image)
    grey = io.read_image(tmp_path / "a.png", io.ImageReadMode.GRAY)
    assert grey.shape == (1, 12, 10)
    assert io.read_image(str(tmp_path / "a.png"), "rgb_alpha").shape == (4, 12, 10)


def test_jpeg_round_trip(tmp_path: Path) -> None:
    smooth = (lampas.arange(256).reshape(1, 16, 16) // 2).to(lampas.uint8)
    io.write_jpeg(smooth, tmp_path / "a.jpg", quality=95)
    back = io.decode_jpeg(io.read_file(tmp_path / "a.jpg"))
    assert (back.int() - smooth.int()).abs().max().item() < 6


def test_bad_image_files(image: lampas.Tensor) -> None:
    with pytest.raises(RuntimeError, match="could not be decoded"):
        io.decode_image(lampas.zeros(20, dtype=lampas.uint8))
    with pytest.raises(RuntimeError, match="could not be decoded"):
        io.decode_png(io.encode_jpeg(image))
    with pytest.raises(RuntimeError, match="uint8"):
        io.encode_png(image.float())
    with pytest.raises(RuntimeError, match="1 or 3"):
        io.encode_png(image[:2])
    with pytest.raises(FileNotFoundError):
        io.read_image("nowhere.png")


def test_save_image(tmp_path: Path) -> None:
    utils.save_image(lampas.rand(5, 1, 4, 4), tmp_path / "grid.png", nrow=3)
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.size == (20, 14)


def test_drawing(image: lampas.Tensor) -> None:
    where = lampas.tensor([[1.0, 1.0, 6.0, 8.0]])
    drawn = utils.draw_bounding_boxes(image, where, labels=["a"], colors="red", fill=True)
    assert drawn[:, 1, 1].tolist() == [255, 0, 0]
    points = utils.draw_keypoints(image, lampas.tensor([[[5.0, 5.0]]]), colors="blue", radius=1)
    assert points[:, 5, 5].tolist() == [0, 0, 255]
    with pytest.raises(ValueError, match="xmin, ymin"):
        utils.draw_bounding_boxes(image, where.flip(1))
    with pytest.raises(ValueError, match="dtype bool"):
        utils.draw_segmentation_masks(image, image[0])
    with pytest.raises(TypeError, match="tensor or list of tensors"):
        utils.make_grid("image")


# Mistakes -----------------------------------------------------------------------------------------

MISTAKES = {
    "to_tensor": (TypeError, "PIL Image or ndarray", lambda _: F.to_tensor([1])),
    "resize": (ValueError, "1 or 2 element", lambda image: F.resize(image, [1, 2, 3])),
    "lanczos": (
        ValueError,
        "unsupported with Tensor",
        lambda image: F.resize(image, 4, transforms.InterpolationMode.LANCZOS),
    ),
    "normalize": (TypeError, "float tensor", lambda image: F.normalize(image, [0.5], [0.5])),
    "deviation": (
        ValueError,
        "division by zero",
        lambda image: F.normalize(image / 255, [0.5], [0.0]),
    ),
    "crop": (ValueError, "larger than input", lambda image: transforms.RandomCrop(99)(image)),
    "five": (ValueError, "bigger than input", lambda image: F.five_crop(image, 99)),
    "hue": (ValueError, "not in", lambda image: F.adjust_hue(image, 0.7)),
    "jitter": (ValueError, "non negative", lambda _: transforms.ColorJitter(-1)),
    "blur": (ValueError, "odd and positive", lambda image: F.gaussian_blur(image, 4)),
    "kind": (TypeError, "PIL Image or Tensor", lambda _: F.hflip(np.zeros((2, 2)))),
    "padding": (ValueError, "Padding mode", lambda image: F.pad(image, 1, padding_mode="odd")),
    "lambda": (TypeError, "callable", lambda _: transforms.Lambda(3)),
    "dtype": (
        RuntimeError,
        "cannot be performed safely",
        lambda image: F.convert_image_dtype(image / 255, lampas.int64),
    ),
    "boxes": (RuntimeError, "boxes should be", lambda image: ops.nms(image, image, 0.5)),
    "format": (ValueError, "in_fmt", lambda image: ops.box_convert(image, "xyxy", "polar")),
    "depth": (ValueError, "batch", lambda image: ops.stochastic_depth(image, 0.5, "column")),
    "focal": (ValueError, "alpha", lambda image: ops.sigmoid_focal_loss(image, image, alpha=2)),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_raise(name: str, image: lampas.Tensor) -> None:
    kind, message, call = MISTAKES[name]
    with pytest.raises(kind, match=message):
        call(image)


def test_gradients_pass_through_regions() -> None:
    features = lampas.rand(1, 2, 6, 6, requires_grad=True)
    rois = lampas.tensor([[0.0, 0.5, 0.5, 4.5, 4.5]])
    ops.roi_align(features, rois, 2, sampling_ratio=2).sum().backward()
    # each of the 2·2·2 bins is a mean of its samples: the weights of all of them sum to eight
    assert features.grad.sum().item() == pytest.approx(8.0, rel=1e-5)
