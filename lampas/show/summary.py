"""`show.summary`: the layers of a model, with output shapes, parameters and floating-point work.

The model runs once, in evaluation mode and without recording, while hooks watch every module. Nothing is
computed for it: the values are never looked at, so the run only writes down a graph. The work of a
module is read from that graph: two operations for each multiply-add of the matrix products and
convolutions that its output needs, which is what PyTorch's `FlopCounterMode` counts.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from lampas.engine.graph.node import Node
from lampas.engine.graph.primitives import CONVOLUTION, MATMUL
from lampas.engine.tensor.core import Tensor
from lampas.engine.tensor.creation import zeros
from lampas.engine.tensor.grad_switches import no_grad
from lampas.nn.modules.module import Module
from lampas.random import get_rng_state, set_rng_state

HEADINGS = ("layer", "output shape", "parameters", "FLOPs")


@dataclass
class Row:
    """One module; parameters and work include those of the modules inside it."""

    name: str  # "" for the model itself
    kind: str
    depth: int
    leaf: bool
    parameters: int = 0
    frozen: int = 0  # parameters that need no gradient
    output: str = "not run"
    flops: int = 0
    runs: int = 0


@dataclass(frozen=True)
class Summary:
    """The table: `str()` gives text, a notebook shows HTML, `.rows` are the facts."""

    rows: list[Row]
    input_shapes: str
    bytes: int  # of parameters and buffers

    @property
    def parameters(self) -> int:
        """The number of all parameters, shared ones counted once."""
        return self.rows[0].parameters

    @property
    def trainable(self) -> int:
        """The number of parameters that require a gradient."""
        return self.rows[0].parameters - self.rows[0].frozen

    @property
    def flops(self) -> int:
        """Floating-point operations of one forward run."""
        return self.rows[0].flops

    def __str__(self) -> str:
        from rich.box import SIMPLE_HEAD  # slow to import
        from rich.console import Console
        from rich.table import Table

        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for heading in HEADINGS:
            table.add_column(heading, justify="left" if heading == HEADINGS[0] else "right")
        for row in self.rows:
            table.add_row("  " * row.depth + _title(row), *_cells(row))
        console = Console(width=160, color_system=None, highlight=False, markup=False)
        with console.capture() as captured:
            console.print(table)
        lines = [line.rstrip() for line in captured.get().strip("\n").splitlines()]
        return "\n".join([*lines, *self._totals()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        cells = "".join(f"<th style='text-align:left'>{heading}</th>" for heading in HEADINGS)
        body = []
        for row in self.rows:
            first = f"<td style='text-align:left;padding-left:{1 + row.depth}em'>"
            numbers = "".join(
                f"<td style='text-align:right'>{escape(cell)}</td>" for cell in _cells(row)
            )
            body.append(f"<tr>{first}{escape(_title(row))}</td>{numbers}</tr>")
        totals = "<br>".join(escape(line) for line in self._totals())
        return f"<table><tr>{cells}</tr>{''.join(body)}</table><p>{totals}</p>"

    def _totals(self) -> list[str]:
        frozen = f" ({self.trainable:,} trainable)" if self.rows[0].frozen else ""
        return [
            f"input {self.input_shapes}",
            f"{self.parameters:,} parameters{frozen}, {_short_bytes(self.bytes)}",
            f"{_short(self.flops)}FLOPs in matrix products and convolutions",
        ]


def summary(
    module: Module,
    input_size: Sequence[Any] | None = None,
    *,
    inputs: Any = None,
    depth: int | None = None,
) -> Summary:
    """Describe each layer of `module` for one run on zeros of `input_size`, or on `inputs`.

    `input_size` is a shape, batch included, or a sequence of shapes for several inputs; `inputs` a
    tensor or a tuple of arguments. `depth` bounds how deep modules within modules are listed. The
    model, its buffers and the random numbers stay as they were. TypeError without any input.

    >>> from lampas import nn
    >>> summary(nn.Linear(4, 3), (2, 4)).flops
    48
    """
    arguments = _arguments(module, input_size, inputs)
    watcher = _Watcher(module, arguments)
    training = [(each, each.training) for each in module.modules()]
    state = get_rng_state()
    try:
        module.eval()
        with no_grad():
            module(*arguments)
    finally:
        watcher.remove()
        set_rng_state(state)
        for each, mode in training:
            each.training = mode
    rows = [row for row in watcher.rows.values() if depth is None or row.depth <= depth]
    stored = {id(each): each for each in [*module.parameters(), *module.buffers()]}
    size = sum(each.numel() * each.element_size() for each in stored.values())
    return Summary(rows, _shapes(arguments), size)


def _arguments(module: Module, input_size: Any, inputs: Any) -> tuple[Any, ...]:
    if inputs is not None:
        return tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    if input_size is None:
        raise TypeError("summary() needs input_size (a shape, batch included) or inputs")
    shapes = [input_size] if all(isinstance(size, int) for size in input_size) else input_size
    like = next((each for each in module.parameters() if each.is_floating_point()), None)
    options = {} if like is None else {"dtype": like.dtype, "device": like.device}
    return tuple(zeros(*shape, **options) for shape in shapes)


class _Watcher:
    """Hooks on every module that fill its row when it has run."""

    def __init__(self, model: Module, arguments: Any) -> None:
        self.rows: dict[int, Row] = {}
        self.handles: list[Any] = []
        self.running: list[Row] = []
        self.counted: dict[int, Node] = {}  # holds the nodes, so that an id stands for one only
        for name, module in model.named_modules():
            parameters = list({id(each): each for each in module.parameters()}.values())
            row = Row(
                name,
                type(module).__name__,
                name.count(".") + 1 if name else 0,
                not list(module.children()),
                sum(each.numel() for each in parameters),
                sum(each.numel() for each in parameters if not each.requires_grad),
            )
            self.rows[id(module)] = row
            self.handles.append(module.register_forward_pre_hook(self._enter))
            self.handles.append(module.register_forward_hook(self._leave))

        # What was pending before the run (a running mean, say) is none of its work.
        given = [*model.parameters(), *model.buffers(), *_tensors(arguments)]
        self._count([tensor._value() for tensor in given])

    def _enter(self, module: Module, arguments: Any) -> None:
        self.running.append(self.rows[id(module)])

    def _leave(self, module: Module, arguments: Any, output: Any) -> None:
        tensors = list(_tensors(output))
        flops = self._count([tensor._value() for tensor in tensors])
        for row in self.running:
            row.flops += flops
        row = self.running.pop()
        row.runs += 1
        row.output = _shapes(tensors)

    def _count(self, nodes: list[Node]) -> int:
        """The work of what these nodes need and nobody has counted yet."""
        total, stack = 0, nodes
        while stack:
            node = stack.pop()
            if id(node) not in self.counted:
                self.counted[id(node)] = node
                total += _work(node)
                stack.extend(node.inputs)
        return total

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()


def _work(node: Node) -> int:
    """The work of one node; a call's is that of the steps that its recipe lists."""
    if node.op.name != "call":
        return _contraction(node.op.name, node.shape, [each.shape for each in node.inputs])
    shapes = [each.shape for each in node.inputs]
    total = 0
    for op, sources, _, shape, _ in node.attributes[0].steps:
        total += _contraction(op.name, shape, [shapes[source] for source in sources])
        shapes.append(shape)
    return total


def _contraction(name: str, shape: Any, inputs: list[Any]) -> int:
    """Two operations for each multiply-add of a product or a convolution, else none."""
    if name == MATMUL.name:
        return 2 * math.prod(shape) * inputs[0][-1]
    if name == CONVOLUTION.name:
        return 2 * math.prod(shape) * math.prod(inputs[1][1:])
    return 0


def _tensors(value: Any) -> Iterable[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _tensors(each)
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _tensors(each)


def _shapes(values: Any) -> str:
    return ", ".join(str(tuple(tensor.shape)) for tensor in _tensors(values))


def _title(row: Row) -> str:
    last = row.name.rpartition(".")[2]
    title = f"{last}: {row.kind}" if last else row.kind
    return f"{title} (run {row.runs} times)" if row.runs > 1 else title


def _cells(row: Row) -> tuple[str, str, str]:
    parameters = f"{row.parameters:,}" if row.parameters else "–"
    if row.parameters and row.frozen == row.parameters:
        parameters += " frozen"
    return row.output, parameters, _short(row.flops).strip() or "–"


def _short(number: int) -> str:
    """A count in at most four digits with its unit: 1.82 G."""
    if not number:
        return ""
    value, units = float(number), ["", "k", "M", "G", "T", "P"]
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.3g} {units[0]}".rstrip() + ("" if units[0] else " ")


def _short_bytes(number: int) -> str:
    value, units = float(number), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{value:.4g} {units[0]}"
