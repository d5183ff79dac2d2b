"""Following: is this the graph that was met before?

A training loop builds the same graph in every step.  Seeking, numbering and keying its nodes (`graph.linear`) costs more
than comparing them with what is known; so each known structure gets a function of its own that does nothing else, written
out as Python source, one line or two for a node:

    def follow(targets):
        n4, n2 = targets
        if n4.op is not o4 or (n4.attributes is not a4 and n4.attributes != a4): return None
        n1, s = n4.inputs
        if s is not n2: return None
        …

Users come after their inputs in the steps, so going backwards every node has been reached before it is looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lampas.engine.graph.primitives import Primitive

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lampas.engine.dtype import dtype
    from lampas.engine.graph.node import Node, Shape

    Follower = Callable[[Sequence[Node]], tuple[Node, ...] | None]

Step = tuple[Primitive, tuple[Any, ...], tuple[int, ...], "Shape", "dtype"]


def write_follower(steps: Sequence[Step], outputs: Sequence[int]) -> Follower:
    """A function of the targets: the nodes in the order of known steps, or None where the graph is another."""
    names: dict[str, Any] = {}
    lines = [f"if len(targets) != {len(outputs)}: return None"]
    reached = set(outputs)
    if outputs:
        lines.append("".join(f"n{number}, " for number in outputs) + "= targets")
    for number in range(len(steps) - 1, -1, -1):
        lines += _lines_of(number, steps[number], names, reached)
    found = "".join(f"n{number}, " for number in range(len(steps)))
    # Two steps that are now one node (x·y became x·x) make another graph.
    lines += [
        f"found = ({found})",
        f"return found if len(set(map(id, found))) == {len(steps)} else None",
    ]
    body = "\n".join(f"    {line}" for line in lines)
    exec(f"def follow(targets):\n{body}", names)
    return names["follow"]


def _lines_of(number: int, step: Step, names: dict[str, Any], reached: set[int]) -> list[str]:
    op, attributes, sources, shape, kind = step
    node = f"n{number}"
    names |= {f"o{number}": op, f"a{number}": attributes}
    if not sources:
        names |= {f"h{number}": shape, f"k{number}": kind}
        return [
            f"if {node}.op is not o{number} or {node}.shape != h{number} or {node}.dtype is not "
            f"k{number} or {node}.attributes != a{number}: return None"
        ]
    same = f"({node}.attributes is not a{number} and {node}.attributes != a{number})"
    lines = [
        f"if {node}.op is not o{number} or {same} or len({node}.inputs) != {len(sources)}: return None"
    ]
    targets: list[str] = []
    checks: list[str] = []
    for place, source in enumerate(sources):
        if source in reached:
            targets.append(f"s{place}")
            checks.append(f"s{place} is not n{source}")
        else:
            reached.add(source)
            targets.append(f"n{source}")
    lines.append("".join(f"{target}, " for target in targets) + f"= {node}.inputs")
    if checks:
        lines.append(f"if {' or '.join(checks)}: return None")
    return lines
