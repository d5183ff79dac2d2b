"""Changes of images, for Pillow images and for tensors (..., C, H, W)."""

from lampas.vision.transforms import functional
from lampas.vision.transforms.autoaugment import *  # noqa: F403
from lampas.vision.transforms.containers import *  # noqa: F403
from lampas.vision.transforms.interpolation import InterpolationMode
from lampas.vision.transforms.random_color import *  # noqa: F403
from lampas.vision.transforms.random_geometry import *  # noqa: F403
