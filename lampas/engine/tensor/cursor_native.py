"""The cursor's native function: what `cursor.write_step` and `write_recorder` write in Python, once for all steps.

    follow(trail, inputs) -> results, or what the written function says where anything is not as it was

It is one function for every step; what differs is in the step's table (`cursor_table`), which is the function's own
object.  The order is that of the Python functions: all comparisons first, so that nothing has changed where one fails; then the
journal's promises, the trail's notes, the tensors.  Where memory runs out the function raises, as Python would.
"""

from __future__ import annotations

from lampas.engine.graph.journal import MOST_VALUES, EntryWord, Use
from lampas.engine.llvm.python_objects import NULL, GuardWriter, write_equality
from lampas.engine.llvm.text import Builder, Module, Value, constant
from lampas.engine.tensor.cursor_parts import (
    MAKE_MARK,
    MAKE_NODE,
    MAKE_TENSOR,
    place,
    write_mark,
    write_node,
    write_tensor,
    write_wrap,
)
from lampas.engine.tensor.cursor_table import (
    INPUT_WORDS,
    KIND_WORDS,
    MOST_INPUTS,
    MOST_RESULTS,
    RESULT_WORDS,
    Common,
    InputWord,
    Mode,
    ResultWord,
    Source,
    Word,
)

FOLLOW, EQUAL = "lampas_follow", "lampas_equal"


def follow_module() -> Module:
    """The module of the function and its parts."""
    module = Module()
    write_equality(module, EQUAL)
    write_node(module)
    write_mark(module)
    write_tensor(module)
    write_wrap(module)
    parameters = [("ptr", "own"), ("ptr", "arguments"), ("i64", "count")]
    FollowWriter(module.function(FOLLOW, parameters, "ptr")).write()
    return module


class FollowWriter(GuardWriter):
    """Writes `follow`."""

    def __init__(self, b: Builder) -> None:
        super().__init__(b, EQUAL, place)
        own, self.arguments, self.count = b.arguments
        self.table = b.call("PyBytes_AsString", "ptr", [own])
        self.common = self.word(Word.COMMON, "ptr")
        self.none, self.false = self.shared(Common.NONE), self.shared(Common.FALSE)
        self.nodes, self.storages = (b.allocate("ptr", MOST_INPUTS, 8) for _ in range(2))
        self.leaves = b.allocate("ptr", MOST_INPUTS, 8)
        self.made, self.tensors, self.marks = (b.allocate("ptr", MOST_RESULTS, 8) for _ in range(3))
        self.mode, self.inputs = self.word(Word.MODE), self.word(Word.INPUTS)
        self.results = self.word(Word.RESULTS)
        self.is_noted = b.compare("sle", self.mode, int(Mode.VIEW))

    # ---- parts --------------------------------------------------------------------------------------------------

    def word(self, at: Word, kind: str = "i64") -> Value:
        return self.o.word(self.table, int(at), kind)

    def shared(self, at: Common) -> Value:
        return self.o.word(self.common, int(at), "ptr")

    def row(self, rows: Word, words: int, number: Value) -> Value:
        """The address of a row of the table."""
        at = self.b.add(self.b.multiply(number, words), int(rows))
        return self.b.element_pointer(self.table, at, "i64", inside=False)

    def each(self, array: Value, number: Value) -> Value:
        """An element of an array of pointers on the stack."""
        return self.o.word(array, number, "ptr")

    def set_each(self, array: Value, number: Value, value: Value) -> None:
        b = self.b
        b.store(value, b.element_pointer(array, number, "ptr", inside=False), 8)

    # ---- the whole ----------------------------------------------------------------------------------------------

    def write(self) -> None:
        b, o = self.b, self.o
        self.trail = o.word(self.arguments, 0, "ptr")
        given = o.word(self.arguments, b.subtract(self.count, 1), "ptr")
        self.expect(o.type_of(given), self.shared(Common.TUPLE))
        self.expect_true(b.compare("eq", b.call("PyTuple_Size", "i64", [given]), self.inputs))
        traced = b.allocate("i64", 1, 8)
        b.store(b.value(0), traced, 8)
        self.write_leaf_count()
        with b.loop(0, self.inputs) as number:
            self.write_input(given, number, traced)
        self.write_switch(b.load("i64", traced, 8))
        self.write_journal()
        with b.when(self.is_noted):
            self.write_notes()
        self.write_results()
        b.begin("other")
        written = self.word(Word.WRITTEN, "ptr")
        b.ret(b.call("PyObject_Vectorcall", "ptr", [written, self.arguments, self.count, NULL]))
        b.begin("failed")
        b.ret(NULL)

    def write_leaf_count(self) -> None:
        """A trail that has met more or fewer leaves is another one."""
        b, wanted = self.b, self.word(Word.LEAVES)
        with b.when(b.compare("sge", wanted, 0)):
            leaves = self.slot(self.trail, "Trail.leaves")
            self.expect_true(b.compare("eq", b.call("PyDict_Size", "i64", [leaves]), wanted))

    # ---- inputs -------------------------------------------------------------------------------------------------

    def write_input(self, given: Value, number: Value, traced: Value) -> None:
        b, o = self.b, self.o
        row = self.row(Word.INPUT_ROWS, INPUT_WORDS, number)
        thing = b.call("PyTuple_GetItem", "ptr", [given, number])
        is_node = b.compare("ne", o.word(row, InputWord.IS_NODE), 0)
        with b.branch(is_node) as (plain, wrapped):
            with plain:
                self.set_each(self.nodes, number, thing)
                self.set_each(self.storages, number, self.none)
            with wrapped:
                self.write_tensor(thing, number, traced)
        node = self.each(self.nodes, number)
        self.expect(o.type_of(node), self.shared(Common.NODE))
        self.expect(self.slot(node, "Node.dtype"), o.word(row, InputWord.DTYPE, "ptr"))
        self.expect_equal(self.slot(node, "Node.shape"), o.word(row, InputWord.SHAPE, "ptr"))
        source = o.word(row, InputWord.SOURCE)
        with b.when(b.compare("ne", source, int(Source.ANYWHERE))):
            self.write_source(thing, number, row, source)

    def write_tensor(self, thing: Value, number: Value, traced: Value) -> None:
        """A tensor's node is its value, if nobody has written into the storage since."""
        b, o = self.b, self.o
        kind, tensor = o.type_of(thing), self.shared(Common.TENSOR)
        derived = b.call("PyType_IsSubtype", "i32", [kind, tensor])
        self.expect_true(b.compare("ne", derived, constant(0, "i32")))
        storage = self.slot(thing, "Tensor._storage")
        self.expect(o.type_of(storage), self.shared(Common.STORAGE))
        self.expect_equal(self.slot(thing, "Tensor._seen"), self.slot(storage, "Storage.revision"))
        self.expect(self.slot(storage, "Storage.shared"), self.false)
        self.expect(self.slot(storage, "Storage.device"), self.shared(Common.CPU))
        self.set_each(self.nodes, number, self.slot(thing, "Tensor._node"))
        self.set_each(self.storages, number, storage)
        wants = o.differs(self.slot(thing, "Tensor._requires_grad"), self.false)
        for name in ("Tensor._edge", "Tensor._base"):
            wants = b.bit_or(wants, o.differs(self.slot(thing, name), self.none))
        with b.when(wants):
            b.store(b.value(1), traced, 8)

    def write_source(self, thing: Value, number: Value, row: Value, source: Value) -> None:
        """That the cotangent goes where it went."""
        b, o = self.b, self.o
        storage = self.each(self.storages, number)
        with b.when(o.differs(self.slot(thing, "Tensor._base"), self.none)):
            past, history = self.slot(thing, "Tensor._past"), self.slot(storage, "Storage.history")
            self.expect_equal(past, history)
        edge, wants = self.slot(thing, "Tensor._edge"), self.slot(thing, "Tensor._requires_grad")
        target = o.word(row, InputWord.TARGET, "ptr")
        with b.branch(b.compare("eq", source, int(Source.MARK))) as (marked, other):
            with marked:
                self.expect(o.type_of(edge), self.shared(Common.MARK))
                self.expect(self.slot(edge, "Mark.trail"), self.trail)
                self.expect_equal(self.slot(edge, "Mark.source"), target)
            with other:
                self.expect(edge, self.none)
                nowhere = b.compare("eq", source, int(Source.NOWHERE))
                self.expect(wants, b.select(nowhere, self.false, self.shared(Common.TRUE)))
                with b.when(b.compare("sge", source, int(Source.KNOWN_LEAF))):
                    self.write_leaf(self.slot(thing, "Tensor._leaf"), number, row, source)

    def write_leaf(self, leaf: Value, number: Value, row: Value, source: Value) -> None:
        """A leaf is the one that it was, or one that the trail has not met."""
        b, o = self.b, self.o
        self.o.leave_if(o.is_same(leaf, self.none), "other")
        self.set_each(self.leaves, number, leaf)
        target = o.word(row, InputWord.TARGET, "ptr")
        with b.branch(b.compare("eq", source, int(Source.SAME_LEAF))) as (same, own):
            with same:
                earlier = o.word(row, InputWord.TARGET)
                self.expect(leaf, self.each(self.leaves, earlier))
            with own:
                leaves = self.slot(self.trail, "Trail.leaves")
                found = b.call("PyDict_GetItemWithError", "ptr", [leaves, leaf])
                is_known = b.compare("eq", source, int(Source.KNOWN_LEAF))
                with b.branch(is_known) as (known, unmet):
                    with known:
                        o.leave_if(o.is_same(found, NULL), "other")
                        self.expect_equal(found, target)
                    with unmet:
                        self.expect(found, NULL)
                        self.write_distinct(leaf, number)

    def write_distinct(self, leaf: Value, number: Value) -> None:
        """A fresh leaf is none of the earlier inputs'."""
        b, o = self.b, self.o
        with b.loop(0, number) as earlier:
            row = self.row(Word.INPUT_ROWS, INPUT_WORDS, earlier)
            with b.when(b.compare("eq", o.word(row, InputWord.SOURCE), int(Source.FRESH_LEAF))):
                o.leave_if(o.is_same(self.each(self.leaves, earlier), leaf), "other")

    def write_switch(self, traced: Value) -> None:
        """Where no tape is to want the result, none may."""
        b = self.b
        asked = b.bit_and(b.compare("eq", self.mode, int(Mode.PLAIN)), b.compare("ne", traced, 0))
        with b.when(asked):
            names = self.shared(Common.GRAD_MODE), self.shared(Common.ENABLED)
            enabled = b.call("PyObject_GetAttr", "ptr", list(names))
            self.o.leave_if(self.o.is_same(enabled, NULL), "failed")
            self.o.drop(enabled)  # a truth value: it stays
            self.expect(enabled, self.false)

    # ---- the journal --------------------------------------------------------------------------------------------

    def write_journal(self) -> None:
        """The entry that comes next is this recipe's, on values that are those of the path; then its promises."""
        b, o = self.b, self.o
        names = self.shared(Common.JOURNALS), self.shared(Common.JOURNAL)
        journal = b.call("PyObject_GetAttr", "ptr", list(names))
        o.leave_if(o.is_same(journal, NULL), "failed")
        o.drop(journal)  # the thread keeps it
        values = self.slot(journal, "Journal.values")
        self.expect_true(
            b.compare("sle", b.call("PyList_Size", "i64", [values]), MOST_VALUES - MOST_RESULTS)
        )
        entry = self.slot(self.slot(journal, "Journal.entry"), "Entry.next")
        o.leave_if(o.is_same(entry, self.none), "other")
        self.expect(self.slot(entry, "Entry.recipe"), self.word(Word.RECIPE, "ptr"))
        packed = self.slot(entry, "Entry.packed")
        o.leave_if(o.is_same(packed, self.none), "other")
        origins = b.call("PyBytes_AsString", "ptr", [packed])
        used = self.word(Word.USED)
        with b.loop(0, used) as number:
            self.write_origin(origins, values, number)
        self.write_room()
        first = o.word(origins, EntryWord.MADE)
        with b.loop(0, self.word(Word.KINDS)) as number:
            row = self.row(Word.KIND_ROWS, KIND_WORDS, number)
            shape, kind = o.word(row, 0, "ptr"), o.word(row, 1, "ptr")
            arguments = [self.common, journal, shape, kind, b.add(first, number)]
            node = b.call(MAKE_NODE, "ptr", arguments)
            o.leave_if(o.is_same(node, NULL), "failed")
            self.set_each(self.made, number, node)
        with b.loop(0, used) as number:
            origin = self.origin(origins, number)
            with b.when(b.bit_or(*(self.is_origin(origin, e) for e in (Use.STORED, Use.SCALAR)))):  # fmt: skip
                o.append(values, self.used(number))
        with b.loop(0, self.word(Word.KINDS)) as number:
            o.append_owned(values, self.each(self.made, number))
        o.replace(journal, place("Journal.entry"), entry)

    def used(self, number: Value) -> Value:
        """The node that the recipe takes in a place."""
        at = self.o.word(self.table, self.b.add(number, int(Word.USED_PLACES)))
        return self.each(self.nodes, at)

    def origin(self, origins: Value, number: Value) -> Value:
        """The address of a used node's two words in the entry's table."""
        at = self.b.add(self.b.multiply(number, 2), int(EntryWord.ORIGINS))
        return self.b.element_pointer(origins, at, "i64", inside=False)

    def is_origin(self, origin: Value, kind: Use) -> Value:
        return self.b.compare("eq", self.o.word(origin, 0), int(kind))

    def write_origin(self, origins: Value, values: Value, number: Value) -> None:
        """A used node is the value that it was on the path, or may be one that is met here."""
        b, o = self.b, self.o
        node, origin = self.used(number), self.origin(origins, number)
        target = o.word(origin, 1)
        with b.when(self.is_origin(origin, Use.VALUE)):
            self.expect_true(b.compare("slt", target, b.call("PyList_Size", "i64", [values])))
            self.expect(node, o.item(values, target))
        with b.when(self.is_origin(origin, Use.SAME)):
            self.expect(node, self.used(target))
        with b.when(self.is_origin(origin, Use.STORED)):
            o.leave_if(o.is_same(self.slot(node, "Node.buffer"), self.none), "other")
        with b.when(self.is_origin(origin, Use.SCALAR)):
            self.expect(self.slot(node, "Node.journal"), self.none)
            self.expect(self.slot(node, "Node.op"), self.shared(Common.SCALAR))

    def write_room(self) -> None:
        """No more may wait for their values than the settings allow."""
        b, o = self.b, self.o
        names = self.shared(Common.SETTINGS), self.shared(Common.LIMIT)
        limit = b.call("PyObject_GetAttr", "ptr", list(names))
        o.leave_if(o.is_same(limit, NULL), "failed")
        most = b.call("PyLong_AsLongLong", "i64", [limit])
        o.drop(limit)
        waiting = b.call("PyList_Size", "i64", [self.shared(Common.PENDING)])
        self.expect_true(b.compare("sle", b.add(waiting, MOST_RESULTS), most))

    # ---- the trail ----------------------------------------------------------------------------------------------

    def write_notes(self) -> None:
        """The trail's notes, but for storages and versions, and the results' marks."""
        b, o, trail = self.b, self.o, self.trail
        with b.loop(0, self.inputs) as number:
            row = self.row(Word.INPUT_ROWS, INPUT_WORDS, number)
            with b.when(b.compare("eq", o.word(row, InputWord.SOURCE), int(Source.FRESH_LEAF))):
                leaves, leaf = self.slot(trail, "Trail.leaves"), self.each(self.leaves, number)
                target = o.word(row, InputWord.TARGET, "ptr")
                b.call("PyDict_SetItem", "i32", [leaves, leaf, target])
        step = self.word(Word.STEP, "ptr")
        o.replace(trail, place("Trail.step"), step)
        o.append(self.slot(trail, "Trail.steps"), step)
        sequence = b.call("PyObject_CallNoArgs", "ptr", [self.shared(Common.NEXT_SEQUENCE)])
        o.leave_if(o.is_same(sequence, NULL), "failed")
        o.append_owned(self.slot(trail, "Trail.sequences"), sequence)
        saved = self.slot(trail, "Trail.saved")
        keeps = [self.word(at) for at in (Word.KEEPS_INPUTS, Word.KEEPS_OUTPUTS)]
        with b.loop(0, self.inputs) as number:
            self.append_kept(saved, keeps[0], self.each(self.nodes, number))
        with b.loop(0, self.results) as number:
            self.append_kept(saved, keeps[1], self.result(number))

    def append_kept(self, listed: Value, keeps: Value, value: Value) -> None:
        """A value that the derivative reads, else None."""
        b = self.b
        self.o.append(listed, b.select(b.compare("ne", keeps, 0), value, self.none))

    def result(self, number: Value) -> Value:
        """The node of a result."""
        row = self.row(Word.RESULT_ROWS, RESULT_WORDS, number)
        return self.each(self.made, self.o.word(row, ResultWord.POSITION))

    def write_guards(self) -> None:
        """Storages and versions of what the derivative reads."""
        b, o, trail = self.b, self.o, self.trail
        storages, versions = self.slot(trail, "Trail.storages"), self.slot(trail, "Trail.versions")
        zero, is_view = self.shared(Common.ZERO), b.compare("eq", self.mode, int(Mode.VIEW))
        inputs, outputs = self.word(Word.KEEPS_INPUTS), self.word(Word.KEEPS_OUTPUTS)
        inputs, outputs = (b.select(is_view, b.value(0), keeps) for keeps in (inputs, outputs))
        with b.loop(0, self.inputs) as number:
            storage = self.each(self.storages, number)
            kept = b.bit_and(b.compare("ne", inputs, 0), o.differs(storage, self.none))
            with b.branch(kept) as (yes, no):
                with yes:
                    o.append(storages, storage)
                    o.append(versions, o.at(storage, place("Storage.version")))
                with no:
                    o.append(storages, self.none)
                    o.append(versions, zero)
        with b.loop(0, self.results) as number:
            with b.branch(b.compare("ne", outputs, 0)) as (yes, no):
                with yes:
                    tensor = self.each(self.tensors, number)
                    o.append(storages, o.at(tensor, place("Tensor._storage")))
                with no:
                    o.append(storages, self.none)
            o.append(versions, zero)

    # ---- results ------------------------------------------------------------------------------------------------

    def write_results(self) -> None:
        b, o = self.b, self.o
        is_wrapped = b.bit_or(
            *(b.compare("eq", self.mode, int(m)) for m in (Mode.TRACED, Mode.PLAIN))
        )
        with b.loop(0, self.results) as number:
            self.write_mark(number)
            with b.branch(is_wrapped) as (tensors, nodes):
                with tensors:
                    mark = self.each(self.marks, number)
                    tensor = b.call(MAKE_TENSOR, "ptr", [self.common, self.result(number), mark])
                    o.leave_if(o.is_same(tensor, NULL), "failed")
                    o.drop(mark)
                    self.set_each(self.tensors, number, tensor)
                with nodes:
                    node = self.result(number)
                    o.keep(node)
                    self.set_each(self.tensors, number, node)
                    with b.when(b.compare("eq", self.mode, int(Mode.UNTRACKED))):
                        o.drop(self.each(self.marks, number))
        with b.when(self.is_noted):
            self.write_guards()
        with b.when(b.compare("eq", self.mode, int(Mode.VIEW))):
            self.write_pair()
        with b.when(b.compare("eq", self.word(Word.MULTIPLE), 0)):
            b.ret(self.each(self.tensors, b.value(0)))
            b.begin(b.label("never"))
        made = b.call("PyTuple_New", "ptr", [self.results])
        o.leave_if(o.is_same(made, NULL), "failed")
        with b.loop(0, self.results) as number:
            b.call("PyTuple_SetItem", "i32", [made, number, self.each(self.tensors, number)])
        b.ret(made)

    def write_mark(self, number: Value) -> None:
        """The result's place on the trail, or None; owned."""
        b, o = self.b, self.o
        row = self.row(Word.RESULT_ROWS, RESULT_WORDS, number)
        with b.branch(b.compare("ne", o.word(row, ResultWord.HAS_MARK), 0)) as (yes, no):
            with yes:
                words = [o.word(row, each, "ptr") for each in (ResultWord.INDEX, ResultWord.SOURCE)]
                arguments = [self.common, self.trail, self.word(Word.PLACE, "ptr"), *words]
                mark = b.call(MAKE_MARK, "ptr", arguments)
                o.leave_if(o.is_same(mark, NULL), "failed")
                self.set_each(self.marks, number, mark)
            with no:
                o.keep(self.none)
                self.set_each(self.marks, number, self.none)

    def write_pair(self) -> None:
        """A view's node and its mark."""
        b, o = self.b, self.o
        made = b.call("PyTuple_New", "ptr", [b.value(2)])
        o.leave_if(o.is_same(made, NULL), "failed")
        for place_of, array in enumerate((self.tensors, self.marks)):
            arguments = [made, b.value(place_of), self.each(array, b.value(0))]
            b.call("PyTuple_SetItem", "i32", arguments)
        b.ret(made)
        b.begin(b.label("never"))
