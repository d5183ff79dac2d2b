"""The journal: what was recorded since values were last computed, as a path through a trie of all that was met.

A training loop records the same recipes on the same values in every step.  Making their nodes, seeking and comparing
them when values are wanted, all to find the plan of the step before, is work for nothing.  So a recipe's results are
*promised* nodes, which have a shape and a dtype but no `op` and no `inputs`; the journal only notes, by comparison with
the entry that came next last time, that the path goes on.  At its end hangs what is to be run (`realize.replay`).

Whoever looks at a promised node's `op`, `inputs` or `attributes` gets them: they are written out at that moment, and the
graph is as if there were no journal.  Invariants:

- `values` are all nodes that the path has to do with, numbered: stored leaves and numbers where they are first read,
  and results. A path determines which number means what; equal paths make equal graphs.
- A recipe that reads anything else (a pending node that no journal knows) makes ordinary nodes.
- `end` leaves nobody with an unkept promise.

Two leaves of one path may turn out to be the same node later on: the results are right then too, and who gives memory
away must look whether it is in use twice.
"""

from __future__ import annotations

import threading
from sys import getrefcount
from typing import TYPE_CHECKING, Any, Protocol, final

from lampas.engine.graph.node import Node
from lampas.engine.graph.primitives import SCALAR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lampas.engine.graph.node import Shape

OFTEN = 3  # times that an entry is met before its function is written
ENTRIES_KEPT = 1 << 14  # in the trie; then a new one is begun
PURE_DEPTH = 4


class Steps(Protocol):
    """A recipe, as far as the journal knows it."""

    kinds: tuple[tuple[Shape, Any], ...]

    def spread(self, used: Sequence[Node]) -> tuple[Node, ...]:
        """The results as ordinary nodes."""
        ...


def _count_in_list() -> int:
    return next(map(getrefcount, [object()]))


ALONE = _count_in_list()


@final
class Entry:
    """A recipe in the trie.  `sources` are numbers of values; results are numbered from `made` on.

    `pure` has the keys of sources that are part of the structure (`pure_key`), by their places.
    Above, the door hangs a function here that records its operation once more: `recorder`.
    """

    __slots__ = (
        "attributes",
        "branches",
        "flushes",
        "follow",
        "key",
        "made",
        "next",
        "operation",
        "parent",
        "pure",
        "recipe",
        "recorder",
        "sources",
        "taken",
    )

    def __init__(
        self,
        parent: Entry | None,
        recipe: Any,
        sources: tuple[int, ...],
        pure: tuple[tuple[int, Any], ...],
        made: int,
    ) -> None:
        self.parent = parent
        self.recipe = recipe
        self.sources = sources
        self.pure = pure
        self.made = made
        self.next: Entry | None = None
        self.branches: dict[Any, Entry] = {}
        self.taken = 0  # times the long way
        self.follow: Any = None
        self.operation: Any = None
        self.attributes: Any = None
        self.key: Any = None
        self.recorder: Any = None
        self.flushes: dict[Any, Any] = {}  # what was run when values were wanted here


def _root() -> Entry:
    return Entry(None, None, (), (), 0)


_ROOT = [_root()]
_COUNT = [0]


@final
class Journal:
    """One thread's path since values were last computed."""

    __slots__ = ("entry", "indexed", "known", "values", "written")

    def __init__(self) -> None:
        self.entry = _ROOT[0]
        self.values: list[Node] = []
        self.known: dict[int, int] = {}  # numbers by the ids of the first `indexed` values
        self.indexed = 0
        self.written = False  # some promise was kept before the end

    def append(self, recipe: Any, used: Sequence[Node]) -> tuple[Node, ...] | None:
        """The promised results of a recipe; None where ordinary nodes must be made."""
        entry = self.entry.next
        if entry is not None and entry.recipe is recipe and entry.follow is not None:
            made = entry.follow(self, used)
            if made is not None:
                return made
        return self._append(recipe, used)

    def _append(self, recipe: Any, used: Sequence[Node]) -> tuple[Node, ...] | None:
        values = self.values
        known = self._index()
        fresh: dict[int, Node] = {}
        sources: list[int] = []
        pure: list[tuple[int, Any]] = []
        for node in used:
            number = known.get(id(node))
            if number is None and id(node) in fresh:
                number = len(values) + list(fresh).index(id(node))
            if number is None:
                if node.buffer is None:
                    if node.journal is not None:
                        return None
                    if node.op is not SCALAR:
                        key = pure_key(node, PURE_DEPTH)
                        if key is None:
                            return None
                        pure.append((len(sources), key))
                number = len(values) + len(fresh)
                fresh[id(node)] = node
            sources.append(number)
        made = len(values) + len(fresh)
        entry = self._enter(recipe, tuple(sources), tuple(pure), made)
        entry.taken += 1
        if entry.taken == OFTEN:
            entry.follow = write_entry(entry, used, len(values))
        values.extend(fresh.values())
        results = tuple([_promise(self, made + n, *kind) for n, kind in enumerate(recipe.kinds)])
        values.extend(results)
        return results

    def _index(self) -> dict[int, int]:
        known = self.known
        for number in range(self.indexed, len(self.values)):
            known.setdefault(id(self.values[number]), number)
        self.indexed = len(self.values)
        return known

    def _enter(
        self, recipe: Any, sources: tuple[int, ...], pure: tuple[tuple[int, Any], ...], made: int
    ) -> Entry:
        here = self.entry
        key = recipe, sources, pure
        entry = here.branches.get(key)
        if entry is None:
            entry = here.branches[key] = Entry(here, recipe, sources, pure, made)
            _COUNT[0] += 1
            if _COUNT[0] > ENTRIES_KEPT:
                forget()
        here.next = self.entry = entry
        return entry

    def counts(self) -> tuple[int, ...]:
        """How often each value is referred to, by anybody."""
        return tuple(map(getrefcount, self.values))

    def held(self) -> list[int]:
        """The promised values that somebody else has."""
        counts = list(map(getrefcount, self.values))
        return [
            n for n, node in enumerate(self.values) if node.journal is self and counts[n] > ALONE
        ]

    def keep(self, node: Node) -> None:
        """Write a promised node out; what it is made of may stay promised."""
        self.written = True
        entry = self.entry
        while entry.parent is not None and entry.made > node.number:
            entry = entry.parent
        self._write(entry)

    def keep_all(self, numbers: Iterable[int]) -> None:
        """Write values out, with all that they are made of."""
        values, needed = self.values, set(numbers)
        wanted: list[Entry] = []
        entry: Entry | None = self.entry
        while entry is not None and needed:
            made = range(entry.made, entry.made + len(entry.recipe.kinds)) if entry.recipe else ()
            if not needed.isdisjoint(made):
                wanted.append(entry)
                needed.difference_update(made)
                needed.update([n for n in entry.sources if values[n].journal is self])
            entry = entry.parent
        for each in reversed(wanted):
            self._write(each)

    def _write(self, entry: Entry) -> None:
        values = self.values
        nodes = entry.recipe.spread([values[number] for number in entry.sources])
        for number, node in enumerate(nodes, entry.made):
            promised = values[number]
            if promised.journal is self:
                promised.op, promised.inputs, promised.attributes = (
                    node.op,
                    node.inputs,
                    node.attributes,
                )
                promised.journal = None

    def end(self) -> None:
        """Keep all promises; this thread begins a new journal."""
        self.keep_all(self.held())
        self.close()

    def close(self) -> None:
        """This thread begins a new journal; nobody may have a promised node of this one."""
        self.values = []
        if CURRENT.journal is self:
            CURRENT.journal = Journal()


class _Current(threading.local):
    def __init__(self) -> None:
        self.journal = Journal()


CURRENT = _Current()


def forget() -> None:
    """Begin a new trie; paths under way keep to the old one."""
    _ROOT[0] = _root()
    _COUNT[0] = 0


def pure_key(node: Node, depth: int) -> Any:
    """What tells apart the values of a node that is made of constants only; None for any other."""
    if node.journal is not None or node.buffer is not None or not depth:
        return None
    inputs = node.inputs
    if not inputs:
        return (
            (node.op, node.attributes, node.dtype)
            if node.op.kind == "leaf" and node.attributes
            else None
        )
    keys = tuple([pure_key(source, depth - 1) for source in inputs])
    return None if None in keys else (node.op, node.attributes, keys)


def _promise(journal: Journal, number: int, shape: Shape, kind: Any) -> Node:
    node = object.__new__(Node)
    node.shape, node.dtype = shape, kind
    node.buffer = node.value = None
    node.journal, node.number = journal, number
    return node


def write_entry(entry: Entry, used: Sequence[Node], first: int) -> Callable[..., Any]:
    """The function that follows an entry once more: compares, notes, promises; None where the path is another.

    `first` is the number of the first fresh value.
    """
    names: dict[str, Any] = {
        "entry": entry, "new": object.__new__, "Node": Node, "SCALAR": SCALAR, "pure_key": pure_key,
    }  # fmt: skip
    pure = dict(entry.pure)
    taken = "".join(f"n{place}, " for place in range(len(used)))
    lines = [f"{taken}= used"] if used else []
    lines.append("values = journal.values")
    fresh: dict[int, str] = {}
    for place, number in enumerate(entry.sources):
        node = f"n{place}"
        if number < first:
            wrong = f"{node} is not values[{number}]"
        elif number in fresh:
            wrong = f"{node} is not {fresh[number]}"
        else:
            fresh[number] = node
            wrong = f"{node}.buffer is None"
            if place in pure:
                names[f"p{place}"] = pure[place]
                wrong = f"pure_key({node}, {PURE_DEPTH}) != p{place}"
            elif used[place].buffer is None:
                wrong = f"{node}.journal is not None or {node}.op is not SCALAR"
        lines.append(f"if {wrong}: return None")
    for number, (shape, kind) in enumerate(entry.recipe.kinds):
        names |= {f"h{number}": shape, f"k{number}": kind}
        lines.append(
            f"m{number} = m = new(Node); m.shape = h{number}; m.dtype = k{number}; m.buffer = m.value = None; "
            f"m.journal = journal; m.number = {entry.made + number}"
        )
    made = "".join(f"m{number}, " for number in range(len(entry.recipe.kinds)))
    appended = "".join(f"{node}, " for node in fresh.values()) + made
    lines += [f"values += ({appended})", "journal.entry = entry", f"return ({made})"]
    body = "\n".join(f"    {line}" for line in lines)
    exec(f"def follow(journal, used):\n{body}", names)
    return names["follow"]
