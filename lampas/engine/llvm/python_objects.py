"""Python's own objects in native functions: reading and making them by the interpreter's public functions.

A class with `__slots__` keeps each slot's value as a pointer at a fixed place of its objects; the place is asked of the
slot's descriptor.  With that, and the functions that every CPython exports, a native function can do for a known
sequence of attribute reads, comparisons and new objects what Python's bytecode does, without interpreting any.

`are_known` tells whether this interpreter keeps its objects so; where it does not, nobody may use what is written here.
Functions that are called from Python hold its global lock.  References: what is read is borrowed; what is made or put
into a slot is owned.  Documented at https://docs.python.org/3/c-api/ ; the layout of a slot's descriptor is that of
`PyMemberDescrObject`.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import sys
import sysconfig
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any

from lampas.engine.llvm.compiler import compile_functions
from lampas.engine.llvm.text import Builder, Module, Value, constant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NULL = Value("null", "ptr")
TYPE_PLACE = 8  # of an object's pointer to its type, in bytes
MEMBER_PLACE, OFFSET_PLACE = 40, 16
EQUAL = 2  # Py_EQ
FAST_CALL = 0x80  # METH_FASTCALL
_DEFINITIONS: list[MethodDefinition] = []  # builtin functions refer to them


class MethodDefinition(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("text", ctypes.c_char_p),
    ]


def slot_place(kind: type, name: str) -> int:
    """The place of a slot's value in the objects of a class, in bytes; raises TypeError for any other attribute.

    >>> slot_place(Probe, "second") - slot_place(Probe, "first")
    8
    """
    descriptor = kind.__dict__[name]
    if not isinstance(descriptor, MemberDescriptorType):
        raise TypeError(f"{kind.__name__}.{name} is no slot")
    member = ctypes.c_void_p.from_address(id(descriptor) + MEMBER_PLACE).value or 0
    return ctypes.c_ssize_t.from_address(member + OFFSET_PLACE).value


class Probe:
    """What the layout of objects is tried on."""

    __slots__ = ("__weakref__", "first", "second")


@functools.cache
def are_known() -> bool:
    """Whether this interpreter lays its objects out as assumed: CPython of 64 bits with its global lock."""
    plain = not hasattr(sys, "gettotalrefcount") and not sysconfig.get_config_var("Py_GIL_DISABLED")
    if platform.python_implementation() != "CPython" or sys.maxsize >> 32 == 0 or not plain:
        return False
    if sys.platform == "win32":
        return False
    probe, value = Probe(), object()
    if ctypes.c_void_p.from_address(id(probe) + TYPE_PLACE).value != id(Probe):
        return False
    probe.second = value  # type: ignore[attr-defined]
    places = [slot_place(Probe, name) for name in ("first", "second")]
    if not all(16 <= place < 256 and place % 8 == 0 for place in places):
        return False
    found = [ctypes.c_void_p.from_address(id(probe) + place).value for place in places]
    return found == [None, id(value)]


def make_function(definition: MethodDefinition, own: bytes) -> Callable[..., Any]:
    """A builtin function with a native body `(own, arguments, count) -> object`; `definition` must outlive it."""
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype = ctypes.py_object
    make.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]
    return make(ctypes.addressof(definition), own, None)


def function_makers(
    module: Callable[[], Module], names: Sequence[str]
) -> tuple[Callable[[bytes], Callable[..., Any]], ...] | None:
    """For each of a module's functions, what makes a builtin function of it and its own object; None where this
    interpreter has another layout of objects, or does not let its functions be found."""
    if not are_known():
        return None
    try:
        found = compile_functions(module(), names)
    except RuntimeError:  # the linker's: a function of Python is not exported
        return None
    made = [MethodDefinition(name.encode(), found[name], FAST_CALL, None) for name in names]
    _DEFINITIONS.extend(made)
    return tuple(functools.partial(make_function, definition) for definition in made)


class ObjectBuilder:
    """Writes a native function that handles Python objects, over a `Builder`."""

    def __init__(self, b: Builder) -> None:
        self.b = b

    # ---- reading ------------------------------------------------------------------------------------------------

    def at(self, thing: Value, place: int) -> Value:
        """The pointer that lies so many bytes after a pointer."""
        return self.b.load("ptr", self.b.element_pointer(thing, place, "i8", inside=False), 8)

    def type_of(self, thing: Value) -> Value:
        """An object's type."""
        return self.at(thing, TYPE_PLACE)

    def word(self, table: Value, place: Value | int, kind: str = "i64") -> Value:
        """A word of a table."""
        number = place if isinstance(place, Value) else int(place)
        return self.b.load(kind, self.b.element_pointer(table, number, "i64", inside=False), 8)

    def item(self, listed: Value, number: Value) -> Value:
        """An item of a list, borrowed; null beyond its end, with an error that `clear` takes away."""
        return self.b.call("PyList_GetItem", "ptr", [listed, number])

    def clear(self) -> None:
        """Forget an error."""
        self.b.call("PyErr_Clear", "void", [])

    def is_same(self, left: Value, right: Value) -> Value:
        """Whether two pointers are one."""
        return self.b.compare("eq", left, right)

    def differs(self, left: Value, right: Value) -> Value:
        """Whether two pointers are two."""
        return self.b.compare("ne", left, right)

    # ---- leaving ------------------------------------------------------------------------------------------------

    def leave_if(self, condition: Value, label: str) -> None:
        """Go to a block if the condition holds."""
        following = self.b.label("on")
        self.b.line(f"br {condition}, label %{label}, label %{following}")
        self.b.begin(following)

    # ---- making -------------------------------------------------------------------------------------------------

    def keep(self, thing: Value) -> None:
        """One more reference."""
        self.b.call("Py_IncRef", "void", [thing])

    def drop(self, thing: Value) -> None:
        """One reference less."""
        self.b.call("Py_DecRef", "void", [thing])

    def give(self, thing: Value, place: int, value: Value) -> None:
        """Put an owned reference into an empty slot."""
        self.b.store(value, self.b.element_pointer(thing, place, "i8", inside=False), 8)

    def put(self, thing: Value, place: int, value: Value) -> None:
        """Put a borrowed value into an empty slot."""
        self.keep(value)
        self.give(thing, place, value)

    def replace(self, thing: Value, place: int, value: Value) -> None:
        """Put a borrowed value into a slot that has one."""
        old = self.at(thing, place)
        self.put(thing, place, value)
        self.drop(old)

    def append(self, listed: Value, value: Value) -> None:
        """Append a borrowed value to a list."""
        self.b.call("PyList_Append", "i32", [listed, value])

    def append_owned(self, listed: Value, value: Value) -> None:
        """Append an owned value to a list."""
        self.append(listed, value)
        self.drop(value)


def write_equality(module: Module, name: str) -> None:
    """An internal function: whether two objects are one, or equal."""
    b = module.function(name, [("ptr", "left"), ("ptr", "right")], "i1", internal=True)
    o = ObjectBuilder(b)
    left, right = b.arguments
    o.leave_if(o.is_same(left, right), "yes")
    found = b.call("PyObject_RichCompareBool", "i32", [left, right, constant(EQUAL, "i32")])
    with b.when(b.compare("slt", found, constant(0, "i32"))):
        o.clear()
    b.ret(b.compare("eq", found, constant(1, "i32")))
    b.begin("yes")
    b.ret(Value("true", "i1"))


class GuardWriter:
    """Writes a function that compares Python objects with known ones, and goes on at its block "other" where one is not as
    it should be.

    `equality` is the module's function of `write_equality`; `places` gives a slot's place by its class and name, as "Node.shape".
    """

    def __init__(self, b: Builder, equality: str, places: Callable[[str], int]) -> None:
        self.b, self.o = b, ObjectBuilder(b)
        self.equality, self.places = equality, places

    def slot(self, thing: Value, name: str) -> Value:
        """What a slot holds; the function is left where it is empty."""
        found = self.o.at(thing, self.places(name))
        self.expect_not(found, NULL)
        return found

    def expect(self, left: Value, right: Value) -> None:
        """Leave unless the two are the same object."""
        self.o.leave_if(self.o.differs(left, right), "other")

    def expect_not(self, left: Value, right: Value) -> None:
        """Leave if the two are the same object."""
        self.o.leave_if(self.o.is_same(left, right), "other")

    def expect_equal(self, left: Value, right: Value) -> None:
        """Leave unless the two are equal."""
        self.o.leave_if(self.differ(left, right), "other")

    def expect_true(self, condition: Value) -> None:
        self.o.leave_if(self.b.bit_xor(condition, Value("true", "i1")), "other")

    def differ(self, left: Value, right: Value) -> Value:
        """Whether two objects are not equal."""
        alike = self.b.call(self.equality, "i1", [left, right])
        return self.b.bit_xor(alike, Value("true", "i1"))
