"""Binding the cursor's native function to steps: their tables, and the builtin functions that the door calls.

Where the interpreter is not as the native function assumes, where a step is too large for a table, and where nothing is
to be compiled (the reference tier, eager mode), a step keeps the function that is written in Python alone.
"""

from __future__ import annotations

import functools
import importlib
import struct
from typing import TYPE_CHECKING, Any

from lampas.engine.derive.tape import next_sequence
from lampas.engine.derive.trail import Mark
from lampas.engine.graph.journal import CURRENT
from lampas.engine.graph.node import Node
from lampas.engine.graph.primitives import SCALAR
from lampas.engine.realize.realize import PENDING, bound_pending
from lampas.engine.settings import settings
from lampas.engine.tensor.core import Tensor, wrap
from lampas.engine.tensor.cursor_table import (
    INPUT_WORDS,
    KIND_WORDS,
    MOST_INPUTS,
    MOST_RESULTS,
    RESULT_WORDS,
    Common,
    InputWord,
    Mode,
    ResultWord,
    Source,
    Word,
)
from lampas.engine.tensor.device import CPU, device
from lampas.engine.tensor.grad_mode import grad_mode
from lampas.engine.tensor.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lampas.engine.derive.operation import Operation
    from lampas.engine.derive.recipe import Recipe
    from lampas.engine.derive.trail import Step
    from lampas.engine.graph.journal import Entry

_COMMON: dict[Common, Any] = {
    Common.TUPLE: tuple, Common.NODE: Node, Common.TENSOR: Tensor, Common.STORAGE: Storage, Common.MARK: Mark,
    Common.NONE: None, Common.FALSE: False, Common.TRUE: True, Common.ZERO: 0, Common.CPU: CPU,
    Common.JOURNALS: CURRENT, Common.JOURNAL: "journal", Common.PENDING: PENDING, Common.SETTINGS: settings,
    Common.LIMIT: "pending", Common.NEXT_SEQUENCE: next_sequence, Common.NEW: object.__new__,
    Common.GRAD_MODE: grad_mode, Common.ENABLED: "enabled", Common.SCALAR: SCALAR,
}  # fmt: skip
_COMMON_TABLE = struct.pack(f"{len(Common)}q", *[id(_COMMON[each]) for each in Common])
# A tensor on the CPU for a node and its edge: `core.wrap`, and the native function once there is one.
PLAIN_TENSOR: list[Callable[[Node, Any], Tensor]] = [
    lambda node, edge: wrap(node, CPU, edge)  # type: ignore[arg-type]
]
TABLE_BYTES = bytes.__basicsize__ - 1  # of a bytes object before its contents


def tensor_of(node: Node, place: device, edge: Any) -> Tensor:
    """`core.wrap`, by the native function where there is one; it leaves to us what `Storage` does where much waits."""
    if place is not CPU:
        return wrap(node, place, edge)
    tensor = PLAIN_TENSOR[0](node, edge)
    if len(PENDING) > settings.pending or settings.eager:
        bound_pending(node)
    return tensor


@functools.cache
def entrance() -> Callable[[bytes], Callable[..., Any]] | None:
    """What makes a step's function from its table; None where this interpreter has another layout of objects, or
    does not let its functions be found.

    The compiler is loaded when it is first wanted: start-up stays quick.
    """
    objects = importlib.import_module("lampas.engine.llvm.python_objects")
    native = importlib.import_module("lampas.engine.tensor.cursor_native")
    wrap_name = importlib.import_module("lampas.engine.tensor.cursor_parts").WRAP
    makers = objects.function_makers(native.follow_module, [native.FOLLOW, wrap_name])
    if makers is None:
        return None
    PLAIN_TENSOR[:] = [makers[1](_COMMON_TABLE)]
    return makers[0]


class Table:
    """The words of a step's table, and the objects whose addresses are among them."""

    def __init__(self, mode: Mode, recipe: Recipe, inputs: Sequence[Any]) -> None:
        self.words = [0] * Word.LENGTH
        self.kept: list[Any] = []
        self.words[Word.COMMON] = id(_COMMON_TABLE) + TABLE_BYTES
        self.words[Word.MODE], self.words[Word.INPUTS] = mode, len(inputs)
        self.words[Word.LEAVES] = -1
        self.refer(Word.RECIPE, recipe)
        self.words[Word.USED] = len(recipe.used)
        for number, place in enumerate(recipe.used):
            self.words[Word.USED_PLACES + number] = place
        self.words[Word.KINDS] = len(recipe.kinds)
        for number, (shape, kind) in enumerate(recipe.kinds):
            row = Word.KIND_ROWS + number * KIND_WORDS
            self.refer(row, shape)
            self.refer(row + 1, kind)
        positions = [result[1] for result in recipe.results if result is not None]
        self.words[Word.RESULTS] = len(positions)
        for number, position in enumerate(positions):
            self.words[self.result(number) + ResultWord.POSITION] = position
        for number, given in enumerate(inputs):
            is_node = type(given) is Node
            node = given if is_node else given._node
            self.words[self.input(number) + InputWord.IS_NODE] = int(is_node)
            self.refer(self.input(number) + InputWord.SHAPE, node.shape)
            self.refer(self.input(number) + InputWord.DTYPE, node.dtype)

    def refer(self, place: int, thing: Any) -> None:
        """Write an object's address."""
        self.kept.append(thing)
        self.words[place] = id(thing)

    def input(self, number: int) -> int:
        return Word.INPUT_ROWS + number * INPUT_WORDS

    def result(self, number: int) -> int:
        return Word.RESULT_ROWS + number * RESULT_WORDS

    def function(self, make: Callable[[bytes], Callable[..., Any]]) -> Callable[..., Any]:
        return make(struct.pack(f"{Word.LENGTH}q", *self.words))


def fits(recipe: Recipe, inputs: Sequence[Any]) -> bool:
    """Whether a table holds a step."""
    few = max(len(recipe.kinds), len(recipe.results)) <= MOST_RESULTS
    whole = not recipe.hands_on and None not in recipe.results and bool(recipe.kinds)
    compiles = settings.tier != "reference" and not settings.eager
    return few and whole and len(inputs) <= MOST_INPUTS and compiles


def bind_step(step: Step, inputs: Sequence[Any], place: int, leaves: int, view: bool) -> None:
    """Have a step be taken natively, and by its written function where that does not lead."""
    if not fits(step.recipe, inputs):
        return
    make = entrance()
    if make is None:
        return
    operation, table = (
        step.operation,
        Table(Mode.VIEW if view else Mode.TRACED, step.recipe, inputs),
    )
    table.words[Word.STEP] = id(step)  # it lives as long as its function
    table.refer(Word.PLACE, place)
    table.words[Word.MULTIPLE] = int(operation.multiple)
    table.words[Word.KEEPS_INPUTS] = int(operation.saves_inputs)
    table.words[Word.KEEPS_OUTPUTS] = int(operation.saves_outputs)
    write_sources(table, step, inputs, leaves)
    for number, differentiable in enumerate(step.differentiable):
        row = table.result(number)
        if differentiable:
            table.words[row + ResultWord.HAS_MARK] = 1
            table.refer(row + ResultWord.INDEX, number)
            table.refer(row + ResultWord.SOURCE, Mark(None, place, number).source)  # type: ignore[arg-type]
    table.refer(Word.WRITTEN, step.follow)
    step.kept, step.follow = table.kept, table.function(make)


def write_sources(table: Table, step: Step, inputs: Sequence[Any], leaves: int) -> None:
    """Where the inputs' cotangents go."""
    fresh: dict[int, int] = {}
    for number, (given, source) in enumerate(zip(inputs, step.sources, strict=True)):
        kind, row = step.kinds[number][1], table.input(number)
        if type(given) is Node or not (kind.is_floating_point or kind.is_complex):
            continue
        if source is None:
            found = Source.NOWHERE
        elif source < 0:
            found = Source.MARK
        elif source < leaves:
            found = Source.KNOWN_LEAF
        else:
            found = Source.SAME_LEAF if source in fresh else Source.FRESH_LEAF
        table.words[row + InputWord.SOURCE] = found
        if found is Source.SAME_LEAF:
            table.words[row + InputWord.TARGET] = fresh[source]  # type: ignore[index]
        elif source is not None:
            table.refer(row + InputWord.TARGET, source)
        if found is Source.FRESH_LEAF:
            fresh[source] = number  # type: ignore[index]
            table.words[Word.LEAVES] = leaves


def bind_recorder(
    entry: Entry, operation: Operation, recipe: Recipe, inputs: Sequence[Any]
) -> None:
    """The same for an operation that no tape wants."""
    if not fits(recipe, inputs):
        return
    make = entrance()
    if make is None:
        return
    table = Table(Mode.UNTRACKED if operation.untracked else Mode.PLAIN, recipe, inputs)
    table.words[Word.MULTIPLE] = int(operation.multiple)
    table.refer(Word.WRITTEN, entry.recorder)
    entry.kept, entry.recorder = table.kept, table.function(make)
