"""Paths: where the operands of an entry come from, through views and through inlined entries.

A `Path` names an operand's base (an entry that has memory or is computed in the same region) and the
view steps that lead from it to the place of use.  Inlined entries are computed again by each of their
users, so paths lead on to their operands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from lampas.engine.graph import primitives as p
from lampas.engine.schedule.kinds import CHEAP, PICKING, is_elementwise, is_looped
from lampas.engine.schedule.reading import Reading, Step, apply_views, plain_reading

if TYPE_CHECKING:
    from lampas.engine.graph.linear import Entry, LinearGraph

Shape = tuple[int, ...]
Path = tuple[int, tuple[Step, ...]]
INLINE_DEPTH = 16
MANY_TIMES = 8
THROUGH = frozenset({p.EXPAND, p.PERMUTE, p.SLICE, p.FLIP})


@final
class Paths:
    """Answers about operands of one settled graph."""

    def __init__(self, graph: LinearGraph, inlining: bool = True) -> None:
        self.entries = graph.entries
        self.looped = [
            is_looped(entry, [graph.entries[s] for s in entry.sources]) for entry in graph.entries
        ]
        self.users: list[list[int]] = [[] for _ in graph.entries]
        for number, entry in enumerate(graph.entries):
            for source in entry.sources:
                self.users[source].append(number)
        self.outputs = {self.base(output) for output in graph.outputs}
        self.inline: dict[int, int] = {}
        self.known: dict[int, list[Path]] = {}
        if inlining:
            self.choose_inline()
            self.known.clear()

    def base(self, number: int) -> int:
        """The entry that a chain of views reads."""
        entry = self.entries[number]
        while entry.op.kind == "view":
            number = entry.sources[0]
            entry = self.entries[number]
        return number

    def follow(self, number: int, steps: tuple[Step, ...] = ()) -> Path:
        """Go up the views from an operand; `steps` come after them."""
        entry = self.entries[number]
        while entry.op.kind == "view":
            steps = ((entry.op, entry.attributes), *steps)
            number = entry.sources[0]
            entry = self.entries[number]
        return number, steps

    def steps_in(self, number: int) -> list[Path]:
        """For each operand, its base and the steps to the shape in which the entry computes."""
        entry = self.entries[number]
        if entry.op.kind == "reduce":
            return [self.follow(entry.sources[0])]
        if entry.op in PICKING:
            return self.picked(entry)
        if entry.op is p.PAD:
            fill = self.follow(entry.sources[1], ((p.EXPAND, (entry.shape,)),))
            return [(self.base(entry.sources[0]), ()), fill]
        expand: Step = (p.EXPAND, (entry.shape,))
        return [
            self.follow(s, () if self.entries[s].shape == entry.shape else (expand,))
            for s in entry.sources
        ]

    def picked(self, entry: Entry) -> list[Path]:
        """The memory that is picked from (no steps), then the indices spread over the result."""
        source, *indices = entry.sources
        found: list[Path] = [(self.base(source), ())]
        rank = len(self.entries[source].shape)
        if entry.op is p.GATHER:
            return [*found, self.follow(indices[0])]
        dims = entry.attributes[0] if entry.op is p.INDEX else (entry.attributes[0],)
        adjacent = dims == tuple(range(dims[0], dims[0] + len(dims)))
        behind = rank - dims[-1] - 1 if adjacent else rank - len(dims)
        for index in indices:
            shape = self.entries[index].shape + (1,) * behind
            steps: tuple[Step, ...] = ((p.RESHAPE, (shape,)), (p.EXPAND, (entry.shape,)))
            found.append(self.follow(index, steps))
        return found

    def operands(self, number: int) -> list[Path]:
        """The paths of an entry's operands, past inlined entries."""
        remembered = self.known.get(number)
        if remembered is not None:
            return remembered
        found: list[Path] = []
        for base, steps in self.steps_in(number):
            if base not in self.inline:
                found.append((base, steps))
                continue
            expanded = [(inner, before + steps) for inner, before in self.operands(base)]
            beside = found[self.memory_operands(number) :]
            found.extend([path for path in expanded if path not in beside])
        self.known[number] = found
        return found

    def memory_operands(self, number: int) -> int:
        """How many of the first paths must be memory outside the region."""
        op = self.entries[number].op
        return 1 if op in PICKING or op is p.PAD else 0

    def reading(self, path: Path) -> Reading | None:
        """How the base is read at the end of its steps."""
        base, steps = path
        return apply_views(plain_reading(self.entries[base].shape), steps)

    # ---- inlining -------------------------------------------------------------------------------------------

    def choose_inline(self) -> None:
        """Find the cheap entries that are better computed again than stored."""
        for number, entry in enumerate(self.entries):
            if not self.looped[number] or not is_elementwise(entry) or entry.op not in CHEAP:
                continue
            if number in self.outputs or not self.users[number]:
                continue
            depth = self.inline_depth(number)
            if depth and self.users_fuse(number) and self.saves_traffic(number):
                self.inline[number] = depth

    def inline_depth(self, number: int) -> int:
        """How many inlined entries stand above one, itself included; 0 where that is not wanted."""
        depth = 0
        for base, _ in self.steps_in(number):
            if base in self.inline:
                depth = max(depth, self.inline[base])
            elif not self.surely_stored(base) and not self.is_repeated(base, number):
                return 0
        return depth + 1 if depth < INLINE_DEPTH else 0

    def is_repeated(self, number: int, user: int) -> bool:
        """Whether an operand is small beside what is made of it (a mean), so that storing it costs nothing."""
        return self.entries[number].numel * MANY_TIMES <= self.entries[user].numel

    def surely_stored(self, number: int) -> bool:
        """Whether an entry has memory whatever is fused."""
        entry = self.entries[number]
        if entry.op.kind == "leaf" or not self.looped[number] or number in self.outputs:
            return True
        return any(not self.looped[user] for user in self.final_users(number))

    def final_users(self, number: int) -> list[int]:
        """The users behind views."""
        found: list[int] = []
        for user in self.users[number]:
            if self.entries[user].op.kind == "view":
                found.extend(self.final_users(user))
            else:
                found.append(user)
        return found

    def users_fuse(self, number: int) -> bool:
        """Whether every user computes in loops and reads through views that inlining can pass."""
        for user in self.users[number]:
            entry = self.entries[user]
            if entry.op.kind == "view":
                if entry.op not in THROUGH or not self.users_fuse(user):
                    return False
            elif not self.looped[user] or entry.op in PICKING or entry.op is p.PAD:
                return False
        return True

    def saves_traffic(self, number: int) -> bool:
        """Whether reading the operands once a user costs no more than storing and reading back.

        What a user reads anyway costs nothing more.
        """
        entry = self.entries[number]
        if entry.numel <= 1:
            return True
        users = self.final_users(number)
        read = {
            base: self.entries[base].numel * self.entries[base].dtype.itemsize
            for base, _ in self.operands(number)
            if not self.is_repeated(base, number)
        }
        again = sum(
            nbytes
            for user in users
            for base, nbytes in read.items()
            if not self.reads_anyway(user, number, base)
        )
        own = entry.numel * entry.dtype.itemsize
        return again <= sum(read.values()) + (1 + len(users)) * own

    def reads_anyway(self, user: int, number: int, base: int) -> bool:
        """Whether a user of a value, or what is made of that next, reads a base in another way than through the value."""
        if self.reads_beside(user, number, base):
            return True
        followers = self.final_users(user) if is_elementwise(self.entries[user]) else []
        return any(self.reads_beside(follower, user, base) for follower in followers)

    def reads_beside(self, user: int, number: int, base: int) -> bool:
        """Whether an entry reads a base through another operand than one."""
        for source in self.entries[user].sources:
            found = self.base(source)
            if found == number:
                continue
            bases = [b for b, _ in self.operands(found)] if found in self.inline else [found]
            if base in bases:
                return True
        return False
