"""A small builder of LLVM IR text.

A `Module` holds functions; `Module.function` returns a `Builder` which appends instructions to the function's
current block. Types are LLVM's own words as plain strings ("float", "i64", "ptr", "<16 x float>"); a `Value` is
the text of an operand with its type. Python numbers may stand wherever a value of known type is expected.
Address by `element_pointer` (getelementptr) only: arithmetic through ptrtoint is miscompiled by LLVM 22.

    module = Module()
    b = module.function("axpy", [("ptr", "x"), ("ptr", "y"), ("i64", "n"), ("float", "a")])
    x, y, n, a = b.arguments
    with b.loop(0, n, 1) as index:
        place = b.element_pointer(y, index, "float")
        old = b.load("float", place)
        b.store(b.fma(a, b.load("float", b.element_pointer(x, index, "float")), old), place)
    b.ret()
    text = str(module)
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from lampas.engine.llvm.values import (
    Operand,
    Value,
    bits_of,
    bytes_of,
    constant,
    element_of,
    is_float,
    lane_constants,
    lanes_of,
    number,
    suffix_of,
    type_word,
    undefined,
    vector,
)

__all__ = [
    "Branch",
    "Builder",
    "Loop",
    "Module",
    "Operand",
    "Value",
    "bits_of",
    "bytes_of",
    "constant",
    "element_of",
    "is_float",
    "lane_constants",
    "lanes_of",
    "number",
    "suffix_of",
    "undefined",
    "vector",
]


class Module:
    """Functions, declarations and constant tables that are compiled together."""

    def __init__(self) -> None:
        self.builders: list[Builder] = []
        self.declarations: dict[str, str] = {}
        self.tables: dict[str, str] = {}
        self.attributes: dict[str, int] = {}

    def function(
        self,
        name: str,
        parameters: Sequence[tuple[str, str]],
        returns: str = "void",
        attributes: str = "nounwind",
        internal: bool = False,
    ) -> Builder:
        """Start a function; `parameters` are (type with attributes such as "ptr noalias", name)."""
        built = Builder(self, name, parameters, returns, attributes, internal)
        self.builders.append(built)
        return built

    def declare(
        self, name: str, returns: str, parameters: Sequence[str], attributes: str = ""
    ) -> None:
        """Declare an outside function once."""
        if name not in self.declarations:
            listed = ", ".join(parameters)
            self.declarations[name] = f"declare {returns} @{name}({listed}) {attributes}".rstrip()

    def table(self, name: str, element: str, values: Sequence[int | float]) -> Value:
        """Add a private constant array (64-byte aligned) once and return its address."""
        if name not in self.tables:
            items = ", ".join(f"{element} {number(value, element)}" for value in values)
            array = f"[{len(values)} x {element}]"
            self.tables[name] = (
                f"@{name} = private unnamed_addr constant {array} [{items}], align 64"
            )
        return Value(f"@{name}", "ptr")

    def __str__(self) -> str:
        parts = list(self.tables.values()) + [str(built) for built in self.builders]
        return "\n\n".join(parts + ["\n".join(self.declarations.values())]) + "\n"


class Loop:
    """What `Builder.carrying_loop` yields: index, carried values, and after the loop their results.

    The body may set `step` to a value of its own.
    """

    def __init__(self, index: Value, values: list[Value], step: Value) -> None:
        self.index = index
        self.values = values
        self.step = step
        self.following: list[Value] = values
        self.results: list[Value] = []

    def carry(self, values: Sequence[Value]) -> None:
        """Name the values that the next iteration (or the code after the loop) shall see."""
        self.following = list(values)


class Branch:
    """One arm of `Builder.branch`; enter it with ``with``."""

    def __init__(self, builder: Builder, label: str, after: str) -> None:
        self.builder, self.label, self.after = builder, label, after
        self.end = label

    def __enter__(self) -> Branch:
        self.builder.begin(self.label)
        return self

    def __exit__(self, *error: object) -> None:
        self.end = self.builder.block
        self.builder.line(f"br label %{self.after}")


class Builder:
    """Writes one function, instruction by instruction, into its current block."""

    def __init__(
        self,
        module: Module,
        name: str,
        parameters: Sequence[tuple[str, str]],
        returns: str,
        attributes: str,
        internal: bool,
    ) -> None:
        self.module, self.name, self.returns, self.attributes = module, name, returns, attributes
        self.arguments = [Value(f"%{label}", type_word(kind)) for kind, label in parameters]
        self.signature = ", ".join(f"{kind} %{label}" for kind, label in parameters)
        self.linkage = "internal " if internal else ""
        self.lines: list[str] = ["entry:"]
        self.allocations: list[str] = []
        self.block = "entry"
        self.counter = 0

    def __str__(self) -> str:
        head = f"define {self.linkage}{self.returns} @{self.name}({self.signature}) {self.attributes} {{"
        return "\n".join([head, self.lines[0], *self.allocations, *self.lines[1:], "}"])

    # ---- plumbing -------------------------------------------------------------------------------------------

    def line(self, text: str) -> None:
        """Append a raw instruction."""
        self.lines.append("  " + text)

    def fresh(self, kind: str, stem: str = "v") -> Value:
        self.counter += 1
        return Value(f"%{stem}{self.counter}", kind)

    def emit(self, instruction: str, kind: str) -> Value:
        """Append a raw instruction which yields a value of type `kind`, and return that value."""
        self.counter += 1
        self.lines.append(f"  %v{self.counter} = {instruction}")
        return Value(f"%v{self.counter}", kind)

    def label(self, stem: str) -> str:
        self.counter += 1
        return f"{stem}{self.counter}"

    def begin(self, label: str) -> None:
        """Start a block; later instructions go there."""
        self.lines.append(f"{label}:")
        self.block = label

    def value(self, operand: Operand, kind: str = "i64") -> Value:
        """Return an operand as a value: a Python number becomes a constant of type `kind`."""
        return operand if isinstance(operand, Value) else constant(operand, kind)

    def pair(self, left: Operand, right: Operand) -> tuple[Value, Value]:
        kind = (
            left.type
            if isinstance(left, Value)
            else right.type
            if isinstance(right, Value)
            else "i64"
        )
        first, second = self.value(left, kind), self.value(right, kind)
        if first.type != second.type:
            raise TypeError(f"operands have types {first.type} and {second.type}")
        return first, second

    def binary(self, integer: str, floating: str, left: Operand, right: Operand) -> Value:
        first, second = self.pair(left, right)
        name = floating if is_float(first.type) else integer
        return self.emit(f"{name} {first.type} {first.text}, {second.text}", first.type)

    # ---- arithmetic -----------------------------------------------------------------------------------------

    def add(self, left: Operand, right: Operand) -> Value:
        """Integer or floating addition; constants of integers are folded."""
        first, second = self.pair(left, right)
        if first.known is not None and second.known is not None:
            return constant(first.known + second.known, first.type)
        if not is_float(first.type) and second.text == "0":
            return first
        if not is_float(first.type) and first.text == "0":
            return second
        return self.binary("add", "fadd", first, second)

    def subtract(self, left: Operand, right: Operand) -> Value:
        first, second = self.pair(left, right)
        if first.known is not None and second.known is not None:
            return constant(first.known - second.known, first.type)
        if not is_float(first.type) and second.text == "0":
            return first
        return self.binary("sub", "fsub", first, second)

    def multiply(self, left: Operand, right: Operand) -> Value:
        first, second = self.pair(left, right)
        if first.known is not None and second.known is not None:
            return constant(first.known * second.known, first.type)
        if not is_float(first.type) and second.text == "1":
            return first
        if not is_float(first.type) and first.text == "1":
            return second
        return self.binary("mul", "fmul", first, second)

    def divide(self, left: Operand, right: Operand) -> Value:
        """Floating or truncating signed integer division."""
        return self.binary("sdiv", "fdiv", left, right)

    def remainder(self, left: Operand, right: Operand) -> Value:
        return self.binary("srem", "frem", left, right)

    def bit_and(self, left: Operand, right: Operand) -> Value:
        return self.binary("and", "and", left, right)

    def bit_or(self, left: Operand, right: Operand) -> Value:
        return self.binary("or", "or", left, right)

    def bit_xor(self, left: Operand, right: Operand) -> Value:
        return self.binary("xor", "xor", left, right)

    def shift_left(self, left: Operand, right: Operand) -> Value:
        return self.binary("shl", "shl", left, right)

    def shift_right(self, left: Operand, right: Operand, signed: bool = True) -> Value:
        name = "ashr" if signed else "lshr"
        return self.binary(name, name, left, right)

    def negative(self, value: Value) -> Value:
        if is_float(value.type):
            return self.emit(f"fneg {value}", value.type)
        return self.subtract(0, value)

    def compare(self, predicate: str, left: Operand, right: Operand) -> Value:
        """Compare by LLVM's predicate word: "slt", "eq", … for integers, "olt", "une", … for floats."""
        first, second = self.pair(left, right)
        name = "fcmp" if is_float(first.type) else "icmp"
        kind = vector("i1", lanes_of(first.type)) if first.type[0] == "<" else "i1"
        return self.emit(f"{name} {predicate} {first.type} {first.text}, {second.text}", kind)

    def select(self, condition: Value, left: Operand, right: Operand) -> Value:
        first, second = self.pair(left, right)
        return self.emit(f"select {condition}, {first}, {second}", first.type)

    def minimum(self, left: Operand, right: Operand) -> Value:
        """Signed integer minimum."""
        first, second = self.pair(left, right)
        return self.intrinsic("smin", first.type, [first, second])

    def maximum(self, left: Operand, right: Operand) -> Value:
        """Signed integer maximum."""
        first, second = self.pair(left, right)
        return self.intrinsic("smax", first.type, [first, second])

    def fma(self, left: Operand, right: Operand, addend: Value) -> Value:
        """left·right + addend, rounded once (a library call on targets without the instruction)."""
        kind = addend.type
        return self.intrinsic(
            "fma", kind, [self.value(left, kind), self.value(right, kind), addend]
        )

    def multiply_add(self, left: Operand, right: Operand, addend: Value) -> Value:
        """left·right + addend by one rounding where the target has the instruction, else by two."""
        kind = addend.type
        return self.intrinsic(
            "fmuladd", kind, [self.value(left, kind), self.value(right, kind), addend]
        )

    def cast(self, operation: str, value: Value, kind: str) -> Value:
        """One of LLVM's conversions: "fpext", "fptrunc", "sitofp", "zext", "trunc", "bitcast", …"""
        return value if value.type == kind else self.emit(f"{operation} {value} to {kind}", kind)

    def intrinsic(self, name: str, returns: str, operands: Sequence[Value]) -> Value:
        """Call ``llvm.<name>.<suffix of returns>``, declaring it on first use."""
        full = f"llvm.{name}.{suffix_of(returns)}"
        return self.call(full, returns, operands)

    def call(self, name: str, returns: str, operands: Sequence[Value]) -> Value:
        """Call a function by name, declaring it on first use unless this module defines it."""
        if not any(built.name == name for built in self.module.builders):
            self.module.declare(name, returns, [operand.type for operand in operands])
        listed = ", ".join(str(operand) for operand in operands)
        if returns == "void":
            self.line(f"call void @{name}({listed})")
            return undefined("void")
        return self.emit(f"call {returns} @{name}({listed})", returns)

    def call_pointer(
        self, address: Value, operands: Sequence[Value], returns: str = "void"
    ) -> Value:
        """Call through a function pointer."""
        listed = ", ".join(str(operand) for operand in operands)
        if returns == "void":
            self.line(f"call void {address.text}({listed})")
            return undefined("void")
        return self.emit(f"call {returns} {address.text}({listed})", returns)

    # ---- vectors --------------------------------------------------------------------------------------------

    def splat(self, value: Operand, kind: str) -> Value:
        """Return a vector (type `kind`) with a scalar in every lane."""
        if not isinstance(value, Value):
            return constant(value, kind)
        if kind[0] != "<":
            return value
        first = self.emit(f"insertelement {kind} poison, {value}, i64 0", kind)
        zeros = f"<{lanes_of(kind)} x i32> zeroinitializer"
        return self.emit(f"shufflevector {first}, {kind} poison, {zeros}", kind)

    def extract(self, value: Value, lane: Operand) -> Value:
        return self.emit(f"extractelement {value}, {self.value(lane)}", element_of(value.type))

    def insert(self, value: Value, element: Value, lane: Operand) -> Value:
        return self.emit(f"insertelement {value}, {element}, {self.value(lane)}", value.type)

    def shuffle(self, left: Value, right: Value, lanes: Sequence[int]) -> Value:
        """Pick lanes by number out of two vectors of one type laid end to end."""
        kind = vector(element_of(left.type), len(lanes))
        picks = ", ".join(f"i32 {lane}" for lane in lanes)
        return self.emit(f"shufflevector {left}, {right}, <{len(lanes)} x i32> <{picks}>", kind)

    def lane_mask(self, lanes: int, count: Operand) -> Value:
        """Return <lanes x i1> whose first `count` lanes are true (count may exceed lanes or be negative)."""
        kind = vector("i32", lanes)
        limited = self.maximum(self.minimum(self.value(count), lanes), 0)
        filled = self.splat(self.cast("trunc", limited, "i32"), kind)
        return self.compare("slt", lane_constants(range(lanes), "i32"), filled)

    # ---- memory ---------------------------------------------------------------------------------------------

    def element_pointer(self, base: Value, index: Operand, kind: str, inside: bool = True) -> Value:
        """Return the address of element `index` (elements of type `kind`) after `base`.

        Unless `inside` is false it has to lie in the same array (or one past its end).
        """
        place = self.value(index)
        if place.text == "0":
            return base
        word = "getelementptr inbounds" if inside else "getelementptr"
        return self.emit(f"{word} {kind}, {base}, {place}", "ptr")

    def load(self, kind: str, pointer: Value, alignment: int = 0, metadata: str = "") -> Value:
        """Load; the alignment defaults to that of one element."""
        align = alignment or bytes_of(kind)
        return self.emit(f"load {kind}, {pointer}, align {align}{metadata}", kind)

    def store(self, value: Value, pointer: Value, alignment: int = 0) -> None:
        """Store; the alignment defaults to that of one element."""
        self.line(f"store {value}, {pointer}, align {alignment or bytes_of(value.type)}")

    def load_element(self, kind: str, base: Value, index: Operand) -> Value:
        """Load element `index` of an array of elements of type `kind`."""
        return self.load(kind, self.element_pointer(base, index, element_of(kind)))

    def masked_load(self, kind: str, pointer: Value, mask: Value, other: Operand = 0) -> Value:
        """Load the lanes whose mask is true, `other` in the rest; false lanes touch no memory."""
        rest = self.value(other, kind)
        align = bytes_of(kind)
        name = f"llvm.masked.load.{suffix_of(kind)}.p0"
        self.module.declare(name, kind, ["ptr", mask.type, kind])
        listed = f"ptr align {align} {pointer.text}, {mask}, {rest}"
        return self.emit(f"call {kind} @{name}({listed})", kind)

    def masked_store(self, value: Value, pointer: Value, mask: Value) -> None:
        """Store the lanes whose mask is true."""
        align = bytes_of(value.type)
        name = f"llvm.masked.store.{suffix_of(value.type)}.p0"
        self.module.declare(name, "void", [value.type, "ptr", mask.type])
        self.line(f"call void @{name}({value}, ptr align {align} {pointer.text}, {mask})")

    def prefetch(self, pointer: Value, write: bool = False) -> None:
        """Ask for a cache line; any address will do, no fault comes of it."""
        self.module.declare("llvm.prefetch.p0", "void", ["ptr", "i32", "i32", "i32"])
        self.line(f"call void @llvm.prefetch.p0({pointer}, i32 {int(write)}, i32 3, i32 1)")

    def allocate(self, kind: str, count: int = 1, alignment: int = 64) -> Value:
        """Reserve stack memory for the whole call of the function."""
        place = self.fresh("ptr", "stack")
        array = f"[{count} x {kind}]"
        self.allocations.append(f"  {place.text} = alloca {array}, align {alignment}")
        return place

    # ---- control --------------------------------------------------------------------------------------------

    def phi(self, incoming: Sequence[tuple[Value, str]]) -> Value:
        """Merge values that come from several blocks; must stand first in its block."""
        kind = incoming[0][0].type
        listed = ", ".join(f"[ {value.text}, %{label} ]" for value, label in incoming)
        return self.emit(f"phi {kind} {listed}", kind)

    @contextmanager
    def loop(
        self, start: Operand, stop: Operand, step: Operand = 1
    ) -> Generator[Value, None, None]:
        """Count an i64 index from start while index < stop; yields the index."""
        with self.carrying_loop(start, stop, step, ()) as built:
            yield built.index

    @contextmanager
    def carrying_loop(
        self, start: Operand, stop: Operand, step: Operand, values: Sequence[Value]
    ) -> Generator[Loop, None, None]:
        """Count like `loop` and carry values: `built.values` inside, `built.carry(new)` at the end of the
        body, and after the ``with`` block `built.results`. The test stands at the bottom behind one guard."""
        first, limit, stride = self.value(start), self.value(stop), self.value(step)
        body, after, before = self.label("body"), self.label("after"), self.block
        guard = self.compare("slt", first, limit)
        self.line(f"br {guard}, label %{body}, label %{after}")
        self.begin(body)
        slots = [self.fresh("i64", "i")] + [self.fresh(value.type, "c") for value in values]
        patch = len(self.lines)
        self.lines.extend("" for _ in slots)
        built = Loop(slots[0], slots[1:], stride)
        yield built
        following = self.emit(f"add nsw {slots[0]}, {built.step.text}", "i64")
        end, test = self.block, self.compare("slt", following, limit)
        self.line(f"br {test}, label %{body}, label %{after}")
        entering, coming = [first, *values], [following, *built.following]
        for offset, (slot, old, new) in enumerate(zip(slots, entering, coming, strict=True)):
            merge = f"[ {old.text}, %{before} ], [ {new.text}, %{end} ]"
            self.lines[patch + offset] = f"  {slot.text} = phi {slot.type} {merge}"
        self.begin(after)
        pairs = zip(values, built.following, strict=True)
        built.results = [self.phi([(old, before), (new, end)]) for old, new in pairs]

    @contextmanager
    def when(self, condition: Value) -> Generator[None, None, None]:
        """Run the body only if the condition (i1) holds."""
        inside, after = self.label("then"), self.label("done")
        self.line(f"br {condition}, label %{inside}, label %{after}")
        self.begin(inside)
        yield
        self.line(f"br label %{after}")
        self.begin(after)

    @contextmanager
    def branch(self, condition: Value) -> Generator[tuple[Branch, Branch], None, None]:
        """Two arms: ``with b.branch(c) as (yes, no):`` then ``with yes: …`` and ``with no: …`` inside, in that
        order. After it, `b.phi([(x, yes.end), (y, no.end)])` may merge values."""
        labels = self.label("then"), self.label("else"), self.label("done")
        self.line(f"br {condition}, label %{labels[0]}, label %{labels[1]}")
        yield Branch(self, labels[0], labels[2]), Branch(self, labels[1], labels[2])
        self.begin(labels[2])

    def ret(self, value: Value | None = None) -> None:
        self.line("ret void" if value is None else f"ret {value}")
