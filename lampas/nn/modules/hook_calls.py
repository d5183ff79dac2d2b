"""A module's own hooks: registration, and the call that runs them.

Order of a call: global forward-pre hooks, own forward-pre hooks, border for full backward hooks,
`forward`, global forward hooks, own forward hooks, border again, legacy backward hooks. The
semantics (replacement of inputs and results, `prepend`, `with_kwargs`, `always_call`) are those of
PyTorch's documentation of `torch.nn.Module`.
"""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from lampas.engine.tensor import Tensor
from lampas.nn.modules import hook_table
from lampas.nn.modules.hook_table import BACKWARD, BACKWARD_PRE, FORWARD, FORWARD_PRE
from lampas.utils.hooks import BackwardHook, RemovableHandle

__all__ = ["Hooks"]

Hook = Callable[..., Any]


class Hooks:
    """Mixin: registration of hooks and `__call__`."""

    _backward_hooks: dict[int, Hook]
    _backward_pre_hooks: dict[int, Hook]
    _is_full_backward_hook: bool | None
    _forward_hooks: dict[int, Hook]
    _forward_hooks_with_kwargs: dict[int, bool]
    _forward_hooks_always_called: dict[int, bool]
    _forward_pre_hooks: dict[int, Hook]
    _forward_pre_hooks_with_kwargs: dict[int, bool]
    forward: Hook

    def register_forward_pre_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args[, kwargs])` before `forward`; what it returns replaces the input."""
        handle = RemovableHandle(
            self._forward_pre_hooks, extra_dict=self._forward_pre_hooks_with_kwargs
        )
        self._forward_pre_hooks[handle.id] = hook
        if with_kwargs:
            self._forward_pre_hooks_with_kwargs[handle.id] = True
        return _placed(handle, self._forward_pre_hooks, prepend)

    def register_forward_hook(
        self,
        hook: Hook,
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call `hook(module, args[, kwargs], output)` after `forward`; its result replaces it.

        With `always_call` the hook runs even if `forward` raised.
        """
        handle = RemovableHandle(
            self._forward_hooks,
            extra_dict=[self._forward_hooks_with_kwargs, self._forward_hooks_always_called],
        )
        self._forward_hooks[handle.id] = hook
        if with_kwargs:
            self._forward_hooks_with_kwargs[handle.id] = True
        if always_call:
            self._forward_hooks_always_called[handle.id] = True
        return _placed(handle, self._forward_hooks, prepend)

    def register_full_backward_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_output)` before the module's gradients are computed."""
        handle = RemovableHandle(self._backward_pre_hooks)
        self._backward_pre_hooks[handle.id] = hook
        return _placed(handle, self._backward_pre_hooks, prepend)

    def register_full_backward_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when the gradients of the inputs are known."""
        if self._is_full_backward_hook is False:
            raise RuntimeError(
                "Cannot use both regular backward hooks and full backward hooks on a "
                "single Module. Please use only one of them."
            )
        self._is_full_backward_hook = True
        handle = RemovableHandle(self._backward_hooks)
        self._backward_hooks[handle.id] = hook
        return _placed(handle, self._backward_hooks, prepend)

    def register_backward_hook(self, hook: Hook) -> RemovableHandle:
        """The legacy kind, which sees only the last operation's gradients."""
        if self._is_full_backward_hook is True:
            raise RuntimeError(
                "Cannot use both regular backward hooks and full backward hooks on a "
                "single Module. Please use only one of them."
            )
        self._is_full_backward_hook = False
        handle = RemovableHandle(self._backward_hooks)
        self._backward_hooks[handle.id] = hook
        return handle

    # The call

    def _wrapped_call_impl(self, *args: Any, **kwargs: Any) -> Any:
        state = self.__dict__
        if not (
            state["_forward_hooks"]
            or state["_forward_pre_hooks"]
            or state["_backward_hooks"]
            or state["_backward_pre_hooks"]
            or FORWARD
            or FORWARD_PRE
            or BACKWARD
            or BACKWARD_PRE
            or "_compiled_call_impl" in state
        ):
            return self.forward(*args, **kwargs)
        call = state.get("_compiled_call_impl") or self._call_impl
        return call(*args, **kwargs)

    __call__: Hook = _wrapped_call_impl

    def _call_impl(self, *args: Any, **kwargs: Any) -> Any:
        called: set[int] = set()
        try:
            return self._call_with_hooks(args, kwargs, called)
        except Exception:
            self._run_always_called(args, kwargs, called)
            raise

    def _call_with_hooks(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], called: set[int]
    ) -> Any:
        args, kwargs = self._run_forward_pre_hooks(args, kwargs)
        full, legacy, pre = self._collect_backward_hooks()
        border = BackwardHook(self, full, pre) if full or pre else None
        if border is not None:
            args = border.setup_input_hook(args)
        result = self.forward(*args, **kwargs)
        result = self._run_forward_hooks(args, kwargs, result, called)
        if border is not None:
            if not isinstance(result, Tensor | tuple):
                warnings.warn(
                    "For backward hooks to be called, module output should be a Tensor or a tuple "
                    f"of Tensors but received {type(result)}",
                    stacklevel=3,
                )
            result = border.setup_output_hook(result)
        if legacy:
            self._attach_legacy(result, legacy)
        return result

    def _run_forward_pre_hooks(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        hooks = (*hook_table.FORWARD_PRE.items(), *self._forward_pre_hooks.items())
        for number, hook in hooks:
            if number in self._forward_pre_hooks_with_kwargs:
                replacement = hook(self, args, kwargs)
                if replacement is None:
                    continue
                if not (isinstance(replacement, tuple) and len(replacement) == 2):
                    raise RuntimeError(
                        "forward pre-hook must return None or a tuple "
                        f"of (new_args, new_kwargs), but got {replacement}."
                    )
                args, kwargs = replacement
            else:
                replacement = hook(self, args)
                if replacement is not None:
                    args = replacement if isinstance(replacement, tuple) else (replacement,)
        return args, kwargs

    def _forward_hook_entries(self) -> Iterator[tuple[int, Hook, bool, bool]]:
        for number, hook in (*hook_table.FORWARD.items(), *self._forward_hooks.items()):
            keywords = (
                number in self._forward_hooks_with_kwargs
                or number in hook_table.FORWARD_WITH_KEYWORDS
            )
            always = (
                number in self._forward_hooks_always_called or number in hook_table.FORWARD_ALWAYS
            )
            yield number, hook, keywords, always

    def _run_forward_hooks(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any, called: set[int]
    ) -> Any:
        for number, hook, keywords, always in self._forward_hook_entries():
            if always:
                called.add(number)
            arguments = (self, args, kwargs, result) if keywords else (self, args, result)
            replacement = hook(*arguments)
            if replacement is not None:
                result = replacement
        return result

    def _run_always_called(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], called: set[int]
    ) -> None:
        for number, hook, keywords, always in self._forward_hook_entries():
            if not always or number in called:
                continue
            try:
                hook(*((self, args, kwargs, None) if keywords else (self, args, None)))
            except Exception as error:
                warnings.warn(
                    "module forward hook with ``always_call=True`` raised an exception "
                    f"that was silenced as another error was raised in forward: {error!s}",
                    stacklevel=3,
                )

    def _collect_backward_hooks(self) -> tuple[list[Hook], list[Hook], list[Hook]]:
        pre = [*hook_table.BACKWARD_PRE.values(), *self._backward_pre_hooks.values()]
        full: list[Hook] = []
        legacy: list[Hook] = []
        if hook_table.Switches.full_backward is True:
            full.extend(hook_table.BACKWARD.values())
        elif hook_table.Switches.full_backward is False:
            legacy.extend(hook_table.BACKWARD.values())
        own = full if self._is_full_backward_hook is True else legacy
        own.extend(self._backward_hooks.values())
        return full, legacy, pre

    def _attach_legacy(self, result: Any, hooks: list[Hook]) -> None:
        found = result
        while not isinstance(found, Tensor):
            found = next(iter(found.values())) if isinstance(found, dict) else found[0]
        if found.grad_fn is None:
            return
        for hook in hooks:
            found.grad_fn.register_hook(functools.wraps(hook)(functools.partial(hook, self)))


def _placed(handle: RemovableHandle, hooks: dict[int, Hook], prepend: bool) -> RemovableHandle:
    if prepend:
        assert isinstance(hooks, OrderedDict)
        hooks.move_to_end(handle.id, last=False)
    return handle
