"""v2's transforms of batches (MixUp, CutMix) and of boxes (cropping by overlap, clearing up)."""

from collections.abc import Callable, Sequence
from typing import Any

import lampas
from lampas import Tensor
from lampas.nn import functional as nnf
from lampas.vision import tv_tensors
from lampas.vision.ops.boxes import box_convert, box_iou
from lampas.vision.transforms.drawing import whole
from lampas.vision.transforms.v2 import functional as F
from lampas.vision.transforms.v2.transform import (
    IMAGES,
    Transform,
    flatten,
    is_plain,
    query_chw,
    query_size,
)

__all__ = ["CutMix", "MixUp", "RandomIoUCrop", "SanitizeBoundingBoxes"]

Pick = Callable[[Any], Any]


def default_labels(sample: Any) -> Any:
    """The labels of a sample: the second of a pair, or the value under a key with "label"."""
    if isinstance(sample, tuple | list):
        return default_labels(sample[1]) if isinstance(sample[1], dict) else sample[1]
    if isinstance(sample, dict):
        for wanted in (lambda key: key.lower() == "labels", lambda key: "label" in key.lower()):
            found = [key for key in sample if isinstance(key, str) and wanted(key)]
            if found:
                return sample[found[0]]
    raise ValueError(
        "Could not infer where the labels are in the sample. Pass a callable as `labels_getter`"
    )


class _Mixture(Transform):
    """Mixes every sample of a batch with the one before it (the first with the last)."""

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        num_classes: int | None = None,
        labels_getter: Pick | str | None = "default",
    ) -> None:
        super().__init__()
        self.alpha, self.num_classes = float(alpha), num_classes
        self._labels_getter = default_labels if labels_getter == "default" else labels_getter

    def forward(self, *inputs: Any) -> Any:
        nest = inputs if len(inputs) != 1 else inputs[0]
        leaves, rebuild = flatten(nest)
        labels = self._labels_getter(nest) if callable(self._labels_getter) else None
        if not isinstance(labels, Tensor):
            raise ValueError(f"The labels must be a tensor, but got {type(labels)} instead.")
        if labels.dim() == 1 and self.num_classes is None:
            raise ValueError("num_classes must be passed if the labels are index-based")
        if labels.dim() not in (1, 2):
            raise ValueError(
                f"labels should be index based with shape (batch_size,) or probability based with shape (batch_size, num_classes), but got a tensor of shape {tuple(labels.shape)} instead."
            )
        params = self.make_params([leaf for leaf in leaves if leaf is not labels])
        changed = []
        for leaf in leaves:
            if leaf is labels:
                changed.append(self._mixed_labels(labels, params["kept"]))
            elif is_plain(leaf) or isinstance(leaf, IMAGES):
                changed.append(self.transform(leaf, params))
            else:
                changed.append(leaf)
        return rebuild(changed)

    def _share(self) -> float:
        """A draw from the beta distribution with both parameters `alpha`."""
        pair = lampas._sample_dirichlet(lampas.tensor([[self.alpha, self.alpha]]))
        return float(pair[0, 0].item())

    def _mixed_labels(self, labels: Tensor, kept: float) -> Tensor:
        if labels.dim() == 1:
            labels = nnf.one_hot(labels, num_classes=self.num_classes or -1)
        labels = labels if labels.is_floating_point() else labels.float()
        return labels.roll(1, 0).mul(1.0 - kept) + labels.mul(kept)

    def _wrapped(self, result: Tensor, inpt: Any) -> Any:
        is_kind = isinstance(inpt, tv_tensors.TVTensor)
        return tv_tensors.wrap(result, like=inpt) if is_kind else result


class MixUp(_Mixture):
    """λ·sample + (1 − λ)·another, labels likewise (arXiv:1710.09412)."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"kept": self._share()}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        plain, kept = inpt.as_subclass(Tensor), params["kept"]
        return self._wrapped(plain.roll(1, 0).mul(1.0 - kept) + plain.mul(kept), inpt)


class CutMix(_Mixture):
    """A window of another sample pasted in, labels mixed by area (arXiv:1905.04899)."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        kept = self._share()
        _, height, width = query_chw(flat_inputs)
        x, y = whole(0, width), whole(0, height)
        part = 0.5 * (1.0 - kept) ** 0.5
        across, down = int(part * width), int(part * height)
        left, top = max(x - across, 0), max(y - down, 0)
        right, bottom = min(x + across, width), min(y + down, height)
        area = (right - left) * (bottom - top)
        return {"window": (left, top, right, bottom), "kept": 1.0 - area / (width * height)}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        left, top, right, bottom = params["window"]
        plain = inpt.as_subclass(Tensor)
        pasted = plain.clone()
        pasted[..., top:bottom, left:right] = plain.roll(1, 0)[..., top:bottom, left:right]
        return self._wrapped(pasted, inpt)


class RandomIoUCrop(Transform):
    """A random window that overlaps some box by at least a random part (arXiv:1512.02325).

    Boxes whose centre is outside become empty: clear up with `SanitizeBoundingBoxes`.
    """

    def __init__(
        self,
        min_scale: float = 0.3,
        max_scale: float = 1.0,
        min_aspect_ratio: float = 0.5,
        max_aspect_ratio: float = 2.0,
        sampler_options: Sequence[float] | None = None,
        trials: int = 40,
    ) -> None:
        super().__init__()
        self.min_scale, self.max_scale = min_scale, max_scale
        self.min_aspect_ratio, self.max_aspect_ratio = min_aspect_ratio, max_aspect_ratio
        self.options = list(sampler_options or (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0))
        self.trials = trials

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        if not any(isinstance(leaf, tv_tensors.BoundingBoxes) for leaf in flat_inputs):
            raise TypeError(
                "RandomIoUCrop() requires input sample to contain tensor or PIL images and bounding boxes."
            )

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        rows, columns = query_size(flat_inputs)
        boxes = next(x for x in flat_inputs if isinstance(x, tv_tensors.BoundingBoxes))
        corners = box_convert(boxes.as_subclass(Tensor), boxes.format.value.lower(), "xyxy")
        while True:
            overlap = self.options[whole(0, len(self.options))]
            if overlap >= 1.0:
                return {}
            for _ in range(self.trials):
                found = self._window(rows, columns, corners, overlap)
                if found is not None:
                    return found

    def _window(
        self, rows: int, columns: int, corners: Tensor, overlap: float
    ) -> dict[str, Any] | None:
        spread = self.max_scale - self.min_scale
        across, down = (self.min_scale + spread * part for part in lampas.rand(2).tolist())
        width, height = int(columns * across), int(rows * down)
        if height == 0 or not self.min_aspect_ratio <= width / height <= self.max_aspect_ratio:
            return None
        across, down = lampas.rand(2).tolist()
        left, top = int((columns - width) * across), int((rows - height) * down)
        right, bottom = left + width, top + height
        if width == 0 or left == right or top == bottom:
            return None
        x = 0.5 * (corners[..., 0] + corners[..., 2])
        y = 0.5 * (corners[..., 1] + corners[..., 3])
        inside = (left < x) & (x < right) & (top < y) & (y < bottom)
        if not bool(inside.any()):
            return None
        window = lampas.tensor([[left, top, right, bottom]], dtype=corners.dtype)
        if float(box_iou(corners[inside], window).max()) < overlap:
            return None
        return {"window": (top, left, height, width), "inside": inside}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not params:
            return inpt
        cropped = F.crop(inpt, *params["window"])
        if isinstance(inpt, tv_tensors.BoundingBoxes):
            emptied = cropped.as_subclass(Tensor) * params["inside"].to(cropped.dtype)[:, None]
            return tv_tensors.wrap(emptied, like=cropped)
        return cropped


class SanitizeBoundingBoxes(Transform):
    """Drops boxes that are too small or outside the canvas, with their labels and masks."""

    def __init__(
        self,
        min_size: float = 1.0,
        min_area: float = 1.0,
        labels_getter: Pick | str | None = "default",
    ) -> None:
        super().__init__()
        if min_size < 1 or min_area < 1:
            raise ValueError(f"min_size and min_area must be >= 1, got {min_size} and {min_area}.")
        self.min_size, self.min_area = min_size, min_area
        self._labels_getter = default_labels if labels_getter == "default" else labels_getter

    def forward(self, *inputs: Any) -> Any:
        nest = inputs if len(inputs) != 1 else inputs[0]
        leaves, rebuild = flatten(nest)
        labels = self._labels_getter(nest) if callable(self._labels_getter) else None
        listed = labels if isinstance(labels, tuple | list) else (labels,)
        boxes = [leaf for leaf in leaves if isinstance(leaf, tv_tensors.BoundingBoxes)]
        if len(boxes) != 1:
            raise ValueError(f"SanitizeBoundingBoxes needs one set of boxes, got {len(boxes)}")
        kept = self._valid(boxes[0])
        changed = []
        for leaf in leaves:
            belongs = any(leaf is label for label in listed)
            follows = belongs or isinstance(leaf, tv_tensors.BoundingBoxes | tv_tensors.Mask)
            if not follows or not isinstance(leaf, Tensor):
                changed.append(leaf)
                continue
            rest = leaf.as_subclass(Tensor)[kept]
            is_kind = isinstance(leaf, tv_tensors.TVTensor)
            changed.append(tv_tensors.wrap(rest, like=leaf) if is_kind else rest)
        return rebuild(changed)

    def _valid(self, boxes: Any) -> Tensor:
        corners = box_convert(boxes.as_subclass(Tensor), boxes.format.value.lower(), "xyxy")
        x1, y1, x2, y2 = corners.unbind(-1)
        height, width = boxes.canvas_size
        width_of, height_of = x2 - x1, y2 - y1
        large = (width_of >= self.min_size) & (height_of >= self.min_size)
        large = large & (width_of * height_of >= self.min_area)
        return large & (x1 >= 0) & (y1 >= 0) & (x2 <= width) & (y2 <= height)
