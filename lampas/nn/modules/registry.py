"""What a module owns: parameters, buffers and children, and how they are found again.

Three ordered dictionaries in the instance hold them. Attribute assignment sorts a value into the
right one by its type; reading falls through to them only when the ordinary lookup failed, so
plain attributes cost nothing extra. A name lives in one place at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from lampas.engine.tensor import Tensor
from lampas.engine.watch import CHANGES
from lampas.nn.modules import hook_table
from lampas.nn.parameter import Buffer, Parameter

__all__ = ["Registry"]

Named = Iterator[tuple[str, Any]]


class Registry:
    """Storage and traversal of parameters, buffers and child modules."""

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _non_persistent_buffers_set: set[str]
    _modules: dict[str, Any]

    # Registration

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Register a tensor that belongs to the module's state but is not trained.

        A buffer with `persistent=False` is left out of `state_dict`.
        """
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        CHANGES[0] += 1
        self._check_name(name, "buffer", self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{_typename(tensor)}' object to buffer '{name}' "
                "(torch Tensor or None required)"
            )
        for hook in hook_table.BUFFER_REGISTRATION.values():
            replacement = hook(self, name, tensor)
            if replacement is not None:
                tensor = replacement
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Register a parameter; None keeps the name but holds no parameter."""
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        CHANGES[0] += 1
        self._check_name(name, "parameter", self._parameters)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{_typename(param)}' object to parameter '{name}' "
                "(torch.nn.Parameter or None required)"
            )
        if param is not None and param.grad_fn is not None:
            raise ValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be "
                "created explicitly. To express a parameter as a function of another Tensor, "
                "compute the value in the forward() method."
            )
        for hook in hook_table.PARAMETER_REGISTRATION.values():
            replacement = hook(self, name, param)
            if replacement is not None:
                param = replacement
        self._parameters[name] = param

    def add_module(self, name: str, module: Any) -> None:
        """Register a child module under `name`; None keeps the name without a module."""
        if not isinstance(module, Registry) and module is not None:
            raise TypeError(f"{_typename(module)} is not a Module subclass")
        if not isinstance(name, str):
            raise TypeError(f"module name should be a string. Got {_typename(name)}")
        if hasattr(self, name) and name not in self._modules:
            raise KeyError(f"attribute '{name}' already exists")
        if "." in name:
            raise KeyError(f'module name can\'t contain ".", got: {name}')
        if name == "":
            raise KeyError('module name can\'t be empty string ""')
        CHANGES[0] += 1
        self._modules[name] = self._hooked_module(name, module)

    def register_module(self, name: str, module: Any) -> None:
        """Alias of `add_module`."""
        self.add_module(name, module)

    def _hooked_module(self, name: str, module: Any) -> Any:
        for hook in hook_table.MODULE_REGISTRATION.values():
            replacement = hook(self, name, module)
            if replacement is not None:
                module = replacement
        return module

    def _check_name(self, name: str, kind: str, owner: dict[str, Any]) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {_typename(name)}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain "."')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if hasattr(self, name) and name not in owner:
            raise KeyError(f"attribute '{name}' already exists")

    # Attribute protocol

    def _weight_and_bias(self) -> tuple[Any, Any]:
        """Both as the attributes have them: an attribute that is not found at first takes half a microsecond."""
        own = self._parameters
        try:
            return own["weight"], own["bias"]
        except KeyError:  # pruned, normalised, parametrised
            return self.weight, self.bias

    def __getattr__(self, name: str) -> Any:
        state = self.__dict__
        if "_parameters" in state and name in state["_parameters"]:
            return state["_parameters"][name]
        if "_modules" in state and name in state["_modules"]:
            return state["_modules"][name]
        if "_buffers" in state and name in state["_buffers"]:
            return state["_buffers"][name]
        raise AttributeError(
            f"'{type(self).__name__}' object has no attribute '{name}'", name=name, obj=self
        )

    def __setattr__(self, name: str, value: Any) -> None:
        CHANGES[0] += 1
        state = self.__dict__
        if isinstance(value, Parameter):
            self._need_init(state, "parameters")
            self._remove_from(name, state, self._buffers, self._modules)
            self.register_parameter(name, value)
        elif isinstance(value, Registry):
            self._need_init(state, "module")
            self._remove_from(name, state, self._parameters, self._buffers)
            state["_modules"][name] = self._hooked_module(name, value)
        elif isinstance(value, Buffer):
            self._need_init(state, "buffer")
            self._remove_from(name, state, self._parameters, self._modules)
            self.register_buffer(name, value, value.persistent)
        elif "_parameters" in state and name in state["_parameters"]:
            self._require_none(value, "parameter", name, "torch.nn.Parameter or None")
            self.register_parameter(name, value)
        elif "_modules" in state and name in state["_modules"]:
            self._require_none(value, "child module", name, "torch.nn.Module or None")
            state["_modules"][name] = self._hooked_module(name, value)
        elif "_buffers" in state and name in state["_buffers"]:
            self._set_buffer(name, value)
        else:
            super().__setattr__(name, value)

    def _set_buffer(self, name: str, value: Any) -> None:
        if not isinstance(value, Tensor):
            self._require_none(value, "buffer", name, "torch.nn.Buffer, torch.Tensor or None")
        self.register_buffer(name, value, name not in self._non_persistent_buffers_set)

    @staticmethod
    def _need_init(state: dict[str, Any], kind: str) -> None:
        if "_parameters" not in state:
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call")

    @staticmethod
    def _require_none(value: Any, kind: str, name: str, expected: str) -> None:
        if value is not None:
            raise TypeError(
                f"cannot assign '{_typename(value)}' as {kind} '{name}' ({expected} expected)"
            )

    def _remove_from(self, name: str, *places: dict[str, Any]) -> None:
        for place in places:
            if name in place:
                del place[name]
        if name not in self._buffers:
            self._non_persistent_buffers_set.discard(name)

    def __delattr__(self, name: str) -> None:
        CHANGES[0] += 1
        if name in self._parameters:
            del self._parameters[name]
        elif name in self._buffers:
            del self._buffers[name]
            self._non_persistent_buffers_set.discard(name)
        elif name in self._modules:
            del self._modules[name]
        else:
            super().__delattr__(name)

    def __dir__(self) -> list[str]:
        names = {*dir(type(self)), *self.__dict__}
        names.update(self._parameters, self._buffers, self._modules)
        return sorted(name for name in names if not name[0].isdigit())

    # Lookup by dotted path

    def get_submodule(self, target: str) -> Any:
        """The module at the dotted path `target`; the empty path is the module itself."""
        module: Any = self
        for atom in target.split(".") if target else ():
            module = _descend(module, atom, "module", target)
            if not isinstance(module, Registry):
                raise AttributeError(f"`{atom}` is not an nn.Module")
        return module

    def set_submodule(self, target: str, module: Any, strict: bool = False) -> None:
        """Put `module` at the dotted path `target`; `strict` demands that one was there."""
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Registry):
            raise ValueError(
                f"`module` is not an nn.Module, found {type(module)}",
            )
        parent_path, _, name = target.rpartition(".")
        parent = self.get_submodule(parent_path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
        if hasattr(parent, name) and not isinstance(getattr(parent, name), Registry):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at the dotted path `target`."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        found = _descend(module, name, "", target)
        if not isinstance(found, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return found

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at the dotted path `target`."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        found = _descend(module, name, "", target)
        if name not in module._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        return found

    # Traversal

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Named:
        """Yield `(path, module)` for this module and everything below, parents first."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, path, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Any]:
        """Yield this module and all modules below, each once."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Named:
        """Yield `(name, module)` of the direct children, each module once."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Any]:
        """Yield the direct children."""
        for _, module in self.named_children():
            yield module

    def _named_members(
        self,
        members: Callable[[Any], Any],
        prefix: str = "",
        recurse: bool = True,
        remove_duplicate: bool = True,
    ) -> Named:
        seen = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for path, module in modules:
            for name, value in members(module):
                if value is None or value in seen:
                    continue
                if remove_duplicate:
                    seen.add(value)
                yield (f"{path}.{name}" if path else name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Named:
        """Yield `(path, parameter)`, each parameter once unless `remove_duplicate=False`."""
        yield from self._named_members(
            lambda module: module._parameters.items(), prefix, recurse, remove_duplicate
        )

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters of this module and, with `recurse`, of those below."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Named:
        """Yield `(path, buffer)`, each buffer once unless `remove_duplicate=False`."""
        yield from self._named_members(
            lambda module: module._buffers.items(), prefix, recurse, remove_duplicate
        )

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yield the buffers of this module and, with `recurse`, of those below."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def _get_name(self) -> str:
        return type(self).__name__


def _descend(module: Any, name: str, kind: str, target: str) -> Any:
    if not hasattr(module, name):
        raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
    return getattr(module, name)


def _typename(value: Any) -> str:
    if isinstance(value, Tensor) and not isinstance(value, Parameter):
        return value.type()
    kind = type(value)
    module = kind.__module__
    return kind.__name__ if module in ("builtins", "") else f"{module}.{kind.__name__}"
