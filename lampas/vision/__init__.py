"""Images: datasets, transforms, models and box arithmetic under torchvision's names.

Submodules are imported when they are first read. Images are decoded by Pillow, which is the only
image backend here.
"""

from typing import Any

from lampas import _lazy
from lampas import version as _version

LAZY_MODULES = "datasets io models ops transforms tv_tensors utils version".split()
IMAGE_BACKENDS = ("PIL",)

__version__ = _version.torchvision
__getattr__, __dir__ = _lazy.attach(__name__, LAZY_MODULES)


def set_image_backend(backend: str) -> None:
    """Choose the package that loads images; only "PIL" is there.

    Raises ValueError for any other name.
    """
    if backend not in IMAGE_BACKENDS:
        raise ValueError(f"Invalid backend '{backend}'. Options are 'PIL'")


def get_image_backend() -> str:
    """The package that loads images: "PIL"."""
    return "PIL"


def set_video_backend(backend: str) -> None:
    """Choose the package that decodes videos: there is none."""
    raise NotImplementedError(f"set_video_backend({backend!r}): videos are not decoded here")


def disable_beta_transforms_warning() -> None:
    """Accepted for old programs; nothing warns here."""


def _is_tracing() -> Any:
    return False
