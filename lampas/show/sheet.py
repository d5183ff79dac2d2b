"""A sheet of paper: what is to be drawn, as a list, and the two ways of drawing it.

Everything is placed in final pixels, y downwards. `to_svg` writes the list as SVG with real text;
`to_image` paints it with Pillow, `SCALE` times larger and then reduced, which smooths the lines.
Text is measured with the font that Pillow carries, so both pictures have the same layout on every
machine; a character that this font lacks is painted in DejaVu Sans where that is installed.
"""

import base64
import functools
import io
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

SCALE = 2  # painted this much larger than shown
INK, FAINT, GRID, PAPER = "#1d2430", "#6b7482", "#e4e7ec", "#ffffff"
BLUE, PALE_BLUE, GREEN, RED = "#2563eb", "#bfd3fb", "#15803d", "#dc2626"
WIDER_FONT = "DejaVuSans.ttf"
FONT_FAMILY = "Aileron, Helvetica, Arial, 'DejaVu Sans', sans-serif"

Point = tuple[float, float]
ANCHORS = {"l": "start", "m": "middle", "r": "end"}
# How far below its anchor a baseline lies, in sizes: top (ascender), middle, bottom (baseline).
BASELINES = {"a": 0.93, "m": 0.35, "s": 0.0}


@functools.cache
def load_font(size: float, wide: bool = False) -> Any:
    """Pillow's own font; with `wide`, one with more characters where it is installed."""
    from PIL import ImageFont  # slow to import

    if wide:
        try:
            return ImageFont.truetype(WIDER_FONT, size)
        except OSError:
            pass
    return ImageFont.load_default(size)


def needs_wide_font(words: str) -> bool:
    """Whether `words` has characters beyond Western European letters and punctuation."""
    return any(ord(letter) > 0xFF and letter not in "–—‘’“”…" for letter in words) or "×" in words


def text_width(words: str, size: float) -> float:
    """The width of a line of text in pixels."""
    words = unicodedata.normalize("NFC", words)
    return load_font(size * SCALE, needs_wide_font(words)).getlength(words) / SCALE


@dataclass(frozen=True)
class Text:
    """A line of words; the anchor is Pillow's: l, m or r, then a (top), m or s (baseline)."""

    x: float
    y: float
    words: str
    size: float
    colour: str
    anchor: str

    def paint(self, pen: Any, image: Any) -> None:
        font = load_font(self.size * SCALE, needs_wide_font(self.words))
        pen.text((self.x * SCALE, self.y * SCALE), self.words, self.colour, font, self.anchor)

    def svg(self) -> str:
        baseline = self.y + BASELINES[self.anchor[1]] * self.size
        return (
            f'<text x="{self.x:.1f}" y="{baseline:.1f}" font-size="{self.size:g}" '
            f'text-anchor="{ANCHORS[self.anchor[0]]}" fill="{self.colour}">'
            f"{escape(self.words)}</text>"
        )


@dataclass(frozen=True)
class Line:
    """A line through points."""

    points: Sequence[Point]
    colour: str
    width: float

    def paint(self, pen: Any, image: Any) -> None:
        scaled = [(x * SCALE, y * SCALE) for x, y in self.points]
        pen.line(scaled, self.colour, round(self.width * SCALE), joint="curve")

    def svg(self) -> str:
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in self.points)
        return (
            f'<polyline points="{points}" fill="none" stroke="{self.colour}" '
            f'stroke-width="{self.width:g}" stroke-linejoin="round"/>'
        )


@dataclass(frozen=True)
class Polygon:
    """A filled outline, for the heads of arrows."""

    points: Sequence[Point]
    fill: str

    def paint(self, pen: Any, image: Any) -> None:
        pen.polygon([(x * SCALE, y * SCALE) for x, y in self.points], self.fill)

    def svg(self) -> str:
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in self.points)
        return f'<polygon points="{points}" fill="{self.fill}"/>'


@dataclass(frozen=True)
class Box:
    """A rectangle with round corners; `tip` is shown in a browser when the mouse rests on it."""

    left: float
    top: float
    width: float
    height: float
    fill: str
    outline: str
    radius: float
    tip: str

    def paint(self, pen: Any, image: Any) -> None:
        corners = [
            self.left * SCALE,
            self.top * SCALE,
            (self.left + self.width) * SCALE,
            (self.top + self.height) * SCALE,
        ]
        pen.rounded_rectangle(
            corners, self.radius * SCALE, self.fill, self.outline, round(1.25 * SCALE)
        )

    def svg(self) -> str:
        tip = f"<title>{escape(self.tip)}</title>" if self.tip else ""
        return (
            f'<rect x="{self.left:.1f}" y="{self.top:.1f}" width="{self.width:.1f}" '
            f'height="{self.height:.1f}" rx="{self.radius:g}" fill="{self.fill}" '
            f'stroke="{self.outline}" stroke-width="1.25">{tip}</rect>'
        )


@dataclass(frozen=True)
class Dot:
    """A filled circle."""

    x: float
    y: float
    radius: float
    colour: str

    def paint(self, pen: Any, image: Any) -> None:
        x, y, radius = self.x, self.y, self.radius
        box = [side * SCALE for side in (x - radius, y - radius, x + radius, y + radius)]
        pen.ellipse(box, self.colour)

    def svg(self) -> str:
        return (
            f'<circle cx="{self.x:.1f}" cy="{self.y:.1f}" r="{self.radius:g}" '
            f'fill="{self.colour}"/>'
        )


@dataclass(frozen=True)
class Tile:
    """A small greyscale picture (uint8, two dimensions) as a square, framed where it has a border."""

    x: float
    y: float
    pixels: Any
    border: str | None
    size: int

    def paint(self, pen: Any, image: Any) -> None:
        tile = self._image().resize((self.size * SCALE, self.size * SCALE))
        left, top = round(self.x * SCALE), round(self.y * SCALE)
        image.paste(tile.convert("RGB"), (left, top))
        if self.border:
            edge = 3
            end = edge + self.size * SCALE
            box = [left - edge, top - edge, left + end, top + end]
            pen.rectangle(box, None, self.border, 2 * edge - 1)

    def svg(self) -> str:
        stream = io.BytesIO()
        self._image().save(stream, "PNG")
        data = base64.b64encode(stream.getvalue()).decode()
        place = f'x="{self.x:.1f}" y="{self.y:.1f}" width="{self.size}" height="{self.size}"'
        frame = (
            f'<rect {place} fill="none" stroke="{self.border}" stroke-width="2.5"/>'
            if self.border
            else ""
        )
        return f'<image {place} href="data:image/png;base64,{data}"/>{frame}'

    def _image(self) -> Any:
        from PIL import Image  # slow to import

        return Image.fromarray(self.pixels)


@dataclass
class Sheet:
    """A picture of `width` × `height` pixels, on which later things cover earlier ones."""

    width: int
    height: int
    items: list[Any] = field(default_factory=list)

    def text(
        self, x: float, y: float, words: str, size: float, colour: str, anchor: str = "la"
    ) -> None:
        """Write one line; `anchor` says which point of it lies at (x, y)."""
        self.items.append(Text(x, y, words, size, colour, anchor))

    def line(self, points: Sequence[Point], colour: str, width: float) -> None:
        """Join points by straight lines."""
        self.items.append(Line(tuple(points), colour, width))

    def polygon(self, points: Sequence[Point], fill: str) -> None:
        """Fill the outline through points."""
        self.items.append(Polygon(tuple(points), fill))

    def dot(self, x: float, y: float, radius: float, colour: str) -> None:
        """A filled circle around (x, y)."""
        self.items.append(Dot(x, y, radius, colour))

    def box(self, corner: Point, size: Point, fill: str, outline: str, **more: Any) -> None:
        """A rectangle from its upper left corner; `radius` of its corners, `tip` for the mouse."""
        radius, tip = more.get("radius", 6.0), more.get("tip", "")
        self.items.append(Box(*corner, *size, fill, outline, radius, tip))

    def tile(self, x: float, y: float, pixels: Any, border: str | None, size: int = 44) -> None:
        """A small greyscale picture as a square with its upper left corner at (x, y)."""
        self.items.append(Tile(x, y, pixels, border, size))

    def to_svg(self) -> str:
        """The sheet as one SVG element."""
        width, height = self.width, self.height
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
                f'viewBox="0 0 {width} {height}" font-family="{FONT_FAMILY}">',
                f'<rect width="{width}" height="{height}" fill="{PAPER}"/>',
                *(item.svg() for item in self.items),
                "</svg>\n",
            ]
        )

    def to_image(self) -> Any:
        """The sheet as a `PIL.Image.Image`."""
        from PIL import Image, ImageDraw  # slow to import

        image = Image.new("RGB", (self.width * SCALE, self.height * SCALE), PAPER)
        pen = ImageDraw.Draw(image)
        for item in self.items:
            item.paint(pen, image)
        return image.resize((self.width, self.height), Image.Resampling.LANCZOS)


@dataclass(frozen=True)
class Axis:
    """A rectangle in final pixels, and the ranges of values that it spans."""

    left: float
    top: float
    width: float
    height: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    y_of: Callable[[float], float] = float  # applied to values and to y_range

    def place(self, x: float, y: float) -> Point:
        """Where the point (x, y) lies on the sheet; beyond the y range: at its edge."""
        low, high = map(self.y_of, self.y_range)
        across = (x - self.x_range[0]) / (self.x_range[1] - self.x_range[0])
        up = min(max((self.y_of(y) - low) / (high - low), 0.0), 1.0)
        return self.left + across * self.width, self.top + (1 - up) * self.height
