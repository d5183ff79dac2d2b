"""The pickle machine: runs the opcodes of a pickle on typed data, and never calls anything.

A pickle is a program for a stack machine (PEP 307, PEP 3154). Python's own machine imports and calls
whatever a file names. This one knows only containers, text and numbers; a name from a file is looked
up in a table of symbols (`symbols.py`), and applying a symbol means constructing data from checked
arguments. Every opcode checks its operands' types; anything unexpected is a SerializationError.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NoReturn, final

from lampas.serialization.errors import SerializationError
from lampas.serialization.limits import INTEGER_BYTES, KEY_DEPTH, TEXT_SHOWN

_KEY_TYPES = (str, int, float, bool, bytes, type(None), complex)


@final
class _Mark:
    """Where a group of operands begins on the stack."""


_MARK = _Mark()


class Symbol:
    """A name from a file. A subclass says what applying it to arguments constructs."""

    name = "symbol"

    def apply(self, arguments: tuple[Any, ...]) -> Any:
        """The data that `name(*arguments)` stands for."""
        refuse(f"{self.name} cannot be applied")

    def create(self, arguments: tuple[Any, ...]) -> Any:
        """The data that `name.__new__(name, *arguments)` stands for."""
        return self.apply(arguments)

    def build(self, target: Any, state: Any) -> Any:
        """`target`, made by this symbol, with a pickled state given to it."""
        refuse(f"{self.name} takes no state")


def refuse(reason: str) -> NoReturn:
    """Raises SerializationError."""
    raise SerializationError(f"cannot load the file: {reason}")


def shown(text: str) -> str:
    """A name from a file, fit to be shown."""
    short = text if len(text) <= TEXT_SHOWN else text[:TEXT_SHOWN] + "…"
    return ascii(short)


class Machine:
    """Runs the pickle that begins at `start` of `data`.

    `find_symbol(module, name)` and `find_storage(identifier)` are all it knows of the world.
    """

    def __init__(
        self,
        data: bytes,
        find_symbol: Callable[[str, str], Any],
        find_storage: Callable[[Any], Any],
        start: int = 0,
    ) -> None:
        self.data = data
        self.place = start
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.makers: dict[int, tuple[Any, Symbol]] = {}
        self.memo_places: dict[int, int] = {}
        self.find_symbol = find_symbol
        self.find_storage = find_storage

    def run(self) -> Any:
        """The object that the pickle describes; `place` is then behind its end."""
        try:
            return self._run()
        except SerializationError:
            raise
        except (
            ArithmeticError,
            AssertionError,
            AttributeError,
            LookupError,
            MemoryError,
            RecursionError,
            TypeError,
            ValueError,
            struct.error,
        ) as error:
            kind = type(error).__name__
            raise SerializationError(
                f"cannot load the file: its pickle is malformed near byte {self.place} ({kind})"
            ) from None

    def _run(self) -> Any:
        data, actions = self.data, _ACTIONS
        while True:
            if self.place >= len(data):
                refuse("its pickle ends before its STOP")
            code = data[self.place]
            self.place += 1
            if code == _STOP:
                break
            action = actions.get(code)
            if action is None:
                refuse(f"its pickle has the opcode {code:#04x}, which is not data")
            action(self)
        if len(self.stack) != 1 or self.stack[0] is _MARK:
            refuse("its pickle leaves something other than one object")
        return self.stack.pop()

    def take(self, count: int) -> bytes:
        """The next bytes of the pickle."""
        if count < 0 or self.place + count > len(self.data):
            refuse(f"its pickle is cut off at byte {len(self.data)}")
        start = self.place
        self.place = start + count
        return self.data[start : self.place]

    def line(self) -> bytes:
        """The next line of the pickle, without its end."""
        end = self.data.find(b"\n", self.place)
        if end < 0:
            refuse("its pickle is cut off inside a line")
        line = self.data[self.place : end]
        self.place = end + 1
        return line

    def number(self, layout: struct.Struct) -> Any:
        """The next number of the pickle."""
        return layout.unpack(self.take(layout.size))[0]

    def push(self, value: Any) -> None:
        """Puts a value on the stack."""
        self.stack.append(value)

    def pop(self) -> Any:
        """Takes a value from the stack."""
        if not self.stack or self.stack[-1] is _MARK:
            refuse("its pickle takes from an empty stack")
        return self.stack.pop()

    def top(self) -> Any:
        """The value on top of the stack."""
        if not self.stack or self.stack[-1] is _MARK:
            refuse("its pickle reads an empty stack")
        return self.stack[-1]

    def pop_group(self) -> list[Any]:
        """Takes everything down to the last mark."""
        stack = self.stack
        for place in range(len(stack) - 1, -1, -1):
            if stack[place] is _MARK:
                group = stack[place + 1 :]
                del stack[place:]
                return group
        refuse("its pickle has no mark where one is needed")

    def remember(self, number: int) -> None:
        """Stores the top of the stack in the memo."""
        value = self.memo[number] = self.top()
        if id(value) in self.makers:
            self.memo_places[id(value)] = number

    def recall(self, number: int) -> None:
        """Pushes a value of the memo."""
        if number not in self.memo:
            refuse(f"its pickle recalls entry {number}, which it has not stored")
        self.push(self.memo[number])

    def set_items(self, group: list[Any]) -> None:
        """Sets keys and values alternating in `group` in the dict on top of the stack."""
        target = self.top()
        if not isinstance(target, dict):
            refuse(f"its pickle sets an item of a {type(target).__name__}")
        if len(group) % 2:
            refuse("its pickle has a key without a value")
        for place in range(0, len(group), 2):
            check_key(group[place])
            target[group[place]] = group[place + 1]

    def extend(self, group: list[Any]) -> None:
        """Appends to the list on top of the stack."""
        target = self.top()
        if type(target) is not list:
            refuse(f"its pickle appends to a {type(target).__name__}")
        target.extend(group)

    def add_items(self, group: list[Any]) -> None:
        """Adds to the set on top of the stack."""
        target = self.top()
        if type(target) is not set:
            refuse(f"its pickle adds to a {type(target).__name__}")
        for item in group:
            check_key(item)
            target.add(item)

    def push_symbol(self, module: Any, name: Any) -> None:
        """Looks a name up."""
        if not isinstance(module, str) or not isinstance(name, str):
            refuse("its pickle names something by what is not text")
        self.push(self.find_symbol(module, name))

    def apply(self, arguments: Any, symbol: Any, new: bool = False) -> None:
        """Constructs what a symbol stands for; `new` leaves out a class's __init__."""
        if not isinstance(symbol, Symbol):
            refuse(f"its pickle calls a {type(symbol).__name__}")
        if type(arguments) is not tuple:
            refuse("its pickle calls a symbol without a tuple of arguments")
        made = symbol.create(arguments) if new else symbol.apply(arguments)
        # The value is kept along with its maker, so that its id stays its own.
        self.makers[id(made)] = (made, symbol)
        self.push(made)

    def build(self, state: Any) -> None:
        """Gives a pickled state to the object on top of the stack."""
        target = self.pop()
        made = self.makers.get(id(target))
        if made is None:
            refuse(f"its pickle gives a state to a {type(target).__name__}")
        rebuilt = made[1].build(target, state)
        self.makers[id(rebuilt)] = (rebuilt, made[1])
        if rebuilt is not target and id(target) in self.memo_places:
            self.memo[self.memo_places[id(target)]] = rebuilt
        self.push(rebuilt)

    def load_storage(self, identifier: Any) -> None:
        """Resolves a persistent identifier."""
        self.push(self.find_storage(identifier))


def check_key(value: Any, depth: int = 0) -> None:
    """Refuses what may not be a dict's key or a set's member: deep or odd values."""
    if type(value) in _KEY_TYPES or isinstance(value, Symbol):
        return
    if isinstance(value, tuple) and depth < KEY_DEPTH:
        for item in value:
            check_key(item, depth + 1)
        return
    if type(value).__hash__ is None or isinstance(value, tuple | frozenset):
        refuse(f"its pickle uses a {type(value).__name__} as a key")


_U1, _U2, _U4, _U8 = (struct.Struct(code) for code in ("<B", "<H", "<I", "<Q"))
_I4, _F8 = struct.Struct("<i"), struct.Struct(">d")
_STOP = ord(".")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _latin(data: bytes) -> str:
    return data.decode("latin-1")


def _integer(data: bytes) -> int:
    if len(data) > INTEGER_BYTES:
        refuse(f"its pickle has an integer of {len(data)} bytes")
    return int.from_bytes(data, "little", signed=True)


def _parse_integer(line: bytes) -> int | bool:
    """INT: the texts 00 and 01 are booleans."""
    if line in (b"00", b"01"):
        return line == b"01"
    if len(line) > INTEGER_BYTES:
        refuse("its pickle has an integer of too many digits")
    return int(line.rstrip(b"L"))


def _quoted(line: bytes) -> str:
    """STRING: a Python 2 text in quotes; escapes are refused rather than interpreted."""
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"') or b"\\" in line:
        refuse("its pickle has a badly quoted text")
    return line[1:-1].decode("ascii")


def _raw_unicode(line: bytes) -> str:
    return line.decode("raw-unicode-escape")


def _dict_of(machine: Machine) -> dict[Any, Any]:
    group = machine.pop_group()
    machine.push({})
    machine.set_items(group)
    return machine.pop()


def _reduce(machine: Machine, new: bool = False) -> None:
    arguments = machine.pop()
    machine.apply(arguments, machine.pop(), new)


def _set_one(machine: Machine) -> None:
    value = machine.pop()
    machine.set_items([machine.pop(), value])


def _tuple_of(machine: Machine, count: int) -> None:
    items = [machine.pop() for _ in range(count)]
    machine.push(tuple(reversed(items)))


def _frozen(machine: Machine) -> None:
    group = machine.pop_group()
    for item in group:
        check_key(item)
    machine.push(frozenset(group))


def _stack_symbol(machine: Machine) -> None:
    name = machine.pop()
    machine.push_symbol(machine.pop(), name)


def _named_symbol(machine: Machine) -> None:
    module = _text(machine.line())
    machine.push_symbol(module, _text(machine.line()))


def _protocol(machine: Machine) -> None:
    if machine.number(_U1) > 5:
        refuse("its pickle has a protocol above 5")


def _sized(layout: struct.Struct, convert: Callable[[bytes], Any]) -> Callable[[Machine], None]:
    """An opcode whose argument is a length and that many bytes."""
    return lambda m: m.push(convert(m.take(m.number(layout))))


def _value(make: Callable[[], Any]) -> Callable[[Machine], None]:
    return lambda m: m.push(make())


# By the opcodes' characters, in the order of CPython's pickletools.
_ACTIONS: dict[int, Callable[[Machine], None]] = {
    ord(code): action
    for code, action in {
        "I": lambda m: m.push(_parse_integer(m.line())),
        "J": lambda m: m.push(m.number(_I4)),
        "K": lambda m: m.push(m.number(_U1)),
        "M": lambda m: m.push(m.number(_U2)),
        "L": lambda m: m.push(_parse_integer(m.line())),
        "\x8a": _sized(_U1, _integer),
        "\x8b": _sized(_I4, _integer),
        "S": lambda m: m.push(_quoted(m.line())),
        "T": _sized(_I4, _latin),
        "U": _sized(_U1, _latin),
        "B": _sized(_U4, bytes),
        "C": _sized(_U1, bytes),
        "\x8e": _sized(_U8, bytes),
        "\x96": _sized(_U8, bytearray),
        "N": _value(lambda: None),
        "\x88": _value(lambda: True),
        "\x89": _value(lambda: False),
        "V": lambda m: m.push(_raw_unicode(m.line())),
        "\x8c": _sized(_U1, _text),
        "X": _sized(_U4, _text),
        "\x8d": _sized(_U8, _text),
        "F": lambda m: m.push(float(m.line())),
        "G": lambda m: m.push(m.number(_F8)),
        "]": _value(list),
        "a": lambda m: m.extend([m.pop()]),
        "e": lambda m: m.extend(m.pop_group()),
        "l": lambda m: m.push(m.pop_group()),
        ")": _value(tuple),
        "t": lambda m: m.push(tuple(m.pop_group())),
        "\x85": lambda m: _tuple_of(m, 1),
        "\x86": lambda m: _tuple_of(m, 2),
        "\x87": lambda m: _tuple_of(m, 3),
        "}": _value(dict),
        "d": lambda m: m.push(_dict_of(m)),
        "s": _set_one,
        "u": lambda m: m.set_items(m.pop_group()),
        "\x8f": _value(set),
        "\x90": lambda m: m.add_items(m.pop_group()),
        "\x91": _frozen,
        "0": lambda m: m.pop_group() if m.stack and m.stack[-1] is _MARK else m.pop(),
        "2": lambda m: m.push(m.top()),
        "(": lambda m: m.push(_MARK),
        "1": lambda m: m.pop_group(),
        "g": lambda m: m.recall(_parse_integer(m.line())),
        "h": lambda m: m.recall(m.number(_U1)),
        "j": lambda m: m.recall(m.number(_U4)),
        "p": lambda m: m.remember(_parse_integer(m.line())),
        "q": lambda m: m.remember(m.number(_U1)),
        "r": lambda m: m.remember(m.number(_U4)),
        "\x94": lambda m: m.remember(len(m.memo)),
        "c": _named_symbol,
        "\x93": _stack_symbol,
        "R": _reduce,
        "\x81": lambda m: _reduce(m, new=True),
        "b": lambda m: m.build(m.pop()),
        "\x80": _protocol,
        "\x95": lambda m: m.take(8) and None,  # FRAME: only a hint for reading ahead
        "P": lambda m: m.load_storage(_text(m.line())),
        "Q": lambda m: m.load_storage(m.pop()),
    }.items()
}
