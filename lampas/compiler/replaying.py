"""Replaying a recorded call: a function, written for the recording, that checks, runs, and leaves all as the call would.

    def replay(args, kwargs):
        a0, a1, = args                                    # arguments: their kinds
        …
        if i0.get(j0, MISSING) is not v0: return MISSING  # guards on what Python code could look at
        s0 = t0._storage; n0 = s0.node; b0 = n0.buffer    # tensors: the same, and as they were
        …
        u0 = turn0.numbers()                              # the optimizers' numbers
        t0._grad = None                                   # gradients that the call drops or replaces
        x0 = b0 if getrefcount(n0) == … else allocate(…)  # results: in place where nobody else looks
        with LOCK: run((x0, …), (b0, …), (u0[0], …))
        s0.revision += 1; …                               # where they go
        return wrap(m5, CPU, mark0)

It returns MISSING, with nothing changed, where anything is otherwise than it was.
"""

from __future__ import annotations

import sys
from sys import getrefcount
from typing import TYPE_CHECKING, Any

from lampas.compiler.dependencies import MISSING
from lampas.compiler.recording import NUMBERS, Change, Place, Recording, Returned
from lampas.engine.derive import anomaly
from lampas.engine.device.background import finish
from lampas.engine.device.buffer import Buffer
from lampas.engine.dtype import DEFAULT as DEFAULT_DTYPE
from lampas.engine.graph.node import buffer_node
from lampas.engine.realize.donation import BUFFER_ALONE, NODE_ALONE
from lampas.engine.realize.realize import GENERATION, LOCK, realize
from lampas.engine.settings import settings
from lampas.engine.tensor import Tensor
from lampas.engine.tensor.autocast import state as autocast
from lampas.engine.tensor.core import wrap
from lampas.engine.tensor.device import CPU
from lampas.engine.tensor.door import HOOKS, LOOKERS
from lampas.engine.tensor.grad_mode import grad_mode
from lampas.engine.tensor.neural_linear import stored_bounds
from lampas.engine.watch import CHANGES, WATCHERS
from lampas.nn.modules import hook_table

if TYPE_CHECKING:
    from lampas.engine.graph.layout import Layout


MODES = (
    "gettrace() is not None or HOOKS or LOOKERS or WATCHERS or settings.eager or settings.debug or anomaly.enabled or "
    "any_call_hook() or grad_mode.enabled is not {enabled} or grad_mode.inference is not {inference} or "
    "autocast.dtype is not autocast_dtype or default.current is not default_dtype or "
    "generation[0] != {generation} or settings.tier == 'reference' or settings.convolution != {convolution!r}"
)


class Writer:
    """Collects the lines and the names of one function."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.lines: list[str] = []
        self.taken: set[Place] = set()  # whose nodes have names
        self.names: dict[str, Any] = {
            "gettrace": sys.gettrace, "HOOKS": HOOKS, "LOOKERS": LOOKERS, "WATCHERS": WATCHERS, "settings": settings, "anomaly": anomaly.state,
            "any_call_hook": hook_table.any_call_hook, "grad_mode": grad_mode, "autocast": autocast,
            "autocast_dtype": autocast.dtype, "default": DEFAULT_DTYPE, "default_dtype": DEFAULT_DTYPE.current,
            "generation": GENERATION, "MISSING": MISSING, "getrefcount": getrefcount, "realize": realize, "LOCK": LOCK,
            "allocate": Buffer.allocate, "wrap": wrap, "cpu": CPU, "buffer_node": buffer_node,
            "run": recording.program.start_given, "finish": finish, "share_storage": share_storage,
        }  # fmt: skip

    def name(self, prefix: str, value: Any) -> str:
        """A name for a value."""
        made = f"{prefix}{len(self.names)}"
        self.names[made] = value
        return made

    def check(self, wrong: str) -> None:
        """Leave where a condition holds."""
        self.lines.append(f"if {wrong}: return MISSING")

    def write(self) -> Any:
        """The function."""
        self.check_modes()
        self.take_arguments()
        self.check_guards()
        needed = self.needed()
        for number in needed:
            self.take_tensor(number)
        self.check_same()
        self.check_bounds()
        self.take_numbers()
        self.drop_gradients()
        for number, draw in enumerate(self.recording.draws):
            self.names |= {f"draw{number}": draw, "from_array": Buffer.from_array}
            self.lines.append(f"bd{number} = from_array(draw{number}())")
        self.compute()
        for number, change in self.recording.changes.items():
            self.change(number, change, "")
        for number, change in self.recording.gradient_changes.items():
            self.change(number, change, "g")
        self.give_gradients()
        self.lines += [f"turn{number}.count()" for number in range(len(self.recording.turns))]
        self.lines.append(f"return {self.result(self.recording.result)}")
        body = "\n".join(f"    {line}" for line in self.lines)
        exec(f"def replay(args, kwargs):\n{body}", self.names)
        return self.names["replay"]

    # ---- checks -------------------------------------------------------------------------------------------------

    def check_modes(self) -> None:
        """Everything that operations look at besides tensors."""
        modes = MODES.format(
            enabled=grad_mode.enabled,
            inference=grad_mode.inference,
            generation=GENERATION[0],
            convolution=settings.convolution,
        )
        self.check(modes)

    def take_arguments(self) -> None:
        """Names for the arguments, which must be of the same kinds."""
        recording = self.recording
        self.check(f"len(args) != {recording.count} or len(kwargs) != {len(recording.names)}")
        listed = "".join(f"a{number}, " for number in range(recording.count))
        self.lines.append(f"{listed}= args" if listed else "pass")
        for number, name in enumerate(recording.names, recording.count):
            self.lines.append(f"a{number} = kwargs.get({name!r}, MISSING)")
        used = {place for place in recording.leaves if place.kind == "argument"}
        for number, value in enumerate(recording.arguments):
            if isinstance(value, Tensor):
                self.take_tensor_argument(number, value, used)
            elif not isinstance(value, NUMBERS):
                self.check(f"a{number} is not {self.name('given', value)}")
            else:
                given = self.name("given", value)
                self.check(f"a{number}.__class__ is not {given}.__class__ or a{number} != {given}")

    def take_tensor_argument(self, number: int, value: Tensor, used: set[Place]) -> None:
        """One tensor: its node `na` and buffer `ba`."""
        a, n, b = f"a{number}", f"na{number}", f"ba{number}"
        node = value._value()
        kind, shape = self.name("kind", node.dtype), self.name("shape", node.shape)
        type_name = self.name("type", type(value))
        self.check(f"{a}.__class__ is not {type_name}")
        self.lines.append(f"sa = {a}._storage; {n} = {a}._node")
        self.check(
            f"{a}._seen != sa.revision or sa.shared or sa.device is not cpu or {n}.dtype is not {kind} or "
            f"{n}.shape != {shape}"
        )
        if id(value) not in self.recording.dependencies.tensors:
            self.check(
                f"{a}._edge is not None or {a}._requires_grad or "
                f"({a}._base is not None and {a}._past != sa.history)"
            )
        else:
            self.check(f"{a} is not {self.name('tensor', value)}")
        self.lines.append(f"if {n}.buffer is None: realize(({n},))")
        self.lines.append(f"{b} = {n}.buffer")
        self.taken.add(Place("argument", number))
        if Place("argument", number) in used:
            self.check_layout(n, Place("argument", number))

    def check_layout(self, node: str, place: Place) -> None:
        """A leaf must lie in memory as it did."""
        recording = self.recording
        layout = recording.leaf_layouts[recording.leaves.index(place)]
        if layout:
            self.check(f"{node}.attributes != {self.name('layout', layout)}")
        else:
            self.check(f"{node}.attributes")

    def check_guards(self) -> None:
        """What the call's Python code could look at."""
        self.names |= {"changes": CHANGES, "state": self.recording.dependencies.state}
        self.check("changes[0] != state.seen and not state.is_unchanged()")
        for kind, container, key, value in self.recording.dependencies.guards:
            c = self.name("c", container)
            if kind == "item":
                k, v = self.name("k", key), self.name("v", value)
                self.lines.append(f"if {c}.get({k}, MISSING) is not {v}: return MISSING")
            elif kind == "cell":
                self.check(f"{c}.cell_contents is not {self.name('v', value)}")
            elif kind == "keys":
                self.check(f"[*{c}] != {self.name('v', value)}")
            else:
                self.names.setdefault("map", map)
                kept = self.name("kept", value)  # alive, so that the ids stay theirs
                self.names[f"ids_{kept}"] = [*map(id, value)]
                self.check(f"[*map(id, {c})] != ids_{kept}")

    def needed(self) -> list[int]:
        """The tensors whose state matters: read, changed, or able to have gradients."""
        recording = self.recording
        found = {place.number for place in recording.leaves if place.kind != "argument"}
        found |= recording.changes.keys()
        found |= {
            number
            for number, tensor in enumerate(recording.tensors)
            if tensor._requires_grad or tensor._grad is not None
        }
        return sorted(found)

    def take_tensor(self, number: int) -> None:
        """A tensor that the call reaches: `t`, its storage `s`, node `n`, buffer `b`; its gradient's with a `g`."""
        recording = self.recording
        tensor, before = recording.tensors[number], recording.befores[number]
        t, s, n = f"t{number}_", f"s{number}_", f"n{number}_"
        self.names |= {t: tensor, s: before.storage}
        self.lines.append(f"{n} = {s}.node")
        self.lines.append(f"b{number}_ = {n}.buffer")
        self.taken.add(Place("tensor", number))
        if Place("view", number) in recording.leaves:
            self.lines.append(f"nv{number}_ = {t}._node; bv{number}_ = nv{number}_.buffer")
            self.check(f"bv{number}_ is None")
            self.taken.add(Place("view", number))
            self.check_layout(f"nv{number}_", Place("view", number))
        self.check(
            f"{t}._storage is not {s} or {t}._seen != {s}.revision or b{number}_ is None or {s}.shared or "
            f"{t}._requires_grad is not {tensor._requires_grad} or {t}._edge is not None"
        )
        if tensor._leaf is not None:
            self.names["is_hooked"] = is_hooked
            self.check(f"{t}._leaf is not None and is_hooked({t}._leaf)")
        if Place("tensor", number) in recording.leaves:
            self.check_layout(n, Place("tensor", number))
        self.lines.append(f"g{number}_ = {t}._grad")
        if before.gradient is None:
            self.check(f"g{number}_ is not None")
            return
        self.check(f"g{number}_ is None")
        if recording.gradients[number].kind == "kept":
            self.take_gradient(number)

    def take_gradient(self, number: int) -> None:
        """A gradient that the call may read or add to."""
        g, s, n = f"g{number}_", f"gs{number}_", f"gn{number}_"
        self.lines.append(f"{s} = {g}._storage; {n} = {s}.node")
        self.lines.append(f"if {n}.buffer is None: realize(({n},))")
        self.lines.append(f"gb{number}_ = {n}.buffer")
        self.check(
            f"{g}._node is not {n} or {s}.shared or {s}.device is not cpu or {g}._edge is not None or "
            f"{g}._requires_grad"
        )
        place = Place("gradient", number)
        self.taken.add(place)
        if place in self.recording.leaves:
            self.check_layout(n, place)

    def check_same(self) -> None:
        """Values that were one value must be one again."""
        for first, second in self.recording.same:
            if {first, second} <= self.taken:
                self.check(f"{self.node(first)} is not {self.node(second)}")

    def check_bounds(self) -> None:
        """Indices must lie where the call would accept them."""
        self.names["stored_bounds"] = stored_bounds
        for place, size in self.recording.bounds:
            if place not in self.taken:
                self.take_tensor(place.number)
            self.lines.append(f"low, high = stored_bounds({self.node(place)})")
            self.check(f"low < 0 or high >= {size}")

    def node(self, place: Place) -> str:
        """The name of a place's node."""
        return _PREFIXES[place.kind].format(place.number)

    def buffer(self, place: Place) -> str:
        """The name of a place's buffer."""
        return _BUFFERS[place.kind].format(place.number)

    # ---- the run ------------------------------------------------------------------------------------------------

    def take_numbers(self) -> None:
        """The optimizers' numbers."""
        for number, turn in enumerate(self.recording.turns):
            self.names[f"turn{number}"] = turn
            self.lines.append(f"u{number} = turn{number}.numbers()")
            self.check(f"u{number} is None")

    def drop_gradients(self) -> None:
        """From here on everything is done: old gradients go first, so that their memory serves again."""
        for number, gradient in self.recording.gradients.items():
            dropping = gradient.kind == "dropped" or (
                gradient.kind == "fresh" and self.recording.befores[number].gradient is not None
            )
            if dropping:
                self.lines.append(f"t{number}_._grad = g{number}_ = None")

    def compute(self) -> None:
        """Memory for the results, and the run."""
        program = self.recording.program
        targets = self.in_place()
        self.lines.append("finish()")  # what ran in the background gives up memory for the results
        for output, nbytes in enumerate(program.output_bytes):
            if output in targets:
                place = targets[output]
                n, b = self.node(place), self.buffer(place)
                self.lines.append(
                    f"x{output} = {b} if getrefcount({n}) == {NODE_ALONE} and getrefcount({b}) == {BUFFER_ALONE} "
                    f"and not {b}.is_seen_outside() else allocate({nbytes})"
                )
            else:
                self.lines.append(f"x{output} = allocate({nbytes})")
        made = "".join(f"x{output}, " for output in range(len(program.output_bytes)))
        leaves = "".join(f"{self.buffer(place)}, " for place in self.recording.leaves)
        numbers = "".join(f"{self.number(scalar)}, " for scalar in self.recording.scalars)
        self.lines.append(f"with LOCK: run(({made}), ({leaves}), ({numbers}))")
        fresh = {gradient.output for gradient in self.recording.gradients.values()}
        for output in sorted((fresh | outputs_in(self.recording.result)) - {-1}):
            self.make_node(f"m{output}", output, *self.recording.kinds[output])

    def make_node(self, target: str, output: int, shape: Any, kind: Any, indent: str = "") -> None:
        """A node for a result."""
        h, k = self.name("shape", shape), self.name("kind", kind)
        self.lines.append(f"{indent}{target} = buffer_node(x{output}, {h}, {k})")
        layout: Layout | None = self.recording.program.layouts[output]
        if layout is not None:
            self.lines.append(f"{indent}{target}.attributes = {self.name('layout', (layout,))}")

    def number(self, scalar: Any) -> str:
        """A run-time number: an optimizer's, or one that stands in the code."""
        if type(scalar) is tuple:
            return f"float(u{scalar[0]}[{scalar[1]}])"
        return self.name("number", scalar)

    def in_place(self) -> dict[int, Place]:
        """Results that may overwrite the value that they replace."""
        recording, program = self.recording, self.recording.program
        found: dict[int, Place] = {}
        for kind, changes in (
            ("tensor", recording.changes),
            ("gradient", recording.gradient_changes),
        ):
            for number, change in changes.items():
                place = Place(kind, number)
                leaf = program.donations.get(change.output, -1)
                if leaf < 0 or recording.leaves[leaf] != place:
                    continue
                layout = program.layouts[change.output]
                if recording.leaf_layouts[leaf] == (() if layout is None else (layout,)):
                    found[change.output] = place
        return found

    # ---- afterwards ---------------------------------------------------------------------------------------------

    def change(self, number: int, change: Change, prefix: str) -> None:
        """A tensor's new value; with the prefix "g" a gradient's."""
        t = f"g{number}_" if prefix else f"t{number}_"
        s, n, b = (f"{prefix}{letter}{number}_" for letter in "snb")
        output, (shape, kind) = change.output, self.recording.kinds[change.output]
        self.lines.append(f"if x{output} is {b}: {b}.prepared = {n}.value = None")
        self.lines.append("else:")
        self.make_node(n, output, shape, kind, "    ")
        self.lines.append(f"    {s}.node = {t}._node = {n}")
        self.lines.append(f"{s}.revision += {change.revisions}; {s}.version += {change.versions}")
        self.lines.append(f"{t}._seen = {s}.revision")

    def give_gradients(self) -> None:
        """New gradients."""
        for number, gradient in self.recording.gradients.items():
            if gradient.kind == "fresh":
                self.lines.append(f"t{number}_._grad = wrap(m{gradient.output}, cpu)")

    def result(self, value: Any) -> str:
        """An expression for what the call returns."""
        if type(value) is Place:
            if value.kind == "argument":
                return f"a{value.number}"
            return self.name("tensor", self.recording.tensors[value.number])
        if type(value) is Returned:
            mark = "None" if value.mark is None else self.name("mark", value.mark)
            made = f"wrap(m{value.output}, cpu, {mark})"
            return f"share_storage({made})" if value.silent else made
        if type(value) in (tuple, list):
            listed = "".join(f"{self.result(each)}, " for each in value)
            return f"({listed})" if type(value) is tuple else f"[{listed}]"
        if type(value) is dict:
            keys = ((self.name("key", key), self.result(each)) for key, each in value.items())
            return "{" + "".join(f"{key}: {made}, " for key, made in keys) + "}"
        return self.name("value", value)


_PREFIXES = {
    "argument": "na{}", "tensor": "n{}_", "view": "nv{}_", "gradient": "gn{}_", "draw": "nd{}",
}  # fmt: skip
_BUFFERS = {
    "argument": "ba{}", "tensor": "b{}_", "view": "bv{}_", "gradient": "gb{}_", "draw": "bd{}",
}  # fmt: skip


def outputs_in(value: Any) -> set[int]:
    """The outputs that are returned."""
    if type(value) is Returned:
        return {value.output}
    if type(value) in (tuple, list):
        return set().union(*map(outputs_in, value))
    return set().union(*map(outputs_in, value.values())) if type(value) is dict else set()


def share_storage(tensor: Tensor) -> Tensor:
    """What `detach` gives of a tensor that nobody else has."""
    tensor._silent = True
    return tensor


def is_hooked(leaf: Any) -> bool:
    """Whether anybody wants to be called when a gradient arrives."""
    return bool(
        leaf.accumulate_hooks
        or leaf.tensor_hooks
        or leaf.captured
        or leaf.post_hooks
        or leaf.pre_hooks
    )


def write_replay(recording: Recording) -> Any:
    """The function that replays a recording."""
    return Writer(recording).write()
