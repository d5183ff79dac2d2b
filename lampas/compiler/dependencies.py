"""What a call's outcome can depend on, found by following all names that its Python code looks at.

From the function, its globals, cells and defaults, and the arguments' objects the search goes on through containers,
plain objects (those attributes that some code names), modules and optimizers, down to tensors and to values that cannot
change.  On the way it writes guards: comparisons by identity which, while they hold, say that the same objects are
there.  What cannot be guarded (an iterator, an open file, NumPy) is a `Refusal`.

Guards are (kind, container, key, value):

| kind     | holds while                                                     |
|----------|-----------------------------------------------------------------|
| item     | `container.get(key, MISSING) is value`                          |
| cell     | `container.cell_contents is value`                              |
| sequence | the container has just the objects `value`, in their order      |
| keys     | the dict has just the keys `value`, in their order              |
"""

from __future__ import annotations

import builtins
import enum
import functools
import inspect
from collections import OrderedDict, deque
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    SimpleNamespace,
)
from typing import TYPE_CHECKING, Any, Final, final

import lampas
from lampas.compiler.inspection import Refusal, is_ours, is_standard, reads_of
from lampas.engine.dtype import dtype
from lampas.engine.shape import Size
from lampas.engine.tensor import Tensor
from lampas.engine.tensor.device import device
from lampas.engine.watch import CHANGES
from lampas.nn.modules import hook_table
from lampas.nn.modules.module import HOOK_DICTIONARIES, INSTANCE_DICTIONARIES, Module
from lampas.nn.parameter import Buffer, Parameter
from lampas.optim.elementwise import ElementwiseOptimizer
from lampas.optim.optimizer import Optimizer

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

Guard = tuple[str, Any, Any, Any]

MISSING: Final = object()
UNCHANGING = (
    type(None), bool, int, float, complex, str, bytes, type(...), range, slice, dtype, device, Size, enum.Enum,
    BuiltinFunctionType, MethodDescriptorType,
)  # fmt: skip
PURE_MODULES = frozenset({"math", "operator", "functools", "itertools", "typing", "collections"})
ITEMS_FOLLOWED = 1024  # of one container
OWN_NAMES = frozenset({*INSTANCE_DICTIONARIES, "_non_persistent_buffers_set", "training"})
STATE_OF_OPTIMIZERS = frozenset({"param_groups", "state", "defaults", "state_dict", "get_last_lr"})
CALL_HOOKS = tuple([name for name in HOOK_DICTIONARIES if "state_dict" not in name])
TENSORS = (Tensor, Parameter, Buffer)


class Dependencies:
    """The search; `codes` are the code objects that ran, with their globals."""

    def __init__(self, codes: dict[CodeType, dict[str, Any]]) -> None:
        self.codes = codes
        self.attributes = frozenset().union(*(reads_of(code).attributes for code in codes))
        self.guards: list[Guard] = []
        self.tensors: dict[int, Tensor] = {}
        self.modules: dict[int, Module] = {}
        self.optimizers: dict[int, ElementwiseOptimizer] = {}
        self.met: dict[int, Any] = {}  # by id, kept alive
        self.known: set[CodeType] = set()
        self.state = ModuleState(())

    def find(self, function: Any, arguments: list[Any]) -> None:
        """Follow everything; raise `Refusal` where that is impossible."""
        if hook_table.any_call_hook():
            raise Refusal("hooks are registered for all modules")
        self.follow(function, "the function")
        for argument in arguments:
            if type(argument) not in TENSORS:
                self.follow(argument, "an argument")
        for code, names in self.codes.items():
            if code not in self.known and not is_standard(code.co_filename):
                self.follow_code(code, names)
                self.check_cells(code)
        self.state = ModuleState(self.modules.values())
        if self.optimizers and self.attributes & STATE_OF_OPTIMIZERS:
            named = ", ".join(sorted(self.attributes & STATE_OF_OPTIMIZERS))
            raise Refusal(f"it looks into an optimizer ({named})")

    def check_cells(self, code: CodeType) -> None:
        """A function that was met only as it ran may use outer variables of functions that ran too."""
        inner = {c for outer in self.codes for c in outer.co_consts if isinstance(c, CodeType)}
        if set(code.co_freevars) - {"__class__"} and code not in inner:
            raise Refusal(f"{code.co_name} has outer variables that cannot be found")

    def guard(self, kind: str, container: Any, key: Any, value: Any) -> None:
        """Write a guard."""
        self.guards.append((kind, container, key, value))

    def hold(self) -> bool:
        """Whether all guards hold."""
        return self.state.is_unchanged() and all(_holds(*guard) for guard in self.guards)

    # ---- values -------------------------------------------------------------------------------------------------

    def follow(self, value: Any, what: str) -> None:
        """Follow a value that is itself guarded, or cannot be another."""
        if isinstance(value, UNCHANGING) or value is MISSING or id(value) in self.met:
            return
        self.met[id(value)] = value
        kind = type(value)
        if isinstance(value, Tensor):
            self.follow_tensor(value, what)
        elif isinstance(value, Module):
            self.follow_module(value)
        elif isinstance(value, Optimizer):
            self.follow_optimizer(value)
        elif isinstance(value, ModuleType):
            self.follow_namespace(value, what)
        elif isinstance(value, FunctionType):
            self.follow_function(value)
        elif isinstance(value, MethodType):
            self.follow(value.__self__, what)
            self.follow(value.__func__, what)
        elif isinstance(value, functools.partial):
            for part in (value.func, *value.args, *value.keywords.values()):
                self.follow(part, what)
        elif isinstance(value, type):
            self.follow_class(value)
        elif kind in (list, tuple, set, frozenset, deque) or (
            isinstance(value, tuple) and hasattr(value, "_fields")
        ):
            self.follow_items(list(value), what)
            if kind is not tuple:
                self.guard("sequence", value, None, list(value))
        elif isinstance(value, dict) and kind in (dict, OrderedDict):
            self.follow_items(list(value.values()), what)
            self.guard("keys", value, None, list(value))
            self.guard("sequence", value.values(), None, list(value.values()))
        else:
            self.follow_object(value, what)

    def follow_items(self, items: list[Any], what: str) -> None:
        """The items of a container."""
        if len(items) > ITEMS_FOLLOWED:
            raise Refusal(f"{what} is a container of {len(items)} objects")
        for item in items:
            self.follow(item, f"an item of {what}")

    def follow_tensor(self, tensor: Tensor, what: str) -> None:
        """A tensor that the call may read or write."""
        if type(tensor) not in TENSORS:
            raise Refusal(f"{what} is a {type(tensor).__name__}")
        self.tensors[id(tensor)] = tensor

    def follow_object(self, value: Any, what: str) -> None:
        """An object of a class that is written in Python: the attributes that some code names."""
        kind = type(value)
        if is_of_ours(kind) and kind.__module__.partition(".")[2].startswith("optim.lr_scheduler"):
            raise Refusal(f"{what} is a {kind.__name__}: call it outside")
        usual = kind is SimpleNamespace or kind.__getattribute__ is object.__getattribute__
        plain = usual and not hasattr(kind, "__getattr__")
        if not plain or not hasattr(value, "__dict__"):
            raise Refusal(f"{what} is a {kind.__name__}, whose changes are not seen")
        self.follow_class(kind)
        own = vars(value)
        for name in sorted(self.attributes):
            found = own.get(name, MISSING)
            if found is not MISSING or hasattr(kind, name):
                self.guard("item", own, name, found)
                self.follow(found, f"{kind.__name__}.{name}")

    # ---- code ---------------------------------------------------------------------------------------------------

    def follow_function(self, function: FunctionType) -> None:
        """Cells, defaults and globals of a function that is not ours."""
        wrapped = getattr(function, "__wrapped__", None)
        if wrapped is not None:
            self.follow(wrapped, function.__name__)
        if is_ours(function.__code__.co_filename) or is_standard(function.__code__.co_filename):
            return
        for name, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        ):
            try:
                contents = cell.cell_contents
            except ValueError:
                raise Refusal(f"{function.__name__}'s outer variable {name} has no value") from None
            self.guard("cell", cell, None, contents)
            self.follow(contents, name)
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self.follow(value, f"a default of {function.__name__}")
        self.known.add(function.__code__)
        self.follow_code(function.__code__, function.__globals__)

    def follow_code(self, code: CodeType, names: dict[str, Any]) -> None:
        """The globals that code reads."""
        for name in sorted(reads_of(code).globals):
            found = names.get(name, MISSING)
            self.guard("item", names, name, found)
            if found is MISSING and not hasattr(builtins, name):
                continue
            self.follow(found, name)

    def follow_class(self, kind: type) -> None:
        """A class: its functions that ran, and the attributes that some code names."""
        for each in kind.__mro__:
            if is_of_ours(each) or each.__module__ == "builtins" or id(each) in self.met:
                continue
            self.met[id(each)] = each
            for name, value in vars(each).items():
                if name in self.attributes:
                    self.guard("item", vars(each), name, value)
                for function in functions_in(value):
                    if function.__code__ in self.codes:
                        self.follow(function, name)
                if name in self.attributes and not callable(value):
                    self.follow(value, f"{each.__name__}.{name}")

    def follow_namespace(self, module: ModuleType, what: str) -> None:
        """A Python module: ours and pure ones are trusted, those of others are guarded, attribute by attribute."""
        name = module.__name__
        if module is lampas or name.split(".")[0] == "lampas" or name in PURE_MODULES:
            return
        filename = getattr(module, "__file__", None)
        if filename is None or is_standard(filename):
            raise Refusal(f"{what} is the module {name}")
        for attribute in sorted(self.attributes & vars(module).keys()):
            value = vars(module)[attribute]
            self.guard("item", vars(module), attribute, value)
            self.follow(value, f"{name}.{attribute}")

    # ---- modules and optimizers ---------------------------------------------------------------------------------

    def follow_module(self, root: Module) -> None:
        """A network: its tensors, what its code reads, and that there are no hooks."""
        for module in root.modules():
            if module is not root and id(module) in self.met:
                continue
            self.met[id(module)] = self.modules[id(module)] = module
            state = vars(module)
            for name in HOOK_DICTIONARIES:
                if name in CALL_HOOKS and state.get(name):
                    raise Refusal(f"{type(module).__name__} has hooks ({name})")
            for owner in (module._parameters, module._buffers):
                for name, tensor in owner.items():
                    self.guard("item", owner, name, tensor)
                    if tensor is not None:
                        self.follow(tensor, f"{type(module).__name__}.{name}")
            for name, value in state.items():
                if name in self.attributes and name not in OWN_NAMES:
                    self.follow(value, f"{type(module).__name__}.{name}")
            self.follow_class(type(module))

    def follow_optimizer(self, optimizer: Optimizer) -> None:
        """An optimizer whose step can be taken without its Python code."""
        kind = type(optimizer)
        if not isinstance(optimizer, ElementwiseOptimizer) or not optimizer._plans_by_step:
            raise Refusal(f"{kind.__name__} computes its steps in Python")
        steps = ElementwiseOptimizer.step, ElementwiseOptimizer._update_group
        if (type(optimizer).step, type(optimizer)._update_group) != steps:
            raise Refusal(f"{kind.__name__} has a step of its own")
        if optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:
            raise Refusal(f"{kind.__name__} has hooks")
        self.optimizers[id(optimizer)] = optimizer
        own = vars(optimizer)
        self.guard("item", own, "state", optimizer.state)
        self.guard("item", own, "param_groups", optimizer.param_groups)
        self.guard("sequence", optimizer.param_groups, None, list(optimizer.param_groups))
        for group in optimizer.param_groups:
            if group.get("differentiable"):
                raise Refusal(f"{kind.__name__} is differentiable")
            self.guard("item", group, "params", group["params"])
            self.guard("sequence", group["params"], None, list(group["params"]))
            for parameter in group["params"]:
                self.follow(parameter, "a parameter")
                self.follow_state(optimizer.state, parameter)

    def follow_state(self, states: dict[Any, Any], parameter: Tensor) -> None:
        """What an optimizer keeps of a parameter."""
        state = states.get(parameter, MISSING)
        self.guard("item", states, parameter, state)
        if state is MISSING:
            return
        for name, value in state.items():
            if isinstance(value, Tensor):
                self.guard("item", state, name, value)
                if name != "step":
                    self.follow(value, name)


@final
class ModuleState:
    """The attributes and children of modules as they were; `seen` is the count of changes up to which they are so."""

    def __init__(self, modules: Iterable[Module]) -> None:
        self.rows = [
            (vars(m), m._modules, [*vars(m).values()], [*m._modules.values()]) for m in modules
        ]
        self.seen = CHANGES[0]

    def is_unchanged(self) -> bool:
        """Whether all is as it was, though something somewhere was changed."""
        for own, children, values, below in self.rows:
            if not (_are_same(own.values(), values) and _are_same(children.values(), below)):
                return False
            if any(own[name] for name in CALL_HOOKS):
                return False
        self.seen = CHANGES[0]
        return True


def _holds(kind: str, container: Any, key: Any, value: Any) -> bool:
    if kind == "item":
        return container.get(key, MISSING) is value
    if kind == "cell":
        return container.cell_contents is value
    if kind == "keys":
        return [*container] == value
    return _are_same(container, value)


def _are_same(now: Collection[Any], then: Collection[Any]) -> bool:
    return len(now) == len(then) and all(a is b for a, b in zip(now, then, strict=True))


def is_of_ours(kind: type) -> bool:
    """Whether a class is from this package."""
    return kind.__module__.split(".")[0] == "lampas"


def functions_in(value: Any) -> list[FunctionType]:
    """The Python functions that a class attribute stands for."""
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    parts = (value.fget, value.fset, value.fdel) if isinstance(value, property) else (value,)
    unwrapped = [inspect.unwrap(part) for part in parts if callable(part)]
    return [part for part in unwrapped if isinstance(part, FunctionType)]
