"""Native functions of a known step: the comparisons before its run, and the new values after it.

    begin(values) -> (the leaves' buffers, a buffer for each result or None), or None where anything is not as it was
    finish(values, outputs) -> None

`values` are those of the journal.  Each is one function for all steps, and reads the step's table (`step_table`), which is
its own object.  `begin` changes nothing.  What they do is what `step_lines` writes in Python otherwise.
"""

from __future__ import annotations

import functools
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lampas.engine.llvm.python_objects import (
    NULL,
    GuardWriter,
    function_makers,
    write_equality,
)
from lampas.engine.llvm.text import Builder, Module, Value
from lampas.engine.tensor.cursor_parts import place
from lampas.optim.step_table import WIDTHS, Section, StepWord

if TYPE_CHECKING:
    from collections.abc import Callable

BEGIN, FINISH, EQUAL = "lampas_step_begin", "lampas_step_finish", "lampas_step_equal"
REFERENCES = 0  # the place of an object's count of references
SLOTS_OF_BUFFER = 1  # that refer to a tensor's buffer
LOW_HALF = (1 << 32) - 1  # the count proper; newer interpreters keep flags above it


@functools.cache
def entrances() -> tuple[Callable[[bytes], Callable[..., Any]], ...] | None:
    """What makes `begin` and `finish` from a table; None where this interpreter has no native functions."""
    return function_makers(step_module, [BEGIN, FINISH])


def step_module() -> Module:
    """The module of both functions."""
    module = Module()
    write_equality(module, EQUAL)
    parameters = [("ptr", "own"), ("ptr", "arguments"), ("i64", "count")]
    BeginWriter(module.function(BEGIN, parameters, "ptr")).write()
    FinishWriter(module.function(FINISH, parameters, "ptr")).write()
    return module


class RowsReader(GuardWriter):
    """What both functions read."""

    def __init__(self, b: Builder) -> None:
        super().__init__(b, EQUAL, place)
        own, self.arguments, _ = b.arguments
        self.table = b.call("PyBytes_AsString", "ptr", [own])
        self.none = self.header(StepWord.NONE)
        self.values = self.o.word(self.arguments, 0, "ptr")

    def header(self, at: StepWord) -> Value:
        return self.o.word(self.table, int(at), "ptr")

    @contextmanager
    def each(self, section: Section) -> Generator[tuple[Value, Value], None, None]:
        """A loop over the rows of a section: their number and address."""
        b, counts = self.b, StepWord.COUNTS + 2 * section
        count, first = self.o.word(self.table, counts), self.o.word(self.table, counts + 1)
        with b.loop(0, count) as number:
            at = b.add(first, b.multiply(number, WIDTHS[section]))
            yield number, b.element_pointer(self.table, at, "i64", inside=False)

    def pointer(self, row: Value, at: int) -> Value:
        return self.o.word(row, at, "ptr")

    def row(self, number: Value) -> Value:
        """The address of one of the tensors' rows."""
        first = self.o.word(self.table, StepWord.COUNTS + 2 * Section.ROWS + 1)
        at = self.b.add(first, self.b.multiply(number, WIDTHS[Section.ROWS]))
        return self.b.element_pointer(self.table, at, "i64", inside=False)

    def value(self, number: Value) -> Value:
        """A value of the path; the numbers of a table are below their count."""
        return self.b.call("PyList_GetItem", "ptr", [self.values, number])

    def result(self, kind: Value) -> None:
        """Return a borrowed object."""
        self.o.keep(kind)
        self.b.ret(kind)


class BeginWriter(RowsReader):
    """Writes `begin`."""

    def write(self) -> None:
        b, o = self.b, self.o
        self.write_states()
        with self.each(Section.IDLE) as (_, row):
            self.expect(self.slot(self.pointer(row, 0), "Tensor._grad"), self.none)
        self.scratch = self.header(StepWord.SCRATCH)
        with self.each(Section.ROWS) as (number, row):
            self.write_row(number, row)
        with self.each(Section.LEAVES) as (_, row):
            attributes = self.slot(self.leaf(row), "Node.attributes")
            self.expect_equal(attributes, self.pointer(row, 2))
        lists = [b.call("PyList_New", "ptr", [b.value(0)]) for _ in range(2)]
        made = b.call("PyTuple_New", "ptr", [b.value(2)])
        for thing in (*lists, made):
            o.leave_if(o.is_same(thing, NULL), "failed")
        leaves, outputs = lists
        self.write_outputs(outputs)  # first: the leaves' list holds the buffers too
        with self.each(Section.LEAVES) as (_, row):
            o.append(leaves, o.at(self.leaf(row), place("Node.buffer")))
        for number, listed in enumerate(lists):
            b.call("PyTuple_SetItem", "i32", [made, b.value(number), listed])
        b.ret(made)
        b.begin("other")
        self.result(self.none)
        b.begin("failed")
        b.ret(NULL)

    def write_states(self) -> None:
        """The same tensors in the parameters' states."""
        b, o, states = self.b, self.o, self.header(StepWord.STATES)
        with self.each(Section.STATES) as (_, row):
            tensor, state, name, wanted = (self.pointer(row, at) for at in range(4))
            with b.branch(o.is_same(name, NULL)) as (whole, entry):
                with whole:
                    self.expect(self.found(states, tensor), state)
                with entry:
                    self.expect(self.found(state, name), wanted)

    def found(self, listed: Value, key: Value) -> Value:
        """An entry of a dictionary, borrowed."""
        made = self.b.call("PyDict_GetItemWithError", "ptr", [listed, key])
        with self.b.when(self.o.is_same(made, NULL)):
            self.o.clear()
        return made

    def write_row(self, number: Value, row: Value) -> None:
        """A tensor is the value that it was on the path; its node and its buffer are noted."""
        b, o = self.b, self.o
        tensor = self.tensor(number, row)
        storage, node = self.slot(tensor, "Tensor._storage"), self.slot(tensor, "Tensor._node")
        known = self.pointer(row, 1)
        with b.when(o.differs(known, NULL)):
            self.expect(storage, known)
            self.expect(node, self.slot(storage, "Storage.node"))
        self.expect_equal(self.slot(tensor, "Tensor._seen"), self.slot(storage, "Storage.revision"))
        self.expect(self.slot(storage, "Storage.shared"), self.header(StepWord.FALSE))
        value = o.word(row, 2)
        with b.branch(b.compare("sge", value, 0)) as (on_path, fresh):
            with on_path:
                self.expect(node, self.value(value))
            with fresh:
                self.expect_equal(self.slot(node, "Node.shape"), self.pointer(row, 3))
                self.expect(self.slot(node, "Node.dtype"), self.pointer(row, 4))
                buffer = self.slot(node, "Node.buffer")
                o.leave_if(o.is_same(buffer, self.none), "other")
        self.note(number, 0, tensor)
        self.note(number, 1, node)

    def tensor(self, number: Value, row: Value) -> Value:
        """A row's tensor: its own, or the gradient of the one before."""
        b, o, given = self.b, self.o, self.pointer(row, 0)
        here, own, gradient = b.block, b.label("own"), b.label("gradient")
        b.line(f"br {o.differs(given, NULL)}, label %{own}, label %{gradient}")
        b.begin(gradient)
        before = self.noted(b.subtract(number, 1), 0)
        found = self.slot(before, "Tensor._grad")
        self.expect_not(found, self.none)
        last = b.block
        b.line(f"br label %{own}")
        b.begin(own)
        return b.phi([(given, here), (found, last)])

    def note(self, number: Value, which: int, thing: Value) -> None:
        b = self.b
        at = b.add(b.multiply(number, 2), which)
        b.store(thing, b.element_pointer(self.scratch, at, "ptr", inside=False), 8)

    def noted(self, number: Value, which: int) -> Value:
        at = self.b.add(self.b.multiply(number, 2), which)
        return self.o.word(self.scratch, at, "ptr")

    def references(self, thing: Value) -> Value:
        """How many references there are to an object."""
        b = self.b
        count = b.load("i64", b.element_pointer(thing, REFERENCES, "i8", inside=False), 8)
        return b.bit_and(count, LOW_HALF)

    def write_outputs(self, outputs: Value) -> None:
        """The old value's memory for a result, where nobody else refers to it; else None."""
        b, o = self.b, self.o
        choice = b.allocate("ptr", 1, 8)
        with self.each(Section.OUTPUTS) as (_, row):
            b.store(self.none, choice, 8)
            donor = o.word(row, 0)
            with b.when(b.compare("sge", donor, 0)):
                node = self.noted(donor, 1)
                buffer = o.at(node, place("Node.buffer"))
                free = b.compare("eq", self.references(node), o.word(row, 1))
                free = b.bit_and(free, b.compare("eq", self.references(buffer), SLOTS_OF_BUFFER))
                with b.when(b.bit_and(free, o.differs(buffer, self.none))):
                    shown = o.at(buffer, place("Buffer.exported"))
                    with b.when(o.is_same(shown, self.header(StepWord.FALSE))):
                        b.store(buffer, choice, 8)
            o.append(outputs, b.load("ptr", choice, 8))

    def leaf(self, row: Value) -> Value:
        """The node of something that the program reads: a row's, or a value of the path."""
        b, number = self.b, self.o.word(row, 0)
        with b.branch(b.compare("sge", number, 0)) as (of_row, of_path):
            with of_row:
                own = self.noted(number, 1)
            with of_path:
                value = self.value(self.o.word(row, 1))
        return b.phi([(own, of_row.end), (value, of_path.end)])


class FinishWriter(RowsReader):
    """Writes `finish`."""

    def write(self) -> None:
        b, o = self.b, self.o
        self.outputs = o.word(self.arguments, 1, "ptr")
        with self.each(Section.VALUES) as (_, row):
            node = self.value(o.word(row, 0))
            listed = {
                "buffer": self.output(o.word(row, 1)), "op": self.header(StepWord.BUFFER),
                "inputs": self.header(StepWord.EMPTY), "attributes": self.pointer(row, 2), "journal": self.none,
            }  # fmt: skip
            for name, value in listed.items():
                o.replace(node, place(f"Node.{name}"), value)
        with self.each(Section.MOVED) as (_, row):
            self.write_tensor(row)
        self.result(self.none)
        b.begin("failed")
        b.ret(NULL)

    def output(self, number: Value) -> Value:
        return self.b.call("PyList_GetItem", "ptr", [self.outputs, number])

    def write_tensor(self, moved: Value) -> None:
        """A tensor's new value, in its old memory or not."""
        b, o = self.b, self.o
        row = self.row(o.word(moved, 0))
        tensor, storage = self.pointer(row, 0), self.pointer(row, 1)
        made, node = self.output(o.word(moved, 1)), o.at(tensor, place("Tensor._node"))
        buffer = o.at(node, place("Node.buffer"))
        with b.branch(o.is_same(made, buffer)) as (same, other):
            with same:
                o.replace(buffer, place("Buffer.prepared"), self.none)
                o.replace(node, place("Node.value"), self.none)
            with other:
                self.write_node(made, moved, row, tensor, storage)
        for name in ("revision", "version"):
            self.count_on(storage, place(f"Storage.{name}"))
        o.replace(tensor, place("Tensor._seen"), o.at(storage, place("Storage.revision")))

    def write_node(
        self, buffer: Value, moved: Value, row: Value, tensor: Value, storage: Value
    ) -> None:
        b, o = self.b, self.o
        given = b.allocate("ptr", 3, 8)
        for number, thing in enumerate((buffer, self.pointer(row, 3), self.pointer(row, 4))):
            b.store(thing, b.element_pointer(given, number, "ptr", inside=False), 8)
        function = self.header(StepWord.BUFFER_NODE)
        node = b.call("PyObject_Vectorcall", "ptr", [function, given, b.value(3), NULL])
        o.leave_if(o.is_same(node, NULL), "failed")
        o.replace(node, place("Node.attributes"), self.pointer(moved, 2))
        o.replace(storage, place("Storage.node"), node)
        o.replace(tensor, place("Tensor._node"), node)
        o.drop(node)

    def count_on(self, thing: Value, at: int) -> None:
        """A number one higher."""
        b, o = self.b, self.o
        more = b.call("PyNumber_Add", "ptr", [o.at(thing, at), self.header(StepWord.ONE)])
        o.leave_if(o.is_same(more, NULL), "failed")
        o.replace(thing, at, more)
        o.drop(more)
