"""Handles that take hooks out again, and the pair of identity nodes behind module backward hooks.

A hook dictionary maps a running number to a callable. A `RemovableHandle` remembers the
dictionary weakly, so that a handle never keeps a dead module alive, and the number, so that
removing twice is harmless. The interface (names, pickling) is PyTorch's `torch.utils.hooks`.
"""

from __future__ import annotations

import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from lampas.autograd.function import Function
from lampas.engine.tensor import Tensor
from lampas.engine.watch import CHANGES

__all__ = ["BackwardHook", "RemovableHandle", "unserializable_hook", "warn_if_has_hooks"]


class RemovableHandle:
    """Removes one hook from the dictionary that holds it; also a context manager."""

    next_id: int = 0

    def __init__(self, hooks_dict: Any, *, extra_dict: Any = None) -> None:
        CHANGES[0] += 1
        self.hooks_dict_ref = weakref.ref(hooks_dict)
        self.id = RemovableHandle.next_id
        RemovableHandle.next_id += 1
        extras = extra_dict if isinstance(extra_dict, list) else [extra_dict]
        self.extra_dict_ref = tuple(weakref.ref(extra) for extra in extras if extra is not None)

    def remove(self) -> None:
        CHANGES[0] += 1
        for reference in (self.hooks_dict_ref, *self.extra_dict_ref):
            hooks = reference()
            if hooks is not None and self.id in hooks:
                del hooks[self.id]

    def __getstate__(self) -> tuple[Any, ...]:
        if self.extra_dict_ref:
            return self.hooks_dict_ref(), self.id, tuple(ref() for ref in self.extra_dict_ref)
        return self.hooks_dict_ref(), self.id

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        hooks = OrderedDict() if state[0] is None else state[0]
        self.hooks_dict_ref = weakref.ref(hooks)
        self.id = state[1]
        RemovableHandle.next_id = max(RemovableHandle.next_id, self.id + 1)
        extras = state[2] if len(state) > 2 else ()
        self.extra_dict_ref = tuple(weakref.ref(extra) for extra in extras if extra is not None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, kind: Any, value: Any, traceback: Any) -> None:
        self.remove()


def unserializable_hook(hook: Callable[..., Any]) -> Callable[..., Any]:
    """Mark `hook`: pickling a tensor that carries it warns."""
    hook.__torch_unserializable__ = True  # type: ignore[attr-defined]
    return hook


def warn_if_has_hooks(tensor: Tensor) -> None:
    """Warn that the hooks of `tensor` are left out when it is pickled."""
    for hook in (getattr(tensor, "_backward_hooks", None) or {}).values():
        if not hasattr(hook, "__torch_unserializable__"):
            warnings.warn(
                f"backward hook {hook!r} on tensor will not be serialized.  If this is expected, "
                "you can decorate the function with @torch.utils.hooks.unserializable_hook to "
                "suppress this warning",
                stacklevel=2,
            )


class _Border(Function):
    """Identity on several tensors: one node through which all their gradients pass at once."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.mark_non_differentiable(*[tensor for tensor in tensors if not tensor.requires_grad])
        return tuple(tensor.detach() for tensor in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        return gradients


class BackwardHook:
    """Runs a module's full backward hooks: one border before its forward, one behind it."""

    def __init__(
        self,
        module: Any,
        user_hooks: Sequence[Callable[..., Any]],
        user_pre_hooks: Sequence[Callable[..., Any]],
    ) -> None:
        self.module = module
        self.user_hooks = user_hooks
        self.user_pre_hooks = user_pre_hooks
        self.output_gradients: tuple[Any, ...] | None = None
        self.input_places: list[int] = []
        self.input_count = 0
        self.has_input_border = False
        self.output_places: list[int] = []
        self.output_count = 0

    def setup_input_hook(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Let the tensors among `arguments` pass the border whose gradients end the module."""
        passed, node, places = self._cross(arguments)
        self.input_places, self.input_count = places, len(arguments)
        self.has_input_border = node is not None
        if node is not None:
            node.register_hook(self._on_input_gradients)
        return passed

    def setup_output_hook(self, outputs: Any) -> Any:
        """Let `outputs` pass the border whose gradients enter the module."""
        single = not isinstance(outputs, tuple)
        passed, node, places = self._cross((outputs,) if single else outputs)
        self.output_places, self.output_count = places, 1 if single else len(outputs)
        if node is not None:
            node.register_prehook(self._on_output_gradients)
        return passed[0] if single else passed

    def _cross(self, values: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any, list[int]]:
        places = [place for place, value in enumerate(values) if isinstance(value, Tensor)]
        if not any(values[place].requires_grad for place in places):
            return values, None, places
        crossed = _Border.apply(*[values[place] for place in places])
        nodes = [tensor.grad_fn for tensor in crossed if tensor.grad_fn is not None]
        if not nodes:
            raise RuntimeError(
                "Error while setting up backward hooks. Please open an issue with code to "
                "reproduce this."
            )
        rebuilt = list(values)
        for place, tensor in zip(places, crossed, strict=True):
            rebuilt[place] = tensor
        return tuple(rebuilt), nodes[0], places

    @staticmethod
    def _spread(gradients: Sequence[Any], places: list[int], count: int) -> tuple[Any, ...]:
        spread: list[Any] = [None] * count
        for place, gradient in zip(places, gradients, strict=True):
            spread[place] = gradient
        return tuple(spread)

    def _gather(self, result: Any, places: list[int], count: int) -> tuple[Any, ...]:
        values = result if isinstance(result, tuple) else (result,)
        if len(values) != count:
            raise RuntimeError(
                "Backward hook returned an invalid number of grad_input, "
                f"got {len(values)}, but expected {count}"
            )
        return tuple(values[place] for place in places)

    def _on_output_gradients(self, gradients: tuple[Any, ...]) -> tuple[Any, ...] | None:
        spread = self._spread(gradients, self.output_places, self.output_count)
        changed = False
        for hook in self.user_pre_hooks:
            result = hook(self.module, spread)
            if result is not None:
                kept = self._gather(result, self.output_places, self.output_count)
                spread = self._spread(kept, self.output_places, self.output_count)
                changed = True
        self.output_gradients = spread
        if not self.has_input_border:
            self._run_without_inputs(spread)
        if changed:
            return tuple(spread[place] for place in self.output_places)
        return None

    def _run_without_inputs(self, spread: tuple[Any, ...]) -> None:
        empty: tuple[Any, ...] = (None,) * self.input_count
        for hook in self.user_hooks:
            result = hook(self.module, empty, spread)
            if result is not None and any(value is not None for value in _as_tuple(result)):
                raise RuntimeError(
                    "Backward hook for Modules where no input requires gradient should always "
                    "return None or None for all gradients."
                )
        self.output_gradients = None

    def _on_input_gradients(
        self, input_gradients: tuple[Any, ...], _outputs: Any
    ) -> tuple[Any, ...] | None:
        spread = self._spread(input_gradients, self.input_places, self.input_count)
        changed = False
        for hook in self.user_hooks:
            result = hook(self.module, spread, self.output_gradients)
            if result is not None:
                kept = self._gather(result, self.input_places, self.input_count)
                spread = self._spread(kept, self.input_places, self.input_count)
                changed = True
        self.output_gradients = None
        return tuple(spread[place] for place in self.input_places) if changed else None


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
