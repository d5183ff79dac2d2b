"""Ranges of optimizer steps, and of modules where wanted: hooks that a recorder installs while it is armed."""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING, Any, final

from lampas.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from lampas.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

if TYPE_CHECKING:
    from lampas.profiler.recorder import Recorder
    from lampas.utils.hooks import RemovableHandle


@final
class Surroundings:
    """Shows a recorder the steps of optimizers and the calls of modules, until it is removed."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.open: dict[int, list[Any]] = {}
        self.numbers: dict[int, str] = {}
        self.counts: dict[str, int] = {}
        self.handles: list[RemovableHandle] = [
            register_optimizer_step_pre_hook(self.before_step),
            register_optimizer_step_post_hook(self.after),
        ]
        if recorder.options.with_modules:
            self.handles.append(register_module_forward_pre_hook(self.before_module))
            self.handles.append(register_module_forward_hook(self.after, always_call=True))

    def remove(self) -> None:
        """Take the hooks away."""
        for handle in self.handles:
            handle.remove()

    def before_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        name = f"Optimizer.step#{type(optimizer).__name__}.step"
        self._enter("optimizer", name)

    def before_module(self, module: Any, args: Any) -> None:
        self._enter("module", self._module_name(module))

    def after(self, *ignored: Any) -> None:
        """Close the innermost range of this thread."""
        waiting = self.open.get(get_ident())
        if waiting:
            self.recorder.end(waiting.pop())

    def _enter(self, kind: str, name: str) -> None:
        self.open.setdefault(get_ident(), []).append(self.recorder.begin(kind, name))

    def _module_name(self, module: Any) -> str:
        """Modules of a class are numbered as they come."""
        name = self.numbers.get(id(module))
        if name is None:
            kind = type(module).__name__
            number = self.counts[kind] = self.counts.get(kind, -1) + 1
            name = self.numbers[id(module)] = f"nn.Module: {kind}_{number}"
        return name
