"""Steps that an optimizer takes as it took them before: `step()` is one entry.

When `step()` is called, the journal (`engine.graph.journal`) has noted the way to here: forward and backward.  If the
way is known, and what is waited for and who refers to what is as it was (`realize.replay.find_key`), then the update
would be recorded, realised and replayed as last time too.  So a function is written that does all at once: it checks
that the group's tensors are the values that they were on that way, runs the program, and writes the new values into
parameters and states, in place where nobody else looks.  No node and no promise is made for the update.

The function is written from a step that went the long way and ended in a replay.  It returns False, with nothing changed,
where anything is otherwise; the long way is always right.  Hooks, watchers, closures, differentiable steps and shared
memory go it.
"""

from __future__ import annotations

from sys import getrefcount
from typing import TYPE_CHECKING, Any, NamedTuple, final

from lampas.engine.device.buffer import Buffer
from lampas.engine.graph.journal import CURRENT, OFTEN
from lampas.engine.graph.node import buffer_node
from lampas.engine.graph.primitives import BUFFER
from lampas.engine.realize.donation import BUFFER_ALONE, NODE_ALONE
from lampas.engine.realize.realize import (
    COMPUTING,
    GENERATION,
    LAST,
    LOCK,
    PENDING,
)
from lampas.engine.realize.replay import OBSERVERS, find_key
from lampas.engine.settings import settings
from lampas.engine.tensor.door import HOOKS, LOOKERS
from lampas.engine.watch import CLOSE_WATCHERS, WATCHERS
from lampas.optim.turns import GroupTurn
from lampas.optim.update import APPLYING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lampas.engine.graph.journal import Entry, Journal
    from lampas.engine.graph.node import Node
    from lampas.engine.realize.replay import Key, Replay
    from lampas.engine.tensor.core import Tensor

PATHS_KEPT = 32  # of one optimizer
KEYS_KEPT = 4  # of one path
ATTEMPTS = 4  # to write a function at the end of a path


class Row(NamedTuple):
    """A tensor that an update reads: the number of its value on the path, -1 if it is met there for the first time."""

    tensor: Tensor
    node: int  # the value's id
    number: int
    written: bool


@final
class Path:
    """Where steps began: the functions that take them, by key."""

    __slots__ = ("attempts", "met", "takes")

    def __init__(self) -> None:
        self.met = 0
        self.attempts = 0
        self.takes: dict[Any, Callable[[Journal, int], bool]] = {}


@final
class StepReplays:
    """One optimizer's known steps; none is ever known where a plan needs more than the parameters' step."""

    __slots__ = ("optimizer", "paths", "possible")

    def __init__(self, optimizer: Any, possible: bool) -> None:
        self.optimizer = optimizer
        self.possible = possible
        self.paths: dict[Entry, Path] = {}

    def take(self) -> bool:
        """Take a step that is known; False where it has to be taken the long way."""
        journal = CURRENT.journal
        path = self.paths.get(journal.entry)
        if path is None or not path.takes or journal.written or not may_be_taken():
            return False
        for told in COMPUTING:
            told()
        with LOCK:
            waiting = list(PENDING)
            take = path.takes.get(find_key(journal, (), waiting))
            return take is not None and take(journal, len(waiting))

    def watch(self) -> StepWatcher | None:
        """Who looks on while a step is taken the long way, if it may be known soon."""
        journal = CURRENT.journal
        if not self.possible or journal.written or not journal.values or not is_plain():
            return None
        path = self.paths.get(journal.entry)
        if path is None:
            if len(self.paths) >= PATHS_KEPT:
                self.paths.clear()
            path = self.paths[journal.entry] = Path()
        path.met += 1
        if path.met < OFTEN or path.attempts >= ATTEMPTS or len(path.takes) >= KEYS_KEPT:
            return None
        key = find_key(journal, (), list(PENDING))
        return None if key is None else StepWatcher(self.optimizer, path, journal, key)


def may_be_taken() -> bool:
    """Whether nobody must see single operations, or replays; who only wants names and times gets the step's own."""
    looking = HOOKS or CLOSE_WATCHERS or OBSERVERS
    return not (looking or settings.eager or settings.tier == "reference")


def is_plain() -> bool:
    """Whether nobody looks on at all."""
    return may_be_taken() and not (LOOKERS or WATCHERS or settings.debug)


@final
class StepWatcher:
    """Looks on while a step is taken and replayed; writes the function that takes it once more."""

    def __init__(self, optimizer: Any, path: Path, journal: Journal, key: Key) -> None:
        self.optimizer, self.path, self.key = optimizer, path, key
        self.journal = journal
        self.before = len(journal.values)
        self.applied: list[tuple[list[Row], list[int]]] = []  # rows, ids of the numbers' nodes
        self.width = 0
        self.turns: list[GroupTurn] = []
        path.attempts += 1

    def __enter__(self) -> None:
        APPLYING.append(self.note_update)
        OBSERVERS.append(self.note_replay)

    def __exit__(self, *error: object) -> None:
        APPLYING.remove(self.note_update)
        OBSERVERS.remove(self.note_replay)

    def note_update(
        self, rows: Sequence[Sequence[Tensor]], numbers: list[Node], options: Any
    ) -> None:
        """An update is about to be recorded."""
        known = self.journal._index()
        found = [
            Row(tensor, id(tensor._node), known.get(id(tensor._node), -1), place != 1)
            for row in rows
            for place, tensor in enumerate(row)
        ]
        self.applied.append((found, [id(number) for number in numbers]))
        first = rows[0][0]
        for group in self.optimizer.param_groups:
            if any(first is parameter for parameter in group["params"]):
                parameters = [row[0] for row in rows]
                self.turns.append(GroupTurn(self.optimizer, group, parameters, options))

    def note_replay(self, replay: Replay, journal: Journal) -> None:
        """The step is over: everything has its number now."""
        groups = {id(turn.group) for turn in self.turns}
        if journal is not self.journal or len(self.turns) != len(self.applied) != len(groups):
            return
        rows = [row for found, _ in self.applied for row in found]
        if self.can_be_written(replay, rows):
            take = StepWriter(self, replay, rows, journal.values).write()
            if take is not None:
                self.path.takes[self.key] = take

    def can_be_written(self, replay: Replay, rows: list[Row]) -> bool:
        """Whether all tensors are plain."""
        if any(number >= self.before for number in replay.held):
            return False
        for value, leaf in replay.settled:
            if max(value, leaf) >= self.before:
                return False
        return not any(
            row.tensor._storage.shared
            or row.tensor._silent
            or (row.written and row.tensor._node is not row.tensor._storage.node)
            for row in rows
        )


@final
class StepWriter:
    """Writes the function of one step."""

    def __init__(
        self, watcher: StepWatcher, replay: Replay, rows: list[Row], values: list[Node]
    ) -> None:
        self.watcher, self.replay, self.rows = watcher, replay, rows
        self.program = replay.plan.program
        self.names: dict[str, Any] = {
            "getrefcount": getrefcount, "allocate": Buffer.allocate, "run": self.program.run_given, "BUFFER": BUFFER,
            "buffer_node": buffer_node, "plan": replay.plan, "generation": GENERATION, "last": LAST, "pending": PENDING,
        }  # fmt: skip
        self.lines: list[str] = []
        self.values = values
        self.written = {
            id(row.tensor._storage.node): place for place, row in enumerate(rows) if row.written
        }
        numbers = [ids for _, ids in watcher.applied]
        self.scalars = {
            key: (turn, position)
            for turn, ids in enumerate(numbers)
            for position, key in enumerate(ids)
        }
        self.fresh: dict[
            int, int
        ] = {}  # rows that are leaves of their own, by their values' numbers

    def write(self) -> Callable[[Journal, int], bool] | None:
        """The function; None where something cannot be placed."""
        watcher = self.watcher
        self.check(f"generation[0] != {GENERATION[0]}")
        self.lines.append("values = journal.values")
        self.check_groups()
        for place in range(len(self.rows)):
            self.take_row(place)
        if not self.place_fresh():
            return None
        leaves = [self.leaf(number) for number in self.replay.buffers]
        numbers = [self.number(number) for number in self.replay.scalars]
        targets = [self.target(number) for number in self.replay.outputs]
        if None in leaves or None in numbers or None in targets:
            return None
        self.check_layouts(leaves)
        for place in range(len(watcher.turns)):
            self.names[f"turn{place}"] = watcher.turns[place]
            self.lines.append(f"u{place} = turn{place}.numbers()")
            self.check(f"u{place} is None")
        self.compute(leaves, numbers, targets)
        self.finish(targets)
        body = "\n".join(f"    {line}" for line in self.lines)
        exec(f"def take(journal, waiting):\n{body}", self.names)
        return self.names["take"]

    def check(self, wrong: str) -> None:
        """Leave where a condition holds."""
        self.lines.append(f"if {wrong}: return False")

    # ---- checks -------------------------------------------------------------------------------------------------

    def check_groups(self) -> None:
        """The same groups with the same parameters, which have gradients or none as then."""
        optimizer = self.watcher.optimizer
        self.names |= {"optimizer": optimizer, "map": map, "id": id}
        self.lines.append("groups = optimizer.param_groups")
        self.check(f"len(groups) != {len(optimizer.param_groups)}")
        updated = {id(row.tensor) for row in self.rows}
        for place, group in enumerate(optimizer.param_groups):
            self.names[f"group{place}"] = group
            self.names[f"ids{place}"] = [*map(id, group["params"])]
            self.names[f"kept{place}"] = list(group["params"])
            self.check(f"groups[{place}] is not group{place}")
            self.check(f"[*map(id, group{place}['params'])] != ids{place}")
            for parameter in group["params"]:
                if id(parameter) not in updated:
                    name = f"idle{len(self.names)}"
                    self.names[name] = parameter
                    self.check(f"{name}._grad is not None")
        self.names["states"] = states = optimizer.state
        self.check("optimizer.state is not states")
        self.check_states(states)

    def check_states(self, states: dict[Any, dict[str, Any]]) -> None:
        """The same tensors in the parameters' states."""
        of_rows = {id(row.tensor) for row in self.rows}
        for place, row in enumerate(self.rows):
            state = states.get(row.tensor) if row.written else None
            if not state:
                continue
            self.names[f"p{place}"], self.names[f"q{place}"] = row.tensor, state
            self.check(f"states.get(p{place}) is not q{place}")
            for name, value in state.items():
                if id(value) in of_rows:
                    self.names[f"r{place}_{name}"] = value
                    self.check(f"q{place}[{name!r}] is not r{place}_{name}")

    def take_row(self, place: int) -> None:
        """A tensor `t`, its storage `s`, node `n` and buffer `b`: the value that it was on the path."""
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

    def leaf(self, number: int) -> str | None:
        """The buffer of a leaf."""
        if number < self.watcher.before:
            for place, row in enumerate(self.rows):
                if row.number == number:
                    return f"b{place}_"
            return f"values[{number}].buffer"
        return f"b{self.fresh[number]}_" if number in self.fresh else None

    def check_layouts(self, leaves: list[str | None]) -> None:
        """Leaves must lie in memory as they did."""
        for place, (number, layout) in enumerate(
            zip(self.replay.buffers, self.replay.layouts, strict=True)
        ):
            leaf = leaves[place]
            assert leaf is not None
            node = f"n{leaf[1:]}" if leaf[0] == "b" else f"values[{number}]"
            if layout:
                self.names[f"layout{place}"] = layout
                self.check(f"{node}.attributes != layout{place}")
            else:
                self.check(f"{node}.attributes")

    def number(self, number: int) -> str | None:
        """A Python number: one that was read on the path, or the optimizer's."""
        if number < self.watcher.before:
            return f"values[{number}].value"
        found = self.scalars.get(id(self.values[number]))
        return None if found is None else f"float(u{found[0]}[{found[1]}])"

    def target(self, number: int) -> int | str | None:
        """Where a result goes: to a tensor (its row), or to a value of the path."""
        if number < self.watcher.before:
            return f"values[{number}]"
        return self.written.get(id(self.values[number]))

    # ---- the run ------------------------------------------------------------------------------------------------

    def compute(
        self, leaves: list[str | None], numbers: list[str | None], targets: list[int | str | None]
    ) -> None:
        """Memory for the results, and the run."""
        for output, nbytes in enumerate(self.program.output_bytes):
            target = targets[output]
            leaf = self.program.donations.get(output, -1)
            if type(target) is int and leaf >= 0 and leaves[leaf] == f"b{target}_":
                n, b = f"n{target}_", f"b{target}_"
                listed = 1 if self.rows[target].number >= 0 else 0  # among the path's values
                self.lines.append(
                    f"x{output} = {b} if getrefcount({n}) == {NODE_ALONE + listed} and "
                    f"getrefcount({b}) == {BUFFER_ALONE} and not {b}.is_seen_outside() else allocate({nbytes})"
                )
            else:
                self.lines.append(f"x{output} = allocate({nbytes})")
        made = "".join(f"x{output}, " for output in range(len(targets)))
        self.lines += [
            "try:",
            f"    run(({made}), ({''.join(f'{leaf}, ' for leaf in leaves)}), ({''.join(f'{n}, ' for n in numbers)}))",
            "except Exception: return False",  # the long way tells what is wrong
        ]

    def finish(self, targets: list[int | str | None]) -> None:
        """Where the results go; then the journal begins anew."""
        for output, target in enumerate(targets):
            layout = self.program.layouts[output]
            self.names[f"a{output}"] = () if layout is None else (layout,)
            if type(target) is str:
                self.lines.append(
                    f"v = {target}; v.buffer = x{output}; v.op = BUFFER; v.inputs = (); v.attributes = a{output}; "
                    "v.journal = None"
                )
            elif type(target) is int:
                self.write_row(target, output)
        for value, leaf in self.replay.settled:
            self.lines.append(f"b = values[{leaf}].buffer; b.aliased = True")
            self.lines.append(f"values[{value}].realize_as(b)")
        if self.replay.held:
            self.names["held"] = self.replay.held
            self.lines.append("journal.keep_all(held)")
        self.lines += [f"turn{place}.count()" for place in range(len(self.watcher.turns))]
        self.lines += [
            "plan.sightings += 1",
            "last[0] = plan",
            "journal.close()",
            "del pending[:waiting]",
            "return True",
        ]

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
