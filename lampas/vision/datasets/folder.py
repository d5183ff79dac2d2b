"""Images in folders: one folder for each class."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from lampas.vision.datasets.vision import VisionDataset

IMG_EXTENSIONS = (
    ".jpg",
    ".jpeg",
    ".png",
    ".ppm",
    ".bmp",
    ".pgm",
    ".tif",
    ".tiff",
    ".webp",
)
Samples = list[tuple[str, int]]


def has_file_allowed_extension(filename: str, extensions: str | Iterable[str]) -> bool:
    """Whether the name ends, in any case, in one of the extensions."""
    endings = extensions if isinstance(extensions, str) else tuple(extensions)
    return filename.lower().endswith(endings)


def is_image_file(filename: str) -> bool:
    """Whether the name is an image's.

    >>> is_image_file("a.JPG"), is_image_file("a.txt")
    (True, False)
    """
    return has_file_allowed_extension(filename, IMG_EXTENSIONS)


def find_classes(directory: str | Path) -> tuple[list[str], dict[str, int]]:
    """The folders in a folder, sorted, and their numbers; FileNotFoundError if there is none."""
    classes = sorted(entry.name for entry in os.scandir(directory) if entry.is_dir())
    if not classes:
        raise FileNotFoundError(f"Couldn't find any class folder in {directory}.")
    return classes, {name: index for index, name in enumerate(classes)}


def make_dataset(
    directory: str | Path,
    class_to_idx: dict[str, int] | None = None,
    extensions: str | tuple[str, ...] | None = None,
    is_valid_file: Callable[[str], bool] | None = None,
    allow_empty: bool = False,
) -> Samples:
    """(path, class) of all files below the class folders, in sorted order.

    Raises ValueError unless exactly one of `extensions` and `is_valid_file` is given, and
    FileNotFoundError for a class without files unless `allow_empty`.
    """
    if class_to_idx is None:
        class_to_idx = find_classes(directory)[1]
    elif not class_to_idx:
        raise ValueError("'class_to_index' must have at least one entry to collect any samples.")
    if (extensions is None) == (is_valid_file is None):
        raise ValueError(
            "Both extensions and is_valid_file cannot be None or not None at the same time"
        )
    samples: Samples = []
    empty = []
    for name in sorted(class_to_idx):
        found = [
            path
            for path in _files(os.path.join(os.path.expanduser(directory), name))
            if _is_wanted(path, extensions, is_valid_file)
        ]
        samples += [(path, class_to_idx[name]) for path in found]
        if not found:
            empty.append(name)
    if empty and not allow_empty:
        told = f"Found no valid file for the classes {', '.join(empty)}. "
        if extensions is not None:
            listed = extensions if isinstance(extensions, str) else ", ".join(extensions)
            told += f"Supported extensions are: {listed}"
        raise FileNotFoundError(told)
    return samples


def _is_wanted(
    path: str,
    extensions: str | tuple[str, ...] | None,
    is_valid_file: Callable[[str], bool] | None,
) -> bool:
    if is_valid_file is not None:
        return is_valid_file(path)
    return has_file_allowed_extension(path, extensions or ())


def _files(folder: str) -> list[str]:
    if not os.path.isdir(folder):
        return []
    return [
        os.path.join(root, name)
        for root, _, names in sorted(os.walk(folder, followlinks=True))
        for name in sorted(names)
    ]


def pil_loader(path: str | Path) -> Image.Image:
    """The image in RGB."""
    with open(path, "rb") as file:
        return Image.open(file).convert("RGB")


def default_loader(path: str | Path) -> Any:
    """Loads an image with the chosen backend, which is Pillow."""
    return pil_loader(path)


class DatasetFolder(VisionDataset):
    """Files below `root/<class>/`: (what `loader` makes of the path, class)."""

    def __init__(
        self,
        root: str | Path,
        loader: Callable[[str], Any],
        extensions: tuple[str, ...] | None = None,
        transform: Callable[..., Any] | None = None,
        target_transform: Callable[..., Any] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        classes, class_to_idx = self.find_classes(self.root)  # pyright: ignore[reportArgumentType]
        samples = self.make_dataset(
            self.root,  # pyright: ignore[reportArgumentType]
            class_to_idx,
            extensions,
            is_valid_file,
            allow_empty,
        )
        self.loader, self.extensions = loader, extensions
        self.classes, self.class_to_idx = classes, class_to_idx
        self.samples = samples
        self.targets = [target for _, target in samples]

    @staticmethod
    def make_dataset(
        directory: str | Path,
        class_to_idx: dict[str, int],
        extensions: tuple[str, ...] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> Samples:
        """(path, class) of all samples."""
        return make_dataset(directory, class_to_idx, extensions, is_valid_file, allow_empty)

    def find_classes(self, directory: str | Path) -> tuple[list[str], dict[str, int]]:
        """The classes and their numbers."""
        return find_classes(directory)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, target = self.samples[index]
        return self._transformed(self.loader(path), target)

    def __len__(self) -> int:
        return len(self.samples)


class ImageFolder(DatasetFolder):
    """Images below `root/<class>/`: (Pillow image, class)."""

    def __init__(
        self,
        root: str | Path,
        transform: Callable[..., Any] | None = None,
        target_transform: Callable[..., Any] | None = None,
        loader: Callable[[str], Any] = default_loader,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        extensions = IMG_EXTENSIONS if is_valid_file is None else None
        super().__init__(
            root, loader, extensions, transform, target_transform, is_valid_file, allow_empty
        )
        self.imgs = self.samples
