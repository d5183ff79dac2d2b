"""`no_grad`, `enable_grad`, `set_grad_enabled`, `inference_mode`: as `with` blocks and as decorators."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

from lampas.engine.tensor.grad_mode import grad_mode

if TYPE_CHECKING:
    from collections.abc import Callable


class GradSwitch:
    """A context manager that sets this thread's recording, and can decorate functions."""

    def __init__(self) -> None:
        self.before: list[tuple[bool, bool]] = []

    def clone(self) -> GradSwitch:
        """A fresh switch of the same setting, for one call of a decorated function."""
        return type(self)()

    def apply(self) -> None:
        """Set the switches of this thread."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it sets")

    def __enter__(self) -> Any:
        self.before.append((grad_mode.enabled, grad_mode.inference))
        self.apply()
        return None

    def __exit__(self, *error: object) -> None:
        grad_mode.enabled, grad_mode.inference = self.before.pop()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isclass(function):
            raise TypeError(f"{type(self).__name__} decorates functions, not classes")
        if inspect.isgeneratorfunction(function):
            return self._wrap_generator(function)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return function(*args, **kwargs)

        return call

    def _wrap_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The switch holds while the generator runs, and not between its values."""

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            generator = function(*args, **kwargs)
            answer: Any = None
            while True:
                try:
                    with self.clone():
                        value = generator.send(answer)
                except StopIteration as stop:
                    return stop.value
                try:
                    answer = yield value
                except GeneratorExit:
                    with self.clone():
                        generator.close()
                    raise
                except BaseException as error:
                    with self.clone():
                        value = generator.throw(error)
                    answer = yield value

        return call


class no_grad(GradSwitch):
    """Nothing is recorded inside.

    >>> with no_grad():
    ...     pass
    """

    def __new__(cls, function: Any = None) -> Any:
        made = super().__new__(cls)
        if function is None:
            return made
        made.__init__()
        return made(function)

    def __init__(self, function: Any = None) -> None:
        super().__init__()

    def apply(self) -> None:
        grad_mode.enabled = False


class enable_grad(no_grad):
    """Operations are recorded inside."""

    def apply(self) -> None:
        grad_mode.enabled = True


class set_grad_enabled(GradSwitch):
    """Recording on or off: at once when called, and restored at the end of a `with` block."""

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.mode = bool(mode)
        self.origin = (grad_mode.enabled, grad_mode.inference)
        grad_mode.enabled = self.mode

    def clone(self) -> GradSwitch:
        return set_grad_enabled(self.mode)

    def apply(self) -> None:
        self.before[-1] = self.origin
        grad_mode.enabled = self.mode

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        grad_mode.enabled, grad_mode.inference = self.origin
        return super().__call__(function)

    def __repr__(self) -> str:
        return f"set_grad_enabled(mode={self.mode})"


class inference_mode(GradSwitch):
    """Nothing is recorded, and tensors made inside can never be part of a tape."""

    def __new__(cls, mode: Any = True) -> Any:
        made = super().__new__(cls)
        if isinstance(mode, bool):
            return made
        made.__init__()
        return made(mode)

    def __init__(self, mode: Any = True) -> None:
        super().__init__()
        self.mode = mode if isinstance(mode, bool) else True

    def clone(self) -> GradSwitch:
        return inference_mode(self.mode)

    def apply(self) -> None:
        grad_mode.enabled = not self.mode
        grad_mode.inference = self.mode
