"""The journal: what was recorded since values were last computed, as a path through a trie of all that was met.

A training loop records the same recipes on the same values in every step.  Making their nodes, seeking and comparing
them when values are wanted, all to find the plan of the step before, is work for nothing.  So a recipe's results are
*promised* nodes, which have a shape and a dtype but no `op` and no `inputs`; the journal only notes, by comparison with
the entry that came next last time, that the path goes on.  At its end hangs what is to be run (`realize.replay`).

Whoever looks at a promised node's `op`, `inputs` or `attributes` gets them: they are written out at that moment, and the
graph is as if there were no journal.  Invariants:

- `values` are all nodes that the path has to do with, numbered: stored leaves and numbers where they are first read,
  and results. A path determines which number means what; equal paths make equal graphs.
- A recipe may read ordinary nodes that are small trees over leaves (a constant, a strided part of an array). Where it
  reads anything else, it makes ordinary nodes.
- `end` leaves nobody with an unkept promise.

Two leaves of one path may turn out to be the same node later on: the results are right then too, and who gives memory
away must look whether it is in use twice.
"""

from __future__ import annotations

import struct
import threading
from contextlib import contextmanager
from enum import IntEnum
from sys import getrefcount
from typing import TYPE_CHECKING, Any, Protocol, final

from lampas.engine.graph.node import Node
from lampas.engine.graph.primitives import SCALAR
from lampas.engine.graph.sightings import JOURNALS, NOWHERE, longer, next_unmet
from lampas.engine.graph.written import Written

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from lampas.engine.graph.node import Shape

# Times that a learned place is met before its function is written, here and by the cursor.
OFTEN = 2
MOST_VALUES = 1 << 15  # of one journal
ENTRIES_KEPT = 1 << 14  # in the trie; then a new one is begun
DEPTH = 4  # of trees


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

    `trees` has the keys of sources that are ordinary nodes over leaves (`tree_key`), by their places; in `values` their
    fresh leaves stand before them.
    Above, the door hangs a function here that records its operation once more: `recorder`.
    """

    __slots__ = (
        "attributes",
        "branches",
        "flushes",
        "follow",
        "kept",
        "key",
        "made",
        "next",
        "operation",
        "packed",
        "parent",
        "path",
        "recipe",
        "recorder",
        "sources",
        "taken",
        "trees",
    )

    def __init__(
        self,
        parent: Entry | None,
        recipe: Any,
        sources: tuple[int, ...],
        trees: tuple[tuple[int, Any], ...],
        made: int,
    ) -> None:
        self.parent = parent
        self.recipe = recipe
        self.sources = sources
        self.trees = trees
        self.made = made
        self.path = JOURNALS if parent is None else longer(parent.path, recipe)  # see `sightings`
        self.next: Entry | None = None
        self.branches: dict[Any, Entry] = {}
        self.taken = 0  # times the long way
        self.follow: Any = None
        self.operation: Any = None
        self.attributes: Any = None
        self.key: Any = None
        self.packed: bytes | None = None  # what a native function compares: see `pack_entry`
        self.recorder: Any = None
        self.kept: Any = None  # what that one refers to, if it is native
        self.flushes: dict[Any, Any] = {}  # what was run when values were wanted here


def _root() -> Entry:
    return Entry(None, None, (), (), 0)


_ROOT = [_root()]
_COUNT = [0]


@final
class Journal:
    """One thread's path since values were last computed."""

    __slots__ = ("entry", "indexed", "known", "unmet", "values", "written")

    def __init__(self) -> None:
        self.entry = _ROOT[0]
        self.values: list[Node] = []
        # Numbers by the ids of the first `indexed` values; a promised node has its own.
        self.known: dict[int, int] = {}
        self.indexed = 0
        self.written = False  # some promise was kept before the end
        # The path's number since it led where nobody was before: nothing is promised there.
        self.unmet = 0

    def append(self, recipe: Any, used: Sequence[Node]) -> tuple[Node, ...] | None:
        """The promised results of a recipe; None where ordinary nodes must be made."""
        if len(self.values) > MOST_VALUES:
            self.end()
            return CURRENT.journal.append(recipe, used)
        entry = self.entry.next
        if entry is not None and entry.recipe is recipe and entry.follow is not None:
            made = entry.follow(self, used)
            if made is not None:
                return made
        return self._append(recipe, used) if self._learns(recipe) else None

    def _learns(self, recipe: Any) -> bool:
        """Whether the path with one more recipe was met before."""
        self.unmet = next_unmet(self.entry.path, self.unmet, recipe)
        return not self.unmet

    def _append(self, recipe: Any, used: Sequence[Node]) -> tuple[Node, ...] | None:
        values = self.values
        known = self._index()
        fresh: dict[int, Node] = {}
        sources: list[int] = []
        trees: list[tuple[int, Any]] = []
        for node in used:
            number = node.number if node.journal is self else known.get(id(node))
            if number is None and id(node) in fresh:
                number = len(values) + list(fresh).index(id(node))
            if number is None:
                if node.buffer is None and (node.journal is not None or node.op is not SCALAR):
                    leaves: list[Node] = []
                    key = tree_key(node, known, leaves)
                    if key is None or any(id(leaf) in fresh for leaf in leaves):
                        return None
                    trees.append((len(sources), key))
                    fresh |= {id(leaf): leaf for leaf in leaves}
                number = len(values) + len(fresh)
                fresh[id(node)] = node
            sources.append(number)
        made = len(values) + len(fresh)
        entry = self._enter(recipe, tuple(sources), tuple(trees), made)
        entry.taken += 1
        if entry.taken == OFTEN:
            entry.follow = write_entry(entry, used, len(values))
            entry.packed = pack_entry(entry, used, len(values))
        for number, key in enumerate(fresh, len(values)):
            known[key] = number
        values.extend(fresh.values())
        results = tuple([_promise(self, made + n, *kind) for n, kind in enumerate(recipe.kinds)])
        values.extend(results)
        self.indexed = len(values)
        return results

    def _index(self) -> dict[int, int]:
        known, values = self.known, self.values
        for number in range(self.indexed, len(values)):
            if values[number].journal is not self:
                known.setdefault(id(values[number]), number)
        self.indexed = len(values)
        return known

    def number_of(self, node: Node) -> int:
        """The number of a value; -1 if it is none of the path."""
        return node.number if node.journal is self else self._index().get(id(node), -1)

    def _enter(
        self, recipe: Any, sources: tuple[int, ...], trees: tuple[tuple[int, Any], ...], made: int
    ) -> Entry:
        here = self.entry
        key = recipe, sources, trees
        entry = here.branches.get(key)
        if entry is None:
            entry = here.branches[key] = Entry(here, recipe, sources, trees, made)
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

    def unlearn_repeated(self) -> bool:
        """Whether a stored value is several leaves of the path: then it is learned anew by who comes next.

        They were different nodes when the path was learned, as copies are that are read while an array outside shows the
        memory of a weight.
        """
        seen: set[int] = set()
        repeated: set[int] = set()
        for number, node in enumerate(self.values):
            if id(node) in seen:
                repeated.add(number)
            seen.add(id(node))
        entry = self.entry
        while repeated and entry.parent is not None:
            if not repeated.isdisjoint(entry.sources):
                entry.parent.next = None
            entry = entry.parent
        return bool(repeated)

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
                self.known[id(promised)] = number

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


@contextmanager
def aside() -> Generator[None]:
    """What is recorded meanwhile is no part of this thread's path: nothing of it is promised."""
    journal, CURRENT.journal = CURRENT.journal, Journal()
    CURRENT.journal.entry, CURRENT.journal.unmet = _root(), NOWHERE
    try:
        yield
    finally:
        CURRENT.journal = journal


def forget() -> None:
    """Begin a new trie; paths under way keep to the old one."""
    _ROOT[0] = _root()
    _COUNT[0] = 0


def tree_key(node: Node, known: dict[int, int], leaves: list[Node], depth: int = DEPTH) -> Any:
    """What tells apart the value of an ordinary node over leaves; None where it is made of anything else, or deep.

    Leaves that have a number are told by it; others are put into `leaves`, and told by their place there.
    """
    if node.buffer is not None or node.journal is not None or not depth or node.op is SCALAR:
        return _leaf_key(node, known, leaves)
    inputs = node.inputs
    if not inputs:
        return (
            (node.op, node.attributes, node.dtype)
            if node.op.kind == "leaf" and node.attributes
            else None
        )
    keys = tuple([tree_key(source, known, leaves, depth - 1) for source in inputs])
    return None if None in keys else (node.op, node.attributes, keys)


def _leaf_key(node: Node, known: dict[int, int], leaves: list[Node]) -> Any:
    if node.journal is not None or (node.buffer is None and node.op is not SCALAR):
        return None
    number = known.get(id(node))
    if number is not None:
        return number
    for place, leaf in enumerate(leaves):
        if leaf is node:
            return "fresh", place
    leaves.append(node)
    return "fresh", len(leaves) - 1, node.op, node.shape, node.dtype


def _promise(journal: Journal, number: int, shape: Shape, kind: Any) -> Node:
    node = object.__new__(Node)
    node.shape, node.dtype = shape, kind
    node.buffer = node.value = None
    node.journal, node.number = journal, number
    return node


class Use(IntEnum):
    """What a recipe's used node is: the second word says which."""

    VALUE = 0  # one that the journal has, by its number
    STORED = 1  # a stored leaf that is met here
    SCALAR = 2  # a Python number that is met here
    SAME = 3  # what is used in an earlier place of this recipe


class EntryWord(IntEnum):
    """Places in a packed entry: the number of the first result, then two words for each used node."""

    MADE, ORIGINS = 0, 1


def pack_entry(entry: Entry, used: Sequence[Node], first: int) -> bytes | None:
    """What `write_entry` writes as Python, as 64-bit words; None where a source is a tree."""
    if entry.trees:
        return None
    words = [entry.made]
    fresh: dict[int, int] = {}
    for place, number in enumerate(entry.sources):
        if number < first:
            words += (Use.VALUE, number)
        elif number in fresh:
            words += (Use.SAME, fresh[number])
        else:
            fresh[number] = place
            words += (Use.SCALAR if used[place].buffer is None else Use.STORED, 0)
    return struct.pack(f"{len(words)}q", *words)


def write_entry(entry: Entry, used: Sequence[Node], first: int) -> Callable[..., Any]:
    """The function that follows an entry once more: compares, notes, promises; None where the path is another.

    `first` is the number of the first fresh value.
    """
    names: dict[str, Any] = {
        "entry": entry, "new": object.__new__, "Node": Node, "SCALAR": SCALAR, "tree_key": tree_key,
    }  # fmt: skip
    trees = dict(entry.trees)
    taken = "".join(f"n{place}, " for place in range(len(used)))
    lines = [f"{taken}= used"] if used else []
    lines.append("values = journal.values")
    appended: list[str] = []
    fresh: dict[int, str] = {}
    for place, number in enumerate(entry.sources):
        node = f"n{place}"
        if number < first:
            lines.append(f"if {node} is not values[{number}]: return None")
        elif number in fresh:
            lines.append(f"if {node} is not {fresh[number]}: return None")
        else:
            if place in trees:
                names[f"t{place}"] = trees[place]
                lines.append(f"l{place} = []")
                wrong = f"{node}.buffer is not None or tree_key({node}, journal._index(), l{place}) != t{place}"
                appended.append(f"*l{place}")
            elif used[place].buffer is None:
                wrong = f"{node}.journal is not None or {node}.op is not SCALAR"
            else:
                wrong = f"{node}.buffer is None"
            lines.append(f"if {wrong}: return None")
            appended.append(node)
            fresh[number] = node
    for number, (shape, kind) in enumerate(entry.recipe.kinds):
        names |= {f"h{number}": shape, f"k{number}": kind}
        lines.append(
            f"m{number} = m = new(Node); m.shape = h{number}; m.dtype = k{number}; m.buffer = m.value = None; "
            f"m.journal = journal; m.number = {entry.made + number}"
        )
    made = "".join(f"m{number}, " for number in range(len(entry.recipe.kinds)))
    added = "".join(f"{name}, " for name in appended) + made
    lines += [f"values += ({added})", "journal.entry = entry", f"return ({made})"]
    return Written("follow", "journal, used", lines, names)
