"""The release of torchvision that this package answers for."""

from lampas import version

__version__ = version.torchvision
git_version: str | None = None
cuda: str | None = None
