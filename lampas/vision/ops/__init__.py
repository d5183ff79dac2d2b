"""Operators of vision: boxes, regions, losses, and layers shared by the models."""

from lampas.vision.ops.boxes import (
    batched_nms,
    box_area,
    box_convert,
    box_iou,
    clip_boxes_to_image,
    complete_box_iou,
    complete_box_iou_loss,
    distance_box_iou,
    distance_box_iou_loss,
    generalized_box_iou,
    generalized_box_iou_loss,
    masks_to_boxes,
    nms,
    remove_small_boxes,
)
from lampas.vision.ops.drop_block import DropBlock2d, DropBlock3d, drop_block2d, drop_block3d
from lampas.vision.ops.focal_loss import sigmoid_focal_loss
from lampas.vision.ops.misc import (
    MLP,
    Conv2dNormActivation,
    Conv3dNormActivation,
    FrozenBatchNorm2d,
    Permute,
    SqueezeExcitation,
)
from lampas.vision.ops.regions import RoIAlign, RoIPool, roi_align, roi_pool
from lampas.vision.ops.stochastic_depth import StochasticDepth, stochastic_depth
