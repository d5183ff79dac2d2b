"""The transforms as classes, under torchvision's module path."""

from lampas.vision.transforms.autoaugment import *  # noqa: F403
from lampas.vision.transforms.containers import *  # noqa: F403
from lampas.vision.transforms.random_color import *  # noqa: F403
from lampas.vision.transforms.random_geometry import *  # noqa: F403
