"""Parametrizations: a parameter computed from others by modules, every time it is read.

`register_parametrization(module, "weight", P())` moves the parameter to
`module.parametrizations.weight.original`, gives the module a class of its own with a property
`weight`, and from then on `module.weight` is `P()(original)`. A parametrization may offer
`right_inverse`, which turns an assigned value into originals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from lampas.engine.tensor import Tensor, no_grad
from lampas.nn.modules.container import Module, ModuleDict, ModuleList
from lampas.nn.parameter import Parameter

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]


class _Cache:
    """Values of parametrized tensors while a `cached` block is open."""

    depth = 0
    values: dict[tuple[int, str], Tensor | None] = {}  # noqa: RUF012


@contextmanager
def cached() -> Iterator[None]:
    """Inside the block every parametrized tensor is computed once."""
    _Cache.depth += 1
    try:
        yield
    finally:
        _Cache.depth -= 1
        if not _Cache.depth:
            _Cache.values = {}


def _as_originals(value: Any) -> tuple[bool, Sequence[Tensor]]:
    """Whether there is a single original, and the originals."""
    if isinstance(value, Tensor):
        return True, (value,)
    if isinstance(value, Sequence):
        return False, value
    raise ValueError(
        "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
        f"Got {type(value).__name__}"
    )


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, applied in order, and the originals they start from."""

    def __init__(
        self, modules: Sequence[Module], original: Tensor | Parameter, unsafe: bool = False
    ) -> None:
        if not modules:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        with no_grad():
            value: Any = original
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    try:
                        value = module.right_inverse(value)
                    except NotImplementedError:
                        pass
        self.is_tensor, originals = _as_originals(value)
        self.ntensors = len(originals)
        for name, tensor in zip(self._original_names(), originals):
            self._register_original(name, tensor, original)
        if not unsafe:
            made = self()
            if not isinstance(made, Tensor):
                raise ValueError(
                    f"A parametrization must return a tensor. Got {type(made).__name__}."
                )
            _need_same("shape", made.shape, shape)
            _need_same("dtype", made.dtype, dtype)

    def _original_names(self) -> list[str]:
        if self.is_tensor:
            return ["original"]
        return [f"original{number}" for number in range(self.ntensors)]

    def _register_original(self, name: str, tensor: Tensor, source: Tensor) -> None:
        if isinstance(source, Parameter):
            if tensor is source:
                self.register_parameter(name, source)
            else:
                self.register_parameter(name, Parameter(tensor, source.requires_grad))
        else:
            self.register_buffer(name, tensor)

    def right_inverse(self, value: Tensor) -> None:
        """Set the originals so that the parametrized tensor becomes `value`."""
        with no_grad():
            made: Any = value
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(
                        f"parametrization {type(module).__name__} does not implement right_inverse."
                    )
                made = module.right_inverse(made)
            single, originals = _as_originals(made)
            if single != self.is_tensor or len(originals) != self.ntensors:
                raise ValueError(
                    "'right_inverse' must return a Sequence of tensors of length "
                    f"{self.ntensors}. Got a sequence of length {len(originals)}."
                )
            for name, tensor in zip(self._original_names(), originals):
                held = getattr(self, name)
                _need_same("dtype", tensor.dtype, held.dtype)
                held.data = tensor.detach().clone()

    def forward(self) -> Tensor:
        if self.is_tensor:
            value = self[0](self.original)
        else:
            value = self[0](*(getattr(self, name) for name in self._original_names()))
        for number in range(1, len(self)):
            value = self[number](value)
        return value


def _need_same(what: str, made: Any, expected: Any) -> None:
    if made != expected:
        raise ValueError(
            "Registering a parametrization may not change the "
            f"{what} of the tensor, unless `unsafe` flag is enabled.\n"
            f"before: {expected}, after: {made}"
        )


def _give_own_class(module: Module) -> None:
    """Make the module the only instance of a subclass that can carry properties."""
    base = type(module)

    def getstate(self: Any) -> Any:
        raise RuntimeError(
            "Serialization of parametrized modules is only supported through state_dict()."
        )

    def deep_copy(self: Any, memo: dict[int, Any]) -> Any:
        if id(self) in memo:
            return memo[id(self)]
        replica = self.__new__(type(self))
        memo[id(self)] = replica
        replica.__dict__ = deepcopy(self.__dict__, memo)
        return replica

    members = {
        "__getstate__": getstate,
        "__deepcopy__": deep_copy,
        "parametrized_base": base,
        "__module__": base.__module__,
    }
    module.__class__ = type(f"Parametrized{base.__name__}", (base,), members)


def _add_property(module: Module, name: str) -> None:
    def compute(self: Any) -> Tensor:
        return self.parametrizations[name]()

    def read(self: Any) -> Tensor:
        if not _Cache.depth:
            return compute(self)
        key = (id(self), name)
        if _Cache.values.get(key) is None:
            _Cache.values[key] = compute(self)
        value = _Cache.values[key]
        assert value is not None
        return value

    def write(self: Any, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    setattr(type(module), name, property(read, write))


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Compute `module.<tensor_name>` by `parametrization` from now on; several are chained.

    Raises ValueError if the module has no such tensor, or if the shape or dtype would change.
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        held = module.parametrizations[tensor_name]
        if not unsafe:
            value = getattr(module, tensor_name)
            made = parametrization(value)
            if not isinstance(made, Tensor):
                raise ValueError(
                    f"A parametrization must return a tensor. Got {type(made).__name__}."
                )
            _need_same("dtype", made.dtype, value.dtype)
            _need_same("shape", made.shape, value.shape)
        held.append(parametrization)
        held.unsafe |= unsafe
        return module
    if tensor_name not in module._buffers and tensor_name not in module._parameters:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element "
            f"with name '{tensor_name}'"
        )
    original = getattr(module, tensor_name)
    held = ParametrizationList([parametrization], original, unsafe=unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        _give_own_class(module)
        module.parametrizations = ModuleDict()
    _add_property(module, tensor_name)
    module.parametrizations[tensor_name] = held
    return module


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the module, or that tensor of it, has parametrizations."""
    held = getattr(module, "parametrizations", None)
    if held is None or not isinstance(held, ModuleDict):
        return False
    return len(held) > 0 if tensor_name is None else tensor_name in held


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make the tensor an ordinary one again: its present value, or the original."""
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    held = module.parametrizations[tensor_name]
    if leave_parametrized:
        with no_grad():
            value = getattr(module, tensor_name).detach().clone()
    elif held.is_tensor:
        value = held.original
    else:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is "
            "parametrized in terms of a sequence of tensors."
        )
    first = getattr(held, held._original_names()[0])
    if isinstance(first, Parameter):
        # The original keeps its identity, so that an optimizer still trains it.
        if held.is_tensor:
            if leave_parametrized:
                first.data = value
            result: Any = first
        else:
            result = Parameter(value, first.requires_grad)
    else:
        result = value
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    if isinstance(result, Parameter):
        module.register_parameter(tensor_name, result)
    else:
        module.register_buffer(tensor_name, result)
    if not len(module.parametrizations):
        delattr(module, "parametrizations")
        module.__class__ = type_before_parametrizations(module)
    return module


def type_before_parametrizations(module: Module) -> type:
    """The module's class, without the subclass that parametrizations gave it."""
    kind: Any = type(module)
    return getattr(kind, "parametrized_base", kind)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Parametrize `to_module` as `from_module` is, with its originals."""
    if not is_parametrized(from_module):
        return to_module
    names = list(from_module.parametrizations) if tensor_name is None else [tensor_name]
    for name in names:
        source = from_module.parametrizations[name]
        if not hasattr(to_module, name):
            setattr(to_module, name, from_module.parametrizations[name].original)
        for parametrization in source:
            register_parametrization(to_module, name, parametrization)
        target = to_module.parametrizations[name]
        for original in source._original_names():
            setattr(target, original, getattr(source, original))
    return to_module
