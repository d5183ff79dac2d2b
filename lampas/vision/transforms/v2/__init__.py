"""The second generation of transforms: of whole samples, with boxes and masks."""

from lampas.vision.transforms.autoaugment import AutoAugmentPolicy
from lampas.vision.transforms.interpolation import InterpolationMode
from lampas.vision.transforms.v2 import functional
from lampas.vision.transforms.v2.augment import *  # noqa: F403
from lampas.vision.transforms.v2.color import *  # noqa: F403
from lampas.vision.transforms.v2.geometry import *  # noqa: F403
from lampas.vision.transforms.v2.transform import (
    Compose,
    RandomApply,
    RandomChoice,
    RandomOrder,
    Transform,
    query_chw,
    query_size,
)
