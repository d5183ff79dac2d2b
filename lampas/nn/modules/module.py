"""`Module`: the base of every layer and model.

The class joins four subjects, a file each: what a module owns (`registry`), its hooks and its call
(`hook_calls`), its saved state (`state`); here stand construction, conversion between dtypes and
devices, training mode, gradients and the printed tree. The functions at the end register hooks for
all modules at once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

import lampas
from lampas.engine.dtype import dtype as DType
from lampas.engine.tensor import Tensor, empty_like, no_grad
from lampas.nn.modules import hook_table
from lampas.nn.modules.hook_calls import Hooks
from lampas.nn.modules.registry import Registry
from lampas.nn.modules.state import State
from lampas.nn.parameter import is_lazy
from lampas.utils.hooks import RemovableHandle

__all__ = [
    "Module",
    "register_module_backward_hook",
    "register_module_buffer_registration_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
]

Self = TypeVar("Self", bound="Module")
Hook = Callable[..., Any]

INSTANCE_DICTIONARIES = (
    "_parameters",
    "_buffers",
    "_backward_pre_hooks",
    "_backward_hooks",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
    "_modules",
)
HOOK_DICTIONARIES = INSTANCE_DICTIONARIES[2:-1]


def _forward_unimplemented(self: Any, *input: Any) -> None:
    """Compute the module's result; every subclass defines it.

    Call the module itself rather than this method, so that the hooks run.
    """
    raise NotImplementedError(
        f'Module [{type(self).__name__}] is missing the required "forward" function'
    )


class Module(Registry, Hooks, State):
    """Base class of layers and models.

    Subclasses call `super().__init__()`, assign parameters, buffers and other modules to
    attributes, and define `forward`.

    >>> class Doubler(Module):
    ...     def forward(self, x):
    ...         return x * 2
    >>> Doubler()(21)
    42
    """

    dump_patches: bool = False
    call_super_init: bool = False
    forward: Hook = _forward_unimplemented
    _compiled_call_impl: Hook | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not self.call_super_init and kwargs:
            raise TypeError(
                f"{type(self).__name__}.__init__() got an unexpected keyword argument "
                f"'{next(iter(kwargs))}'"
            )
        if not self.call_super_init and args:
            raise TypeError(
                f"{type(self).__name__}.__init__() takes 1 positional argument but "
                f"{len(args) + 1} were given"
            )
        state = self.__dict__
        state["training"] = True
        state["_parameters"] = {}
        state["_buffers"] = {}
        state["_non_persistent_buffers_set"] = set()
        state["_is_full_backward_hook"] = None
        for name in HOOK_DICTIONARIES:
            state[name] = OrderedDict()
        state["_modules"] = {}
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for name in HOOK_DICTIONARIES:
            self.__dict__.setdefault(name, OrderedDict())
        self.__dict__.setdefault("_non_persistent_buffers_set", set())
        self.__dict__.setdefault("_is_full_backward_hook", None)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state.pop("_compiled_call_impl", None)
        return state

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Have this module's calls go through `lampas.compile`, which takes the same arguments."""
        self._compiled_call_impl = lampas.compile(self._call_impl, *args, **kwargs)

    # Conversion

    def apply(self: Self, fn: Callable[[Module], None]) -> Self:
        """Call `fn` on every module below, children first, then on this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _apply(self: Self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        if recurse:
            for module in self.children():
                module._apply(fn)
        for parameter in self._parameters.values():
            if parameter is None:
                continue
            with no_grad():
                parameter.data = fn(parameter if is_lazy(parameter) else parameter.data)
            gradient = parameter.grad
            if gradient is not None:
                with no_grad():
                    converted = fn(gradient)
                parameter.grad = converted.requires_grad_(gradient.requires_grad)
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    def _apply_to_floating(self: Self, convert: Callable[[Tensor], Tensor]) -> Self:
        return self._apply(lambda t: convert(t) if t.is_floating_point() else t)

    def float(self: Self) -> Self:
        """Cast floating-point parameters and buffers to float32."""
        return self._apply_to_floating(lambda tensor: tensor.float())

    def double(self: Self) -> Self:
        """Cast floating-point parameters and buffers to float64."""
        return self._apply_to_floating(lambda tensor: tensor.double())

    def half(self: Self) -> Self:
        """Cast floating-point parameters and buffers to float16."""
        return self._apply_to_floating(lambda tensor: tensor.half())

    def bfloat16(self: Self) -> Self:
        """Cast floating-point parameters and buffers to bfloat16."""
        return self._apply_to_floating(lambda tensor: tensor.bfloat16())

    def type(self: Self, dst_type: Any) -> Self:
        """Cast all parameters and buffers to `dst_type`."""
        return self._apply(lambda tensor: tensor.type(dst_type))

    def cpu(self: Self) -> Self:
        """Move all parameters and buffers to the CPU."""
        return self._apply(lambda tensor: tensor.cpu())

    def cuda(self: Self, device: Any = None) -> Self:
        """Move all parameters and buffers to a CUDA device, or raise as `Tensor.cuda` does."""
        return self._apply(lambda tensor: tensor.cuda(device))

    def to(self: Self, *args: Any, **kwargs: Any) -> Self:
        """Move and cast in place: `to(device, dtype, non_blocking)`, `to(dtype)`, `to(tensor)`.

        Only floating-point and complex tensors are cast; all are moved. Raises TypeError for an
        integer dtype.
        """
        device, dtype, non_blocking, memory_format = _parse_to(*args, **kwargs)
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(
                "nn.Module.to only accepts floating point or complex dtypes, "
                f"but got desired dtype={dtype}"
            )

        def convert(tensor: Tensor) -> Tensor:
            target = dtype if tensor.is_floating_point() or tensor.is_complex() else None
            options: dict[str, Any] = {"non_blocking": non_blocking}
            if memory_format is not None and not is_lazy(tensor) and tensor.dim() in (4, 5):
                options["memory_format"] = memory_format
            if device is not None:
                options["device"] = device
            if target is not None:
                options["dtype"] = target
            return tensor.to(**options) if len(options) > 1 else tensor

        return self._apply(convert)

    def to_empty(self: Self, *, device: Any, recurse: bool = True) -> Self:
        """Move to `device` without copying values: memory is uninitialised afterwards."""
        return self._apply(lambda tensor: empty_like(tensor, device=device), recurse=recurse)

    def share_memory(self: Self) -> Self:
        """Move all parameters and buffers to memory that other processes can map."""
        return self._apply(lambda tensor: tensor.share_memory_())

    # Mode and gradients

    def train(self: Self, mode: bool = True) -> Self:
        """Set training mode here and below. Raises ValueError if `mode` is not a bool."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self: Self) -> Self:
        """Set evaluation mode: the same as `train(False)`."""
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Switch gradients of all parameters on or off."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the parameters' gradients, or fill them with zeros."""
        for parameter in self.parameters():
            gradient = parameter.grad
            if gradient is None:
                continue
            if set_to_none:
                parameter.grad = None
            else:
                if gradient.grad_fn is not None:
                    gradient.detach_()
                else:
                    gradient.requires_grad_(False)
                gradient.zero_()

    # Printing and copying

    def extra_repr(self) -> str:
        """What stands between the parentheses of the printed module."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [
            f"({name}): {_indented(repr(module))}" for name, module in self._modules.items()
        ]
        if len(lines) == 1 and not children:
            return f"{self._get_name()}({lines[0]})"
        if not lines and not children:
            return f"{self._get_name()}()"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines + children) + "\n)"

    def _replicate_for_data_parallel(self: Self) -> Self:
        replica = self.__new__(type(self))
        replica.__dict__ = self.__dict__.copy()
        replica._parameters = {}
        replica._buffers = replica._buffers.copy()
        replica._modules = replica._modules.copy()
        replica.__dict__["_is_replica"] = True
        return replica


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def _parse_to(
    *args: Any,
    device: Any = None,
    dtype: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: Any = None,
    tensor: Any = None,
) -> tuple[Any, Any, bool, Any]:
    rest = list(args)
    if tensor is not None:
        rest.insert(0, tensor)
    if rest and isinstance(rest[0], Tensor):
        other = rest.pop(0)
        device, dtype = other.device, other.dtype
    elif rest and isinstance(rest[0], DType):
        dtype = rest.pop(0)
    elif rest:
        device = rest.pop(0)
        if rest and (rest[0] is None or isinstance(rest[0], DType)):
            dtype = rest.pop(0)
    if dtype is not None and not isinstance(dtype, DType):
        raise TypeError(f"to() received an invalid combination of arguments: dtype={dtype!r}")
    if rest:
        non_blocking = rest.pop(0)
    return device, dtype, non_blocking, memory_format


# Hooks on all modules


def _global_hook(table: Any, hook: Hook, extras: Any = None) -> RemovableHandle:
    handle = RemovableHandle(table, extra_dict=extras)
    table[handle.id] = hook
    return handle


def register_module_forward_pre_hook(hook: Hook) -> RemovableHandle:
    """Call `hook(module, args)` before the forward of every module."""
    return _global_hook(hook_table.FORWARD_PRE, hook)


def register_module_forward_hook(
    hook: Hook, *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Call `hook(module, args, output)` after the forward of every module."""
    extras = [hook_table.FORWARD_WITH_KEYWORDS, hook_table.FORWARD_ALWAYS]
    handle = _global_hook(hook_table.FORWARD, hook, extras)
    if with_kwargs:
        hook_table.FORWARD_WITH_KEYWORDS[handle.id] = True
    if always_call:
        hook_table.FORWARD_ALWAYS[handle.id] = True
    return handle


def _need_kind(full: bool) -> None:
    kind = hook_table.Switches.full_backward
    if kind is not None and kind is not full:
        raise RuntimeError(
            "Cannot use both regular backward hooks and full backward hooks as a "
            "global Module hook. Please use only one of them."
        )
    hook_table.Switches.full_backward = full


def register_module_backward_hook(hook: Hook) -> RemovableHandle:
    """Call the legacy backward hook on every module."""
    _need_kind(False)
    return _global_hook(hook_table.BACKWARD, hook)


def register_module_full_backward_pre_hook(hook: Hook) -> RemovableHandle:
    """Call `hook(module, grad_output)` before the backward of every module."""
    return _global_hook(hook_table.BACKWARD_PRE, hook)


def register_module_full_backward_hook(hook: Hook) -> RemovableHandle:
    """Call `hook(module, grad_input, grad_output)` after the backward of every module."""
    _need_kind(True)
    return _global_hook(hook_table.BACKWARD, hook)


def register_module_buffer_registration_hook(hook: Hook) -> RemovableHandle:
    """Call `hook(module, name, buffer)` whenever a buffer is registered."""
    return _global_hook(hook_table.BUFFER_REGISTRATION, hook)


def register_module_module_registration_hook(hook: Hook) -> RemovableHandle:
    """Call `hook(module, name, child)` whenever a child is registered."""
    return _global_hook(hook_table.MODULE_REGISTRATION, hook)


def register_module_parameter_registration_hook(hook: Hook) -> RemovableHandle:
    """Call `hook(module, name, parameter)` whenever a parameter is registered."""
    return _global_hook(hook_table.PARAMETER_REGISTRATION, hook)
