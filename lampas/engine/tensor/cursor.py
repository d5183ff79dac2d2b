"""The cursor: an operation that follows where it followed before is recorded by a function of its own.

Reading inputs, finding where cotangents go, and noting what a derivative may read (`door._read`, `door._note`) are loops
over things that a step of the trie (`derive.trail.Step`) knows already.  So when a step has been taken a few times, the
loops are written out as Python source for exactly this step, one line or two for an input:

    def follow(trail, inputs):
        if len(inputs) != 2: return None
        a0, a1 = inputs
        s0 = a0._storage; n0 = a0._node
        if a0._seen != s0.revision or s0.shared or s0.device is not cpu or …: return None
        e0 = a0._edge
        if e0.__class__ is not Mark or e0.trail is not trail or e0.source != -1: return None
        …
        used = (n0, n1, )
        m0, = CURRENT.journal.append(recipe, used) or recipe.spread(used)
        …
        return wrap(m0, cpu, Mark(trail, 3, 0))

Nothing is changed before the last `return None`; whoever gets None goes the long way, which is always right.  Memory on
other devices, results that are an input handed on, and complicated sharing have no such function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lampas.engine.derive.operation import exact
from lampas.engine.derive.tape import next_sequence
from lampas.engine.derive.trail import Mark
from lampas.engine.graph.journal import CURRENT, OFTEN
from lampas.engine.graph.node import Node
from lampas.engine.graph.written import Written
from lampas.engine.tensor.core import wrap
from lampas.engine.tensor.cursor_binding import bind_recorder
from lampas.engine.tensor.device import CPU
from lampas.engine.tensor.grad_mode import grad_mode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lampas.engine.derive.operation import Operation
    from lampas.engine.derive.recipe import Recipe
    from lampas.engine.derive.trail import Step

    Follower = Callable[[Any, Sequence[Any]], Any]


def write_step(
    step: Step, inputs: Sequence[Any], place: int, leaves: int, view: bool
) -> Follower | None:
    """The function of a step at `place` of its trails, which have met `leaves` leaves before it.

    It returns what the door does for the operation; for a `view`, the node and its mark.
    """
    tensors = [given for given in inputs if type(given) is not Node]
    if step.aliased or any(given._storage.device is not CPU for given in tensors):
        return None
    names: dict[str, Any] = {
        "Node": Node, "Mark": Mark, "wrap": wrap, "cpu": CPU, "next_sequence": next_sequence, "step": step,
    }  # fmt: skip
    count = len(inputs)
    lines = [f"if len(inputs) != {count}: return None"]
    lines.append("".join(f"a{number}, " for number in range(count)) + "= inputs")
    checks: list[str] = []
    fresh: dict[int, str] = {}
    for number, given in enumerate(inputs):
        names |= {f"h{number}": step.kinds[number][0], f"k{number}": step.kinds[number][1]}
        if type(given) is Node:
            checks += _check_node(number)
        else:
            checks += _check_tensor(number)
            kind = step.kinds[number][1]
            if kind.is_floating_point or kind.is_complex:
                checks += _check_source(number, step.sources[number], leaves, fresh)
    if fresh:
        checks.append(f"if len(trail.leaves) != {leaves}: return None")
    lines += ["try:", *[f"    {line}" for line in checks], "except AttributeError: return None"]
    lines += [f"trail.leaves[{leaf}] = {number}" for number, leaf in fresh.items()]
    lines += _make(step.recipe, names)
    lines += _note(step, inputs, place, view, names)
    return Written("follow", "trail, inputs", lines, names)


def count_entry(
    operation: Operation, recipe: Recipe, inputs: Sequence[Any], attributes: tuple[Any, ...]
) -> None:
    """An operation that no tape wants was recorded the long way; soon its journal entry gets a function for it."""
    entry = CURRENT.journal.entry
    if entry.taken != OFTEN or entry.recipe is not recipe or entry.recorder or recipe.hands_on:
        return
    tensors = [given for given in inputs if type(given) is not Node]
    if not tensors or any(given._storage.device is not CPU for given in tensors):
        return
    entry.operation, entry.attributes, entry.key = operation, attributes, exact(attributes)
    entry.recorder = write_recorder(operation, recipe, inputs)
    bind_recorder(entry, operation, recipe, inputs)


def write_recorder(
    operation: Operation, recipe: Recipe, inputs: Sequence[Any]
) -> Callable[[Sequence[Any]], Any]:
    """The function that records an operation without gradients on inputs of the same kinds; None for others."""
    names: dict[str, Any] = {"Node": Node, "wrap": wrap, "cpu": CPU, "grad_mode": grad_mode}
    count = len(inputs)
    lines = [f"if len(inputs) != {count}: return None"]
    lines.append("".join(f"a{number}, " for number in range(count)) + "= inputs")
    checks: list[str] = []
    traced: list[str] = []
    for number, given in enumerate(inputs):
        node = given if type(given) is Node else given._node
        names |= {f"h{number}": node.shape, f"k{number}": node.dtype}
        if type(given) is Node:
            checks += _check_node(number)
            continue
        checks += _check_tensor(number)
        a = f"a{number}"
        traced.append(f"{a}._requires_grad or {a}._edge is not None or {a}._base is not None")
    if not operation.untracked:
        checks.append(f"if grad_mode.enabled and ({' or '.join(traced)}): return None")
    lines += ["try:", *[f"    {line}" for line in checks], "except AttributeError: return None"]
    results = range(len(recipe.results))
    lines += _make(recipe, names)
    result = "r{}" if operation.untracked else "wrap(r{}, cpu)"
    made = "".join(f"{result.format(number)}, " for number in results)
    lines.append(f"return ({made})" if operation.multiple else "return wrap(r0, cpu)")
    return Written("record", "inputs", lines, names)


def _check_node(number: int) -> list[str]:
    return [
        f"n{number} = a{number}",
        f"if n{number}.__class__ is not Node or n{number}.shape != h{number} or n{number}.dtype is not "
        f"k{number}: return None",
    ]


def _check_tensor(number: int) -> list[str]:
    a, s, n = f"a{number}", f"s{number}", f"n{number}"
    return [
        f"{s} = {a}._storage; {n} = {a}._node",
        f"if {a}._seen != {s}.revision or {s}.shared or {s}.device is not cpu or {n}.dtype is not k{number} or "
        f"({n}.shape is not h{number} and {n}.shape != h{number}): return None",
    ]


def _check_source(number: int, source: int | None, leaves: int, fresh: dict[int, str]) -> list[str]:
    """That the cotangent goes where it went; a leaf that is met for the first time is put into `fresh`."""
    a, s, edge, leaf = f"a{number}", f"s{number}", f"e{number}", f"l{number}"
    lines = [f"if {a}._base is not None and {a}._past != {s}.history: return None"]
    if source is None:
        return [*lines, f"if {a}._edge is not None or {a}._requires_grad: return None"]
    if source < 0:
        wrong = f"{edge}.__class__ is not Mark or {edge}.trail is not trail or {edge}.source != {source}"
        return [*lines, f"{edge} = {a}._edge", f"if {wrong}: return None"]
    lines += [
        f"if {a}._edge is not None or not {a}._requires_grad: return None",
        f"{leaf} = {a}._leaf",
    ]
    if source < leaves:
        lines.append(f"if trail.leaves.get({leaf}) != {source}: return None")
    elif source in fresh:
        lines.append(f"if {leaf} is not {fresh[source]}: return None")
    else:
        same = "".join(f" or {leaf} is {other}" for other in fresh.values())
        lines.append(f"if {leaf} is None or {leaf} in trail.leaves{same}: return None")
        fresh[source] = leaf
    return lines


def _make(recipe: Recipe, names: dict[str, Any]) -> list[str]:
    """The recipe's nodes: r0, r1, … for its results."""
    names |= {"recipe": recipe, "CURRENT": CURRENT}
    used = "".join(f"n{place}, " for place in recipe.used)
    made = "".join(f"m{number}, " for number in range(len(recipe.kinds)))
    positions = [result[1] for result in recipe.results if result is not None]
    return [
        f"used = ({used})",
        f"{made}= CURRENT.journal.append(recipe, used) or recipe.spread(used)",
        *[f"r{number} = m{position}" for number, position in enumerate(positions)],
    ]


def _note(
    step: Step, inputs: Sequence[Any], place: int, view: bool, names: dict[str, Any]
) -> list[str]:
    """The trail's notes, and the tensors."""
    operation, results = step.operation, range(len(step.results))
    marks = [
        f"Mark(trail, {place}, {number})" if step.differentiable[number] else "None"
        for number in results
    ]
    lines = [
        "trail.step = step",
        "trail.steps.append(step)",
        "trail.sequences.append(next_sequence())",
    ]
    keep = operation.saves_inputs, operation.saves_outputs
    saved = [f"n{number}" if keep[0] else "None" for number in range(len(inputs))]
    saved += [f"r{number}" if keep[1] else "None" for number in results]
    lines.append(f"trail.saved.extend(({', '.join(saved)},))")
    if view:
        names["nothing"], names["zeros"] = (None,) * len(saved), (0,) * len(saved)
        return [
            *lines,
            "trail.storages.extend(nothing)",
            "trail.versions.extend(zeros)",
            f"return r0, {marks[0]}",
        ]
    lines += [f"t{number} = wrap(r{number}, cpu, {marks[number]})" for number in results]
    guarded = [
        f"s{number}" if keep[0] and type(given) is not Node else "None"
        for number, given in enumerate(inputs)
    ]
    versions = ["0" if storage == "None" else f"{storage}.version" for storage in guarded]
    guarded += [f"t{number}._storage" if keep[1] else "None" for number in results]
    versions += ["0" for _ in results]
    lines += [
        f"trail.storages.extend(({', '.join(guarded)},))",
        f"trail.versions.extend(({', '.join(versions)},))",
    ]
    made = "".join(f"t{number}, " for number in results)
    return [*lines, f"return ({made})" if operation.multiple else "return t0"]
