"""A finished picture: shown in notebooks, saved as SVG or PNG, whole or not at all."""

import functools
import io
import os
from pathlib import Path
from typing import Any

from lampas.serialization.files import replacing
from lampas.show.sheet import Sheet


class Picture:
    """What the functions of `lampas.show` return: `.svg`, `.png`, `.image`, `.save(path)`.

    A notebook shows it when it is a cell's last value.
    """

    def __init__(self, sheet: Sheet, description: str) -> None:
        self._sheet = sheet
        self._description = description

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._sheet.width, self._sheet.height

    @functools.cached_property
    def svg(self) -> str:
        """The picture as SVG text."""
        return self._sheet.to_svg()

    @functools.cached_property
    def image(self) -> Any:
        """The picture as a `PIL.Image.Image`."""
        return self._sheet.to_image()

    @functools.cached_property
    def png(self) -> bytes:
        """The picture as the bytes of a PNG file."""
        stream = io.BytesIO()
        self.image.save(stream, "PNG", optimize=True)
        return stream.getvalue()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a .svg or .png file, replacing an old one only when the new one is whole.

        ValueError for another suffix.
        """
        target = Path(path)
        suffix = target.suffix.lower()
        if suffix not in (".svg", ".png"):
            raise ValueError(f"a picture is saved as .svg or .png, not as {target.name!r}")
        data = self.svg.encode() if suffix == ".svg" else self.png
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as file:
            file.write(data)
        return target

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_png_(self) -> bytes:
        return self.png

    def __repr__(self) -> str:
        width, height = self.size
        return f"<{self._description}, {width} × {height} pixels; .save('picture.svg')>"
