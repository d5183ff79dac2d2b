"""Reading and writing of image files."""

from lampas.vision.io.image import *  # noqa: F403
