"""Writing the function that takes a known step (`step_replays`): what it compares, runs and changes.

`StepWriter` knows where everything comes from and goes to; its two kinds differ in who handles tensors and nodes one by one:
`NativeStepWriter` lets native functions do it (`step_native`), `PlainStepWriter` writes a few lines of Python for each.
"""

from __future__ import annotations

import importlib
from sys import getrefcount
from typing import TYPE_CHECKING, Any, NamedTuple, final

from lampas.engine.device.background import finish
from lampas.engine.device.buffer import Buffer
from lampas.engine.graph.node import buffer_node
from lampas.engine.graph.primitives import BUFFER
from lampas.engine.realize.donation import BUFFER_ALONE, NODE_ALONE, find_lone
from lampas.engine.realize.realize import GENERATION, LAST, PENDING
from lampas.optim.step_table import ABSENT, Section, StepTable, StepWord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lampas.engine.graph.journal import Journal
    from lampas.engine.graph.node import Node
    from lampas.engine.realize.replay import Replay
    from lampas.engine.tensor.core import Tensor
    from lampas.optim.turns import GroupTurn

SLOTS_OF_NODE = 2  # that refer to a tensor's node


class Row(NamedTuple):
    """A tensor that an update reads: the number of its value on the path, -1 if it is met there for the first time."""

    tensor: Tensor
    node: int  # the value's id
    number: int
    written: bool


class Where(NamedTuple):
    """A row, or a value of the path; the other one is -1."""

    row: int
    value: int

    @property
    def node(self) -> str:
        return f"n{self.row}_" if self.row >= 0 else f"values[{self.value}]"

    @property
    def buffer(self) -> str:
        return f"b{self.row}_" if self.row >= 0 else f"values[{self.value}].buffer"


class KnownStep(NamedTuple):
    """A step that went the long way: `before` is how many values the journal had when it began, `numbers` are the ids of
    the nodes of each turn's numbers."""

    optimizer: Any
    replay: Replay
    rows: list[Row]
    values: list[Node]
    before: int
    turns: list[GroupTurn]
    numbers: list[list[int]]


def write_step(step: KnownStep) -> Callable[[Journal, int], bool] | None:
    """The function; None where something cannot be placed."""
    native = importlib.import_module("lampas.optim.step_native").entrances()
    if native is None:
        return PlainStepWriter(step).write()
    return NativeStepWriter(step, native).write()


class StepWriter:
    """Writes the function of one step."""

    def __init__(self, step: KnownStep) -> None:
        self.step, self.replay, self.rows, self.values = step, step.replay, step.rows, step.values
        self.program = step.replay.plan.program
        self.names: dict[str, Any] = {
            "allocate": Buffer.allocate, "run": self.program.start_given, "finish": finish, "plan": step.replay.plan,
            "generation": GENERATION, "last": LAST, "pending": PENDING,
        }  # fmt: skip
        self.lines: list[str] = []
        self.written = {
            id(row.tensor._storage.node): place
            for place, row in enumerate(step.rows)
            if row.written
        }
        self.scalars = {
            key: (turn, position)
            for turn, ids in enumerate(step.numbers)
            for position, key in enumerate(ids)
        }
        self.fresh: dict[int, int] = {}  # rows that are leaves of their own, by values' numbers

    def write(self) -> Callable[[Journal, int], bool] | None:
        self.check(f"generation[0] != {GENERATION[0]}")
        self.lines.append("values = journal.values")
        self.check_groups()
        if not self.place_fresh():
            return None
        leaves = [self.leaf(number) for number in self.replay.buffers]
        numbers = [self.number(number) for number in self.replay.scalars]
        targets = [self.target(number) for number in self.replay.outputs]
        found = [leaf for leaf in leaves if leaf is not None]
        placed = [target for target in targets if target is not None]
        if len(found) < len(leaves) or None in numbers or len(placed) < len(targets):
            return None
        self.look(found, placed)
        for place, turn in enumerate(self.step.turns):
            self.names[f"turn{place}"] = turn
            self.lines.append(f"u{place} = turn{place}.numbers()")
            self.check(f"u{place} is None")
        self.lines.append("finish()")  # what ran in the background gives up memory for the results
        self.run(found, "".join(f"{number}, " for number in numbers), placed)
        self.move(placed)
        self.finish()
        body = "\n".join(f"    {line}" for line in self.lines)
        exec(f"def take(journal, waiting):\n{body}", self.names)
        return self.names["take"]

    def check(self, wrong: str) -> None:
        """Leave where a condition holds."""
        self.lines.append(f"if {wrong}: return False")

    # ---- what the kinds differ in -------------------------------------------------------------------------------

    def look(self, leaves: Sequence[Where], targets: Sequence[Where]) -> None:
        """Compare tensors, states and gradients with what they were; find the leaves' buffers."""
        raise NotImplementedError

    def run(self, leaves: Sequence[Where], numbers: str, targets: Sequence[Where]) -> None:
        """Memory for the results, and the run."""
        raise NotImplementedError

    def move(self, targets: Sequence[Where]) -> None:
        """Give the results to tensors and values."""
        raise NotImplementedError

    # ---- parts --------------------------------------------------------------------------------------------------

    def check_groups(self) -> None:
        """The same groups with the same parameters."""
        groups = self.step.optimizer.param_groups
        self.names |= {"optimizer": self.step.optimizer, "states": self.step.optimizer.state}
        self.lines.append("groups = optimizer.param_groups")
        self.check(f"len(groups) != {len(groups)} or optimizer.state is not states")
        for place, group in enumerate(groups):
            self.names[f"group{place}"] = group
            self.names[f"ids{place}"] = [*map(id, group["params"])]
            self.names[f"kept{place}"] = list(group["params"])
            self.check(f"groups[{place}] is not group{place}")
            self.check(f"[*map(id, group{place}['params'])] != ids{place}")

    def idle_parameters(self) -> list[Any]:
        """Parameters that had no gradients."""
        updated = {id(row.tensor) for row in self.rows}
        groups = self.step.optimizer.param_groups
        return [p for group in groups for p in group["params"] if id(p) not in updated]

    def states_of_rows(self) -> list[tuple[Any, dict[str, Any], list[tuple[str, Any]]]]:
        """Tensors that have states, these, and the names in them of tensors that are rows too."""
        of_rows = {id(row.tensor) for row in self.rows}
        found: list[tuple[Any, dict[str, Any], list[tuple[str, Any]]]] = []
        for row in self.rows:
            state = self.step.optimizer.state.get(row.tensor) if row.written else None
            if state:
                named = [(name, value) for name, value in state.items() if id(value) in of_rows]
                found.append((row.tensor, state, named))
        return found

    def place_fresh(self) -> bool:
        """Find the numbers of the values that the path meets for the first time; whether all were found."""
        numbers = {id(node): number for number, node in enumerate(self.values)}
        for place, row in enumerate(self.rows):
            if row.number < 0:
                number = numbers.get(row.node)
                if number is None:
                    return False
                self.fresh[number] = place
        return True

    def leaf(self, number: int) -> Where | None:
        """Where a leaf is had from."""
        if number < self.step.before:
            for place, row in enumerate(self.rows):
                if row.number == number:
                    return Where(place, ABSENT)
            return Where(ABSENT, number)
        return Where(self.fresh[number], ABSENT) if number in self.fresh else None

    def number(self, number: int) -> str | None:
        """A Python number: one that was read on the path, or the optimizer's."""
        if number < self.step.before:
            return f"values[{number}].value"
        found = self.scalars.get(id(self.values[number]))
        return None if found is None else f"float(u{found[0]}[{found[1]}])"

    def target(self, number: int) -> Where | None:
        """Where a result goes: to a tensor (its row), or to a value of the path."""
        if number < self.step.before:
            return Where(ABSENT, number)
        place = self.written.get(id(self.values[number]))
        return None if place is None else Where(place, ABSENT)

    def donor(self, output: int, target: Where, leaves: Sequence[Where]) -> bool:
        """Whether a result may overwrite its tensor's old value, which nobody is to share from this run on."""
        leaf = self.program.donations.get(output, -1)
        if target.row < 0 or leaf < 0 or leaves[leaf].row != target.row:
            return False
        number = self.replay.buffers[leaf]
        return all(number != shared for _, shared in self.replay.settled)

    def given(self, leaves: Sequence[Where]) -> dict[int, int]:
        """Results that may overwrite values of the path: outputs by leaves, which nobody but the path holds."""
        shared = {number for _, number in self.replay.settled}
        free = set(self.replay.free)
        return {
            leaf: output
            for output, leaf in self.program.donations.items()
            if leaf in free and leaves[leaf].row < 0 and self.replay.buffers[leaf] not in shared
        }

    def attributes(self, output: int) -> tuple[Any, ...]:
        """Of the node of a result: how it lies in memory."""
        layout = self.program.layouts[output]
        return () if layout is None else (layout,)

    def run_lines(self, outputs: str, leaves: str, numbers: str) -> None:
        self.lines += [
            "try:",
            f"    run({outputs}, {leaves}, ({numbers}))",
            "except Exception: return False",  # the long way tells what is wrong
        ]

    def finish(self) -> None:
        """What was computed on the way; then the journal begins anew."""
        for value, leaf in self.replay.settled:
            self.lines.append(f"b = values[{leaf}].buffer; b.aliased = True")
            self.lines.append(f"values[{value}].realize_as(b)")
        if self.replay.held:
            self.names["held"] = self.replay.held
            self.lines.append("journal.keep_all(held)")
        self.lines += [f"turn{place}.count()" for place in range(len(self.step.turns))]
        self.lines += [
            "plan.sightings += 1",
            "last[0] = plan",
            "journal.close()",
            "del pending[:waiting]",
            "return True",
        ]


@final
class NativeStepWriter(StepWriter):
    """Native functions compare and change; `leaves` and `outputs` are lists of buffers."""

    def __init__(self, step: KnownStep, native: Sequence[Callable[[bytes], Any]]) -> None:
        super().__init__(step)
        self.native = native
        shared = {
            StepWord.NONE: None, StepWord.FALSE: False, StepWord.ONE: 1, StepWord.BUFFER: BUFFER, StepWord.EMPTY: (),
            StepWord.BUFFER_NODE: buffer_node, StepWord.STATES: step.optimizer.state,
        }  # fmt: skip
        self.table = StepTable(shared)

    def look(self, leaves: Sequence[Where], targets: Sequence[Where]) -> None:
        self.fill_rows()
        for where, layout in zip(leaves, self.replay.layouts, strict=True):
            expected = self.table.address(layout or ())
            self.table.add(Section.LEAVES, where.row, where.value, expected)
        for output, target in enumerate(targets):
            donor = target.row if self.donor(output, target, leaves) else ABSENT
            listed = donor != ABSENT and self.rows[donor].number >= 0  # among the path's values
            self.table.add(Section.OUTPUTS, donor, SLOTS_OF_NODE + listed)
            attributes = self.table.address(self.attributes(output))
            if target.row < 0:
                self.table.add(Section.VALUES, target.value, output, attributes)
            else:
                self.table.add(Section.MOVED, target.row, output, attributes)
        packed = self.table.packed()
        begin, finish = (make(packed) for make in self.native)
        self.names |= {"begin": begin, "move": finish, "kept": self.table.kept}
        self.lines.append("made = begin(values)")
        self.check("made is None")
        self.lines.append("leaves, outputs = made")

    def fill_rows(self) -> None:
        """The tensors, and what the optimizer keeps of them."""
        table, address = self.table, self.table.address
        for tensor, state, named in self.states_of_rows():
            table.add(Section.STATES, address(tensor), address(state), 0, 0)
            for name, value in named:
                table.add(
                    Section.STATES, address(tensor), address(state), address(name), address(value)
                )
        for parameter in self.idle_parameters():
            table.add(Section.IDLE, address(parameter))
        for row in self.rows:
            tensor, own = row.tensor, row.written
            pair = (address(tensor), address(tensor._storage)) if own else (0, 0)
            kinds = address(tensor._shape), address(tensor.dtype)
            table.add(Section.ROWS, *pair, row.number, *kinds)

    def run(self, leaves: Sequence[Where], numbers: str, targets: Sequence[Where]) -> None:
        self.names["sizes"] = tuple(self.program.output_bytes)
        given = self.given(leaves)
        if given:
            self.names |= {"given": given, "places": [*given], "find_lone": find_lone}
            self.lines += [
                "for leaf in find_lone(places, leaves):",
                "    made = outputs[given[leaf]] = leaves[leaf]",
                "    made.prepared = None",
                "made = None",
            ]
        self.lines += [
            "for place, made in enumerate(outputs):",
            "    if made is None: outputs[place] = allocate(sizes[place])",
        ]
        self.run_lines("outputs", "leaves", numbers)

    def move(self, targets: Sequence[Where]) -> None:
        self.lines.append("move(values, outputs)")


@final
class PlainStepWriter(StepWriter):
    """Lines of Python for each tensor `t`, its storage `s`, node `n` and buffer `b`, and each result `x`."""

    def __init__(self, step: KnownStep) -> None:
        super().__init__(step)
        self.names |= {"getrefcount": getrefcount, "BUFFER": BUFFER, "buffer_node": buffer_node}

    def look(self, leaves: Sequence[Where], targets: Sequence[Where]) -> None:
        for parameter in self.idle_parameters():
            name = f"idle{len(self.names)}"
            self.names[name] = parameter
            self.check(f"{name}._grad is not None")
        for place, (tensor, state, named) in enumerate(self.states_of_rows()):
            self.names[f"p{place}"], self.names[f"q{place}"] = tensor, state
            self.check(f"states.get(p{place}) is not q{place}")
            for name, value in named:
                self.names[f"r{place}_{name}"] = value
                self.check(f"q{place}[{name!r}] is not r{place}_{name}")
        for place in range(len(self.rows)):
            self.take_row(place)
        for place, (leaf, layout) in enumerate(zip(leaves, self.replay.layouts, strict=True)):
            if layout:
                self.names[f"layout{place}"] = layout
                self.check(f"{leaf.node}.attributes != layout{place}")
            else:
                self.check(f"{leaf.node}.attributes")

    def take_row(self, place: int) -> None:
        """A tensor with its storage, node and buffer: the value that it was on the path."""
        row = self.rows[place]
        t, s, n, b = (f"{letter}{place}_" for letter in "tsnb")
        if row.written:
            self.names |= {t: row.tensor, s: row.tensor._storage}
            self.lines.append(f"{n} = {t}._node")
            self.check(f"{t}._storage is not {s} or {n} is not {s}.node")
        else:
            self.lines.append(f"{t} = t{place - 1}_._grad")
            self.check(f"{t} is None")
            self.lines.append(f"{s} = {t}._storage; {n} = {t}._node")
        self.check(f"{t}._seen != {s}.revision or {s}.shared")
        if row.number >= 0:
            self.check(f"{n} is not values[{row.number}]")
        else:
            self.names |= {f"h{place}_": row.tensor._shape, f"k{place}_": row.tensor.dtype}
            self.check(
                f"{n}.buffer is None or {n}.shape != h{place}_ or {n}.dtype is not k{place}_"
            )
        self.lines.append(f"{b} = {n}.buffer")

    def run(self, leaves: Sequence[Where], numbers: str, targets: Sequence[Where]) -> None:
        for output, (target, nbytes) in enumerate(
            zip(targets, self.program.output_bytes, strict=True)
        ):
            fresh = f"x{output} = allocate({nbytes})"
            if self.donor(output, target, leaves):
                n, b = f"n{target.row}_", f"b{target.row}_"
                listed = self.rows[target.row].number >= 0  # among the path's values
                fresh = (
                    f"x{output} = {b} if getrefcount({n}) == {NODE_ALONE + listed} and "
                    f"getrefcount({b}) == {BUFFER_ALONE} and not {b}.is_seen_outside() else allocate({nbytes})"
                )
            self.lines.append(fresh)
        made = "".join(f"x{output}, " for output in range(len(targets)))
        read = "".join(f"{leaf.buffer}, " for leaf in leaves)
        self.run_lines(f"({made})", f"({read})", numbers)

    def move(self, targets: Sequence[Where]) -> None:
        for output, target in enumerate(targets):
            self.names[f"a{output}"] = self.attributes(output)
            if target.row >= 0:
                self.write_row(target.row, output)
                continue
            self.lines.append(
                f"v = {target.node}; v.buffer = x{output}; v.op = BUFFER; v.inputs = (); v.attributes = a{output}; "
                "v.journal = None"
            )

    def write_row(self, place: int, output: int) -> None:
        """A tensor's new value."""
        t, s, n, b = (f"{letter}{place}_" for letter in "tsnb")
        tensor = self.rows[place].tensor
        self.names |= {f"shape{place}": tensor._shape, f"kind{place}": tensor.dtype}
        self.lines += [
            f"if x{output} is {b}: {b}.prepared = {n}.value = None",
            "else:",
            f"    {n} = buffer_node(x{output}, shape{place}, kind{place}); {n}.attributes = a{output}",
            f"    {s}.node = {t}._node = {n}",
            f"{s}.revision += 1; {s}.version += 1; {t}._seen = {s}.revision",
        ]
