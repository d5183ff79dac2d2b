"""`show.graph`: the computational graph of a tensor as a picture."""

import itertools
import sys
from collections.abc import Mapping
from typing import Any

from lampas.engine.tensor.core import Tensor
from lampas.nn.modules.module import Module
from lampas.show import tape_graph
from lampas.show.layout import Layout, arrange
from lampas.show.picture import Picture
from lampas.show.sheet import FAINT, INK, Point, Sheet, text_width
from lampas.show.tape_graph import TapeGraph, Vertex, read_tape

MARGIN, LEGEND = 24, 44
TITLE_SIZE, LINE_SIZE, LINE_HEIGHT = 15, 12, 17
ARROW = 7.0
EDGE = "#9aa4b2"
FILLS = {  # fill and outline
    tape_graph.LEAF: ("#dbeafe", "#2563eb"),
    tape_graph.CONSTANT_INPUT: ("#f1f3f5", "#8b95a3"),
    tape_graph.NUMBER: ("#ffffff", "#c3cad4"),
    tape_graph.OPERATION: ("#fff7e6", "#d99413"),
}
RESULT = ("#dcfce7", "#15803d")
KEY = {
    "needs a gradient": FILLS[tape_graph.LEAF],
    "constant": FILLS[tape_graph.CONSTANT_INPUT],
    "operation": FILLS[tape_graph.OPERATION],
    "result": RESULT,
}
LONGEST_ROW = 9  # operations one after the other, in a graph that is drawn from left to right


def graph(
    tensor: Tensor,
    names: Mapping[str, Any] | Module | None = None,
    *,
    saved: bool = True,
    direction: str = "auto",
) -> Picture:
    """Draw what a tensor was computed from: leaves, constants, operations, saved shapes.

    An operation shows its grad name without "Backward0", the shape of its result and, with `saved`,
    the shapes of the values that its derivative keeps. `names` maps names to tensors and modules, or
    is a module; without it, the variables of the caller are looked through. `direction` is "right",
    "down" or "auto" (by length). ValueError for a tensor without a tape.

    >>> import lampas
    >>> from lampas import show
    >>> w = lampas.ones(3, requires_grad=True)
    >>> picture = show.graph((w * 2).sum())
    >>> "Sum" in picture.svg
    True
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"graph() draws a Tensor, not a {type(tensor).__name__}")
    if direction not in ("auto", "right", "down"):
        raise ValueError(f"direction is {direction!r}; it can be 'auto', 'right' or 'down'")
    if names is None:
        frame = sys._getframe(1)
        names = {**frame.f_globals, **frame.f_locals}
        names = {name: value for name, value in names.items() if not name.startswith("_")}
    elif isinstance(names, Module):
        names = {"model": names}
    tape = read_tape(tensor, names)
    if not saved:
        for vertex in tape.vertices:
            vertex.lines = [line for line in vertex.lines if not line.startswith("saves ")]
    return Picture(_draw(tape, direction), f"graph of {len(tape.vertices)} nodes")


def _draw(tape: TapeGraph, direction: str) -> Sheet:
    sizes = [_size(vertex) for vertex in tape.vertices]
    down = direction == "down" or (direction == "auto" and _depth(tape) > LONGEST_ROW)
    layout = arrange(sizes, tape.edges, down=down)
    key_width = sum(text_width(words, LINE_SIZE) + 46 for words in KEY)
    width = max(layout.width, key_width) + 2 * MARGIN
    left = (width - layout.width) / 2
    sheet = Sheet(round(width), round(layout.height) + 2 * MARGIN + LEGEND)
    for path in layout.paths:
        _draw_edge(sheet, [(x + left, y + MARGIN) for x, y in path], down)
    _draw_boxes(sheet, tape, layout, sizes, left)
    _draw_key(sheet, (width - key_width) / 2 + 8)
    return sheet


def _depth(tape: TapeGraph) -> int:
    """The number of boxes on the longest way; edges lead from lower numbers to higher ones."""
    depth = [1] * len(tape.vertices)
    for source, user in sorted(tape.edges, key=lambda edge: edge[1]):
        depth[user] = max(depth[user], depth[source] + 1)
    return max(depth)


def _size(vertex: Vertex) -> Point:
    if vertex.kind == tape_graph.NUMBER:
        return text_width(vertex.title, LINE_SIZE) + 16, 24.0
    widest = max(
        text_width(vertex.title, TITLE_SIZE),
        *(text_width(line, LINE_SIZE) for line in vertex.lines),
    )
    return max(widest + 24, 64.0), 30.0 + LINE_HEIGHT * len(vertex.lines)


def _draw_boxes(
    sheet: Sheet, tape: TapeGraph, layout: Layout, sizes: list[Point], left: float
) -> None:
    for vertex, (x, y), (width, height) in zip(tape.vertices, layout.centres, sizes, strict=True):
        x, top = x + left, y + MARGIN - height / 2
        fill, outline = RESULT if vertex.result else FILLS[vertex.kind]
        radius = 6.0 if vertex.kind == tape_graph.OPERATION else 12.0
        sheet.box(
            (x - width / 2, top), (width, height), fill, outline, radius=radius, tip=vertex.tip
        )
        if vertex.kind == tape_graph.NUMBER:
            sheet.text(x, top + height / 2, vertex.title, LINE_SIZE, FAINT, "mm")
            continue
        sheet.text(x, top + 16, vertex.title, TITLE_SIZE, INK, "mm")
        for number, line in enumerate(vertex.lines):
            sheet.text(x, top + 35 + LINE_HEIGHT * number, line, LINE_SIZE, FAINT, "mm")


def _draw_key(sheet: Sheet, x: float) -> None:
    y = sheet.height - LEGEND / 2 - 4
    for words, (fill, outline) in KEY.items():
        sheet.box((x, y - 7), (14, 14), fill, outline, radius=4.0)
        sheet.text(x + 20, y, words, LINE_SIZE, FAINT, "lm")
        x += text_width(words, LINE_SIZE) + 46


def _draw_edge(sheet: Sheet, path: list[Point], down: bool) -> None:
    x, y = path[-1]
    tip, half = path[-1], ARROW * 0.5
    base = (x, y - ARROW) if down else (x - ARROW, y)
    sheet.line(_smooth([*path[:-1], base], down), EDGE, 1.4)
    wings = (
        [(base[0] - half, base[1]), (base[0] + half, base[1])]
        if down
        else [(base[0], base[1] - half), (base[0], base[1] + half)]
    )
    sheet.polygon([tip, *wings], EDGE)


def _smooth(path: list[Point], down: bool, steps: int = 14) -> list[Point]:
    """A curve through the points that leaves and arrives in the direction of the layers."""
    points = [path[0]]
    for (x0, y0), (x3, y3) in itertools.pairwise(path):
        bend = ((y3 - y0) if down else (x3 - x0)) * 0.5
        (x1, y1), (x2, y2) = (
            ((x0, y0 + bend), (x3, y3 - bend)) if down else ((x0 + bend, y0), (x3 - bend, y3))
        )
        for step in range(1, steps + 1):
            t = step / steps
            a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
            points.append((a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3))
    return points
