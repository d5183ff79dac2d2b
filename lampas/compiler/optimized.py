"""`OptimizedModule`: what `lampas.compile(module)` gives, the module itself behind a call that is compiled.

Everything but the call is the module's own: attributes are read from it and written to it, its parameters and
state are named "_orig_mod.…" as in PyTorch, and checkpoints go from one library to the other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sized
from typing import Any

from lampas.compiler.choices import Choice
from lampas.compiler.regions import run_compiled, run_disabled
from lampas.compiler.whole_calls import WholeCalls
from lampas.nn.modules.module import Module

OWN_ATTRIBUTES = frozenset({"_orig_mod", "dynamo_ctx", "_torchdynamo_orig_callable", "forward"})


class OptimizedModule(Module):
    """A module whose calls are compiled; without a choice, one that `disable` takes out of compiled calls.

    >>> import lampas
    >>> model = lampas.compile(lampas.nn.Linear(2, 1))
    >>> list(model.state_dict()), model.in_features
    (['_orig_mod.weight', '_orig_mod.bias'], 2)
    """

    _orig_mod: Module
    _torchdynamo_orig_callable: Callable[..., Any]

    def __init__(self, mod: Module, dynamo_ctx: Choice | None) -> None:
        super().__init__()
        self._modules["_orig_mod"] = mod
        self.dynamo_ctx = dynamo_ctx
        self._torchdynamo_orig_callable = mod.forward
        self.forward = functools.partial(_forward, mod, dynamo_ctx, WholeCalls(mod))

    @property
    def training(self) -> bool:
        """The module's own training mode."""
        return self._modules["_orig_mod"].training

    @training.setter
    def training(self, value: bool) -> None:
        self._modules["_orig_mod"].training = value

    def __len__(self) -> int:
        if isinstance(self._orig_mod, Sized):
            return len(self._orig_mod)
        raise TypeError(f"{type(self._orig_mod).__name__} does not support len()")

    def __bool__(self) -> bool:
        return bool(self._orig_mod)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._orig_mod, self.dynamo_ctx)

    def __getattr__(self, name: str) -> Any:
        original = self.__dict__["_modules"]["_orig_mod"]
        return original if name == "_orig_mod" else getattr(original, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in OWN_ATTRIBUTES or hasattr(type(self), name):
            super().__setattr__(name, value)
        else:
            setattr(self._orig_mod, name, value)

    def __delattr__(self, name: str) -> None:
        if name in OWN_ATTRIBUTES or hasattr(type(self), name):
            super().__delattr__(name)
        else:
            delattr(self._orig_mod, name)

    def __dir__(self) -> list[str]:
        return sorted({*dir(self._orig_mod), *super().__dir__()})


def _forward(
    module: Module, choice: Choice | None, calls: WholeCalls, *args: Any, **kwargs: Any
) -> Any:
    if choice is None:
        return run_disabled(module, args, kwargs)
    return run_compiled(choice, calls, module, args, kwargs)
