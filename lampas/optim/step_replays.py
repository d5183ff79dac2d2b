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

from typing import TYPE_CHECKING, Any, final

from lampas.engine.graph.journal import CURRENT, OFTEN
from lampas.engine.realize.realize import COMPUTING, LOCK, PENDING
from lampas.engine.realize.replay import OBSERVERS, find_key
from lampas.engine.settings import settings
from lampas.engine.tensor.door import HOOKS, LOOKERS
from lampas.engine.watch import CLOSE_WATCHERS, WATCHERS
from lampas.optim.step_writer import KnownStep, Row, write_step
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
ATTEMPTS = 4  # to write a function at the end of a path; then only once in so many steps: what hindered it may be over
LATER_ATTEMPTS = 16


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
        tired = path.attempts >= ATTEMPTS and path.met % LATER_ATTEMPTS
        if path.met < OFTEN or tired or len(path.takes) >= KEYS_KEPT:
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
        number_of = self.journal.number_of
        found = [
            Row(tensor, id(tensor._node), number_of(tensor._node), place != 1)
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
        if journal.unlearn_repeated():
            self.path.attempts = min(self.path.attempts, ATTEMPTS - 2)  # soon again
            return
        rows = [row for found, _ in self.applied for row in found]
        if self.can_be_written(replay, rows):
            numbers = [ids for _, ids in self.applied]
            take = write_step(
                KnownStep(
                    self.optimizer, replay, rows, journal.values, self.before, self.turns, numbers
                )
            )
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
            (row.tensor._storage.shared and row.tensor._storage.is_shared())
            or row.tensor._silent
            or (row.written and row.tensor._node is not row.tensor._storage.node)
            for row in rows
        )
