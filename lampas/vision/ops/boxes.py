"""Boxes: areas, overlaps, conversions, suppression. Boxes are (N, 4), x1 ≤ x2 and y1 ≤ y2."""

import numpy as np

import lampas
from lampas import Tensor

FORMATS = ("xyxy", "xywh", "cxcywh")


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Indices of the boxes that overlap no better one by more than the threshold, best first.

    Raises RuntimeError for wrong shapes.

    >>> boxes = lampas.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2.1], [5, 5, 6, 6]])
    >>> nms(boxes, lampas.tensor([0.5, 0.9, 0.1]), 0.5)
    tensor([1, 2])
    """
    if boxes.dim() != 2 or boxes.shape[-1] != 4:
        raise RuntimeError(f"boxes should be a 2d tensor of shape (N, 4), got {tuple(boxes.shape)}")
    if scores.dim() != 1 or scores.shape[0] != boxes.shape[0]:
        raise RuntimeError(
            "boxes and scores should have same number of elements in dimension 0, got "
            f"{boxes.shape[0]} and {tuple(scores.shape)}"
        )
    corners = boxes.detach().numpy()
    order = np.argsort(-scores.detach().numpy(), kind="stable")
    x1, y1, x2, y2 = (corners[order, column] for column in range(4))
    areas = (x2 - x1) * (y2 - y1)
    alive = np.ones(len(order), dtype=bool)
    for place in range(len(order)):
        if not alive[place]:
            continue
        rest = slice(place + 1, None)
        width = np.minimum(x2[place], x2[rest]) - np.maximum(x1[place], x1[rest])
        height = np.minimum(y2[place], y2[rest]) - np.maximum(y1[place], y1[rest])
        common = np.maximum(width, 0) * np.maximum(height, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            overlap = common / (areas[place] + areas[rest] - common)
        alive[rest] &= ~(overlap > iou_threshold)
    return lampas.from_numpy(order[alive].astype(np.int64))


def batched_nms(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """`nms` within each class of `idxs`; indices over all, best first."""
    if boxes.numel() == 0:
        return lampas.empty((0,), dtype=lampas.int64)
    shift = idxs.to(boxes.dtype) * (boxes.max() + 1)
    return nms(boxes + shift[:, None], scores, iou_threshold)


def remove_small_boxes(boxes: Tensor, min_size: float) -> Tensor:
    """Indices of the boxes at least `min_size` wide and high."""
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    return lampas.where((widths >= min_size) & (heights >= min_size))[0]


def clip_boxes_to_image(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes cut off at an image of (height, width)."""
    height, width = size
    x = boxes[..., 0::2].clamp(min=0, max=width)
    y = boxes[..., 1::2].clamp(min=0, max=height)
    return lampas.stack((x, y), dim=boxes.dim()).reshape(boxes.shape)


# Conversions --------------------------------------------------------------------------------------


def _to_xyxy(boxes: Tensor, kind: str) -> Tensor:
    a, b, c, d = boxes.unbind(-1)
    if kind == "xywh":
        return lampas.stack((a, b, a + c, b + d), dim=-1)
    return lampas.stack((a - 0.5 * c, b - 0.5 * d, a + 0.5 * c, b + 0.5 * d), dim=-1)


def _from_xyxy(boxes: Tensor, kind: str) -> Tensor:
    x1, y1, x2, y2 = boxes.unbind(-1)
    if kind == "xywh":
        return lampas.stack((x1, y1, x2 - x1, y2 - y1), dim=-1)
    return lampas.stack(((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1), dim=-1)


def box_convert(boxes: Tensor, in_fmt: str, out_fmt: str) -> Tensor:
    """Between "xyxy" (corners), "xywh" (corner and size) and "cxcywh" (centre and size).

    Raises ValueError for other formats.

    >>> box_convert(lampas.tensor([[1.0, 2, 3, 4]]), "xywh", "xyxy")
    tensor([[1., 2., 4., 6.]])
    """
    if in_fmt not in FORMATS or out_fmt not in FORMATS:
        raise ValueError(
            f"Unsupported Bounding Box Conversions for given in_fmt {in_fmt} and out_fmt {out_fmt}"
        )
    if in_fmt == out_fmt:
        return boxes.clone()
    corners = boxes if in_fmt == "xyxy" else _to_xyxy(boxes, in_fmt)
    return corners if out_fmt == "xyxy" else _from_xyxy(corners, out_fmt)


# Overlaps -----------------------------------------------------------------------------------------


def _wide(boxes: Tensor) -> Tensor:
    """In a dtype in which products of coordinates fit."""
    if boxes.is_floating_point():
        return boxes if boxes.dtype in (lampas.float32, lampas.float64) else boxes.float()
    return boxes if boxes.dtype in (lampas.int32, lampas.int64) else boxes.int()


def box_area(boxes: Tensor) -> Tensor:
    """(N,) areas of (N, 4) boxes."""
    boxes = _wide(boxes)
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _common_and_union(boxes1: Tensor, boxes2: Tensor) -> tuple[Tensor, Tensor]:
    low = lampas.maximum(boxes1[:, None, :2], boxes2[None, :, :2])
    high = lampas.minimum(boxes1[:, None, 2:], boxes2[None, :, 2:])
    sides = _wide(high - low).clamp(min=0)
    common = sides[..., 0] * sides[..., 1]
    return common, box_area(boxes1)[:, None] + box_area(boxes2) - common


def box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """(N, M) intersection over union of all pairs."""
    common, union = _common_and_union(boxes1, boxes2)
    return common / union


def _hull(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Widths and heights (N, M, 2) of the smallest boxes around all pairs."""
    low = lampas.minimum(boxes1[:, None, :2], boxes2[None, :, :2])
    high = lampas.maximum(boxes1[:, None, 2:], boxes2[None, :, 2:])
    return _wide(high - low).clamp(min=0)


def generalized_box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """(N, M): IoU − (hull − union) / hull (arXiv:1902.09630)."""
    common, union = _common_and_union(boxes1, boxes2)
    sides = _hull(boxes1, boxes2)
    hull = sides[..., 0] * sides[..., 1]
    return common / union - (hull - union) / hull


def distance_box_iou(boxes1: Tensor, boxes2: Tensor, eps: float = 1e-7) -> Tensor:
    """(N, M): IoU − (distance of centres)² / (diagonal of the hull)² (arXiv:1911.08287)."""
    common, union = _common_and_union(boxes1, boxes2)
    diagonal = (_hull(boxes1, boxes2) ** 2).sum(-1) + eps
    centres1 = (boxes1[:, :2] + boxes1[:, 2:]) / 2
    centres2 = (boxes2[:, :2] + boxes2[:, 2:]) / 2
    distance = ((centres1[:, None] - centres2[None]) ** 2).sum(-1)
    return common / union - distance / diagonal


def complete_box_iou(boxes1: Tensor, boxes2: Tensor, eps: float = 1e-7) -> Tensor:
    """(N, M): distance IoU less a term for unequal shapes (arXiv:1911.08287)."""
    iou = box_iou(boxes1, boxes2)
    sides1, sides2 = boxes1[:, 2:] - boxes1[:, :2], boxes2[:, 2:] - boxes2[:, :2]
    slope1 = lampas.atan(sides1[:, 0] / sides1[:, 1])
    slope2 = lampas.atan(sides2[:, 0] / sides2[:, 1])
    unlike = (4 / lampas.pi**2) * (slope1[:, None] - slope2[None]) ** 2
    with lampas.no_grad():
        weight = unlike / (1 - iou + unlike + eps)
    return distance_box_iou(boxes1, boxes2, eps) - weight * unlike


def masks_to_boxes(masks: Tensor) -> Tensor:
    """(N, 4) boxes around the true places of (N, H, W) masks; zeros for an empty mask."""
    rows = []
    for mask in masks.detach().numpy():
        y, x = np.nonzero(mask)
        rows.append([x.min(), y.min(), x.max(), y.max()] if len(x) else [0, 0, 0, 0])
    return lampas.tensor(np.array(rows, dtype=np.float32).reshape(-1, 4))


# Losses of aligned pairs --------------------------------------------------------------------------


def _reduced(loss: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return loss
    if reduction not in ("mean", "sum"):
        raise ValueError(
            f"Invalid Value for arg 'reduction': '{reduction} \n Supported reduction modes: 'none', "
            "'mean', 'sum'"
        )
    if reduction == "mean":
        return loss.mean() if loss.numel() > 0 else 0.0 * loss.sum()
    return loss.sum()


def _pairwise(boxes1: Tensor, boxes2: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of aligned pairs: IoU, union, sides of the hull, squared distance of centres."""
    boxes1, boxes2 = _wide(boxes1), _wide(boxes2)
    low = lampas.maximum(boxes1[..., :2], boxes2[..., :2])
    high = lampas.minimum(boxes1[..., 2:], boxes2[..., 2:])
    sides = (high - low).clamp(min=0)
    common = sides[..., 0] * sides[..., 1]
    areas = [(b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1]) for b in (boxes1, boxes2)]
    union = areas[0] + areas[1] - common
    hull = lampas.maximum(boxes1[..., 2:], boxes2[..., 2:]) - lampas.minimum(
        boxes1[..., :2], boxes2[..., :2]
    )
    centres = [(b[..., :2] + b[..., 2:]) / 2 for b in (boxes1, boxes2)]
    return common / (union + eps), union, hull, ((centres[0] - centres[1]) ** 2).sum(-1)


def generalized_box_iou_loss(
    boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7
) -> Tensor:
    """1 − generalised IoU of aligned pairs (N, 4)."""
    iou, union, hull, _ = _pairwise(boxes1, boxes2, eps)
    area = hull[..., 0] * hull[..., 1]
    return _reduced(1 - (iou - (area - union) / (area + eps)), reduction)


def distance_box_iou_loss(
    boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7
) -> Tensor:
    """1 − distance IoU of aligned pairs (N, 4)."""
    iou, _, hull, distance = _pairwise(boxes1, boxes2, eps)
    return _reduced(1 - iou + distance / ((hull**2).sum(-1) + eps), reduction)


def complete_box_iou_loss(
    boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7
) -> Tensor:
    """1 − complete IoU of aligned pairs (N, 4)."""
    iou, _, hull, distance = _pairwise(boxes1, boxes2, eps)
    slopes = [
        lampas.atan((b[..., 2] - b[..., 0]) / (b[..., 3] - b[..., 1])) for b in (boxes1, boxes2)
    ]
    unlike = (4 / lampas.pi**2) * (slopes[1] - slopes[0]) ** 2
    with lampas.no_grad():
        weight = unlike / (1 - iou + unlike + eps)
    loss = 1 - iou + distance / ((hull**2).sum(-1) + eps) + weight * unlike
    return _reduced(loss, reduction)
