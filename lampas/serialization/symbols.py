"""The names that a file may use, and what each constructs from checked arguments.

A name stands for data, never for a Python callable: `torch._utils._rebuild_tensor_v2` is understood,
not called. Classes that the program itself registers with `add_safe_globals` are the only exception.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

import lampas
from lampas.engine.dtype import dtype
from lampas.engine.shape import Size
from lampas.engine.tensor.core import Tensor
from lampas.serialization.machine import Symbol, check_key, refuse, shown
from lampas.serialization.safe_globals import registered
from lampas.serialization.storages import FileStorage, StorageType, check_shape, make_tensor

Arguments = tuple[Any, ...]


class Constructor(Symbol):
    """A symbol that is applied by a function of ours, and takes states by another."""

    def __init__(
        self,
        name: str,
        make: Callable[[Arguments], Any],
        build: Callable[[Any, Any], Any] | None = None,
    ) -> None:
        self.name = name
        self.make = make
        self.give_state = build

    def apply(self, arguments: Arguments) -> Any:
        """Constructs the data."""
        return self.make(arguments)

    def build(self, target: Any, state: Any) -> Any:
        """Gives a state to data that this symbol made."""
        if self.give_state is None:
            refuse(f"{self.name} takes no state")
        return self.give_state(target, state)


class Registered(Symbol):
    """A class or function that the program has declared safe: it is really called."""

    def __init__(self, value: Any) -> None:
        self.name = getattr(value, "__qualname__", "a registered object")
        self.value = value

    def apply(self, arguments: Arguments) -> Any:
        """Calls it."""
        return self.value(*arguments)

    def create(self, arguments: Arguments) -> Any:
        """Makes an instance without its __init__, as pickle does."""
        if not isinstance(self.value, type):
            refuse(f"{self.name} is no class")
        return self.value.__new__(self.value, *arguments)

    def build(self, target: Any, state: Any) -> Any:
        """Gives a state as pickle does."""
        if hasattr(target, "__setstate__"):
            target.__setstate__(state)
        elif isinstance(state, dict):
            target.__dict__.update(state)
        else:
            refuse(f"{self.name} has no __setstate__ for a state that is no dict")
        return target


def _expect(arguments: Arguments, *kinds: Any) -> None:
    """Refuses arguments that are not of the given types, one for one."""
    if len(arguments) != len(kinds):
        refuse(f"it constructs something from {len(arguments)} arguments, not {len(kinds)}")
    for value, kind in zip(arguments, kinds, strict=True):
        if kind is not None and not isinstance(value, kind):
            refuse(f"it constructs something from a {type(value).__name__}")


def _ordered_dict(arguments: Arguments) -> OrderedDict[Any, Any]:
    if not arguments:
        return OrderedDict()
    _expect(arguments, list | tuple)
    result: OrderedDict[Any, Any] = OrderedDict()
    for pair in arguments[0]:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            refuse("it has an OrderedDict of something other than pairs")
        check_key(pair[0])
        result[pair[0]] = pair[1]
    return result


def _give_attributes(target: Any, state: Any) -> Any:
    """A module's state_dict carries `_metadata` as an attribute."""
    if not isinstance(state, dict) or any(type(name) is not str for name in state):
        refuse("it gives a dict a state that is no dict of attributes")
    for name, value in state.items():
        if hasattr(type(target), name):
            refuse("it gives a dict an attribute that hides a method")
        target.__dict__[name] = value
    return target


def _counter(arguments: Arguments) -> Counter[Any]:
    _expect(arguments, *[dict] * len(arguments[:1]))
    result: Counter[Any] = Counter()
    for mapping in arguments:
        for key, count in mapping.items():
            result[key] = count
    return result


def _default_dict(arguments: Arguments) -> defaultdict[Any, Any]:
    factories = {"set": set, "int": int, "float": float, "list": list, "dict": dict}
    if len(arguments) > 1:
        refuse("it has a defaultdict with items in its arguments")
    given = arguments[0] if arguments else None
    if given is None:
        return defaultdict(None)
    name = given.name.rpartition(".")[2] if isinstance(given, Symbol) else ""
    if name not in factories:
        refuse("it has a defaultdict with a factory that is no plain type")
    return defaultdict(factories[name])


def _set(arguments: Arguments, kind: Any = set) -> Any:
    if not arguments:
        return kind()
    _expect(arguments, list | tuple | set | frozenset)
    for item in arguments[0]:
        check_key(item)
    return kind(arguments[0])


def _encoded(arguments: Arguments) -> bytes:
    """Protocol 2 writes bytes as text in Latin-1."""
    _expect(arguments, str, str)
    if arguments[1] not in ("latin1", "latin-1"):
        refuse("it encodes text as something other than Latin-1")
    return arguments[0].encode("latin-1")


def _bytes(arguments: Arguments) -> bytes:
    if arguments:
        refuse("it makes bytes from arguments")
    return b""


def _bytearray(arguments: Arguments) -> bytearray:
    if not arguments:
        return bytearray()
    if len(arguments) == 2:
        return bytearray(_encoded(arguments))
    _expect(arguments, bytes)
    return bytearray(arguments[0])


def _complex(arguments: Arguments) -> complex:
    _expect(arguments, float | int, float | int)
    return complex(*arguments)


def _small_ints(arguments: Arguments) -> None:
    if not 1 <= len(arguments) <= 3:
        refuse("it has a slice or range of a wrong number of arguments")
    if any(value is not None and type(value) is not int for value in arguments):
        refuse("it has a slice or range of something other than integers")


def _slice(arguments: Arguments) -> slice:
    _small_ints(arguments)
    return slice(*arguments)


def _range(arguments: Arguments) -> range:
    _small_ints(arguments)
    return range(*arguments)


def _size(arguments: Arguments) -> Size:
    _expect(arguments, tuple | list)
    check_shape(tuple(arguments[0]))
    return Size(arguments[0])


def _device(arguments: Arguments) -> Any:
    if not 1 <= len(arguments) <= 2 or type(arguments[0]) is not str:
        refuse("it has a device that is no name and number")
    if len(arguments) == 2 and type(arguments[1]) is not int:
        refuse("it has a device that is no name and number")
    try:
        return lampas.device(*arguments)
    except RuntimeError:
        refuse("it has a device of an unknown kind")


def _layout(arguments: Arguments) -> Any:
    if arguments != ("torch.strided",):
        refuse("it has a tensor layout other than strided")
    return lampas.strided


def _tensor(arguments: Arguments) -> Tensor:
    """_rebuild_tensor_v2: (storage, offset, size, stride, requires_grad, hooks[, metadata])."""
    if len(arguments) == 4:
        arguments = (*arguments, False, OrderedDict())
    _expect(arguments[:6], FileStorage, int, tuple, tuple, bool, dict)
    storage, offset, shape, strides, requires_grad = arguments[:5]
    if len(arguments) > 7 or (len(arguments) == 7 and arguments[6]):
        refuse("it has a tensor with metadata that is not understood")
    return make_tensor(storage, offset, tuple(shape), strides, requires_grad)


def _tensor_of_dtype(arguments: Arguments) -> Tensor:
    """_rebuild_tensor_v3: the dtype stands after the hooks, and the storage is bytes."""
    if len(arguments) not in (7, 8):
        refuse("it has a tensor of a wrong number of arguments")
    _expect(arguments[:7], FileStorage, int, tuple, tuple, bool, dict, dtype)
    storage, offset, shape, strides, requires_grad, _, kind = arguments[:7]
    return make_tensor(storage, offset, tuple(shape), strides, requires_grad, kind)


def _meta_tensor(arguments: Arguments) -> Tensor:
    _expect(arguments, dtype, tuple, tuple, bool)
    kind, shape, _, requires_grad = arguments
    check_shape(shape)
    return lampas.empty(shape, dtype=kind, device="meta", requires_grad=requires_grad)


def _parameter(arguments: Arguments) -> Tensor:
    """_rebuild_parameter: (data, requires_grad, hooks)."""
    if len(arguments) not in (3, 4):
        refuse("it has a parameter of a wrong number of arguments")
    _expect(arguments[:3], Tensor, bool, dict)
    parameter = lampas.nn.Parameter(arguments[0], requires_grad=arguments[1])
    return parameter if len(arguments) == 3 else _with_attributes(parameter, arguments[3])


def _with_attributes(tensor: Tensor, state: Any) -> Tensor:
    """Python attributes that the program had set on a tensor."""
    if isinstance(state, tuple) and len(state) == 2 and not state[1]:
        state = state[0]
    if not isinstance(state, dict) or any(type(name) is not str for name in state):
        refuse("it gives a tensor a state that is no dict of attributes")
    for name, value in state.items():
        if hasattr(Tensor, name):
            refuse("it gives a tensor an attribute that hides a method")
        setattr(tensor, name, value)
    return tensor


def _tensor_of_type(arguments: Arguments) -> Tensor:
    """_rebuild_from_type_v2: (function, class, its arguments, attributes)."""
    _expect(arguments, Constructor, Symbol, tuple, None)
    function, kind, inner, state = arguments
    if kind.name not in ("torch.Tensor", "torch.nn.parameter.Parameter"):
        refuse("it has a tensor of an unknown class")
    tensor = function.apply(inner)
    if not isinstance(tensor, Tensor):
        refuse("it has a tensor that is made from something else")
    return _with_attributes(tensor, state)


def _array_type(arguments: Arguments) -> np.dtype[Any]:
    """numpy.dtype: only plain numbers, booleans and texts are read."""
    if len(arguments) != 3 or type(arguments[0]) is not str:
        refuse("it has a NumPy dtype that is not understood")
    code = arguments[0]
    if code[:1] not in tuple("biufcSU") or not code[1:].isdigit() or len(code) > 9:
        refuse("it has a NumPy array of something other than numbers")
    return np.dtype(code)


def _array_type_state(target: np.dtype[Any], state: Any) -> np.dtype[Any]:
    if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
        refuse("it has a NumPy dtype that is not understood")
    if len(state) > 4 and any(part is not None for part in state[2:5]):
        refuse("it has a NumPy array of something other than numbers")
    return target.newbyteorder(">") if state[1] == ">" else target


def _array_scalar(arguments: Arguments) -> Any:
    _expect(arguments, np.dtype, bytes)
    kind = arguments[0]
    if len(arguments[1]) != kind.itemsize:
        refuse("it has a NumPy number of a wrong size")
    return np.frombuffer(arguments[1], kind)[0]


def _empty_array(arguments: Arguments) -> np.ndarray:
    return np.empty(0, np.uint8)


def _array_state(target: np.ndarray, state: Any) -> np.ndarray:
    """(version, shape, dtype, column-major, bytes)."""
    if type(state) is not tuple or len(state) != 5:
        refuse("it has a NumPy array that is not understood")
    _, shape, kind, column_major, data = state
    check_shape(shape)
    if not isinstance(kind, np.dtype) or type(data) is not bytes:
        refuse("it has a NumPy array of something other than numbers")
    flat = np.frombuffer(data, kind)
    if flat.size != int(np.prod(shape, dtype=object)):
        refuse("it has a NumPy array whose size is not its data's")
    return flat.reshape(shape, order="F" if column_major else "C").copy()


_STORAGE_TYPES = {
    "DoubleStorage": lampas.float64,
    "FloatStorage": lampas.float32,
    "HalfStorage": lampas.float16,
    "BFloat16Storage": lampas.bfloat16,
    "LongStorage": lampas.int64,
    "IntStorage": lampas.int32,
    "ShortStorage": lampas.int16,
    "CharStorage": lampas.int8,
    "ByteStorage": lampas.uint8,
    "BoolStorage": lampas.bool,
    "ComplexFloatStorage": lampas.complex64,
    "ComplexDoubleStorage": lampas.complex128,
}
_DTYPES = {
    "float64": lampas.float64,
    "float32": lampas.float32,
    "float16": lampas.float16,
    "bfloat16": lampas.bfloat16,
    "complex64": lampas.complex64,
    "complex128": lampas.complex128,
    "int64": lampas.int64,
    "int32": lampas.int32,
    "int16": lampas.int16,
    "int8": lampas.int8,
    "uint8": lampas.uint8,
    "bool": lampas.bool,
}


def _named(name: str, make: Any, build: Any = None) -> tuple[str, Constructor]:
    return name, Constructor(name, make, build)


def _not_a_function(name: str) -> Callable[[Arguments], NoReturn]:
    return lambda arguments: refuse(f"{name} cannot be applied")


_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
SYMBOLS: dict[str, Any] = {
    **{f"torch.{name}": StorageType(name, kind) for name, kind in _STORAGE_TYPES.items()},
    "torch.storage.UntypedStorage": StorageType("UntypedStorage", None),
    "torch.UntypedStorage": StorageType("UntypedStorage", None),
    **{f"torch.{name}": kind for name, kind in _DTYPES.items()},
    **dict(
        [
            _named("collections.OrderedDict", _ordered_dict, _give_attributes),
            _named("collections.Counter", _counter),
            _named("collections.defaultdict", _default_dict),
            _named("_codecs.encode", _encoded),
            _named("torch.Size", _size),
            _named("torch.device", _device),
            _named("torch.serialization._get_layout", _layout),
            _named("torch._utils._rebuild_tensor", _tensor),
            _named("torch._utils._rebuild_tensor_v2", _tensor),
            _named("torch._utils._rebuild_tensor_v3", _tensor_of_dtype),
            _named("torch._utils._rebuild_meta_tensor_no_storage", _meta_tensor),
            _named("torch._utils._rebuild_parameter", _parameter),
            _named("torch._utils._rebuild_parameter_with_state", _parameter),
            _named("torch._tensor._rebuild_from_type_v2", _tensor_of_type),
            _named("torch.Tensor", _not_a_function("torch.Tensor")),
            _named("torch.nn.parameter.Parameter", _not_a_function("Parameter")),
            _named("numpy.dtype", _array_type, _array_type_state),
            _named("numpy.ndarray", _not_a_function("numpy.ndarray")),
        ]
    ),
    **dict(_named(f"{module}.scalar", _array_scalar) for module in _NUMPY),
    **dict(_named(f"{module}._reconstruct", _empty_array, _array_state) for module in _NUMPY),
}
for _module in ("builtins", "__builtin__"):
    SYMBOLS.update(
        dict(
            [
                _named(f"{_module}.set", _set),
                _named(f"{_module}.frozenset", lambda given: _set(given, frozenset)),
                _named(f"{_module}.complex", _complex),
                _named(f"{_module}.bytes", _bytes),
                _named(f"{_module}.bytearray", _bytearray),
                _named(f"{_module}.slice", _slice),
                _named(f"{_module}.range", _range),
                _named(f"{_module}.xrange", _range),
                *[
                    _named(f"{_module}.{plain}", _not_a_function(plain))
                    for plain in ("int", "float", "list", "dict")
                ],
            ]
        )
    )


def find_symbol(module: str, name: str) -> Any:
    """What a file's name stands for. Refuses every name that is not in the table."""
    full = f"{module}.{name}"
    if full in SYMBOLS:
        return SYMBOLS[full]
    safe = registered(full)
    if safe is not None:
        return Registered(safe)
    refuse(
        f"it needs {shown(full)}, which is code or an unknown type. Nothing in a file is ever "
        "executed. If this is a class of yours that may be constructed, register it with "
        "lampas.serialization.add_safe_globals([...]); to load a whole pickled object, code "
        "included, from a source that you trust, use lampas.load(..., unsafe=True)"
    )
