"""Functions that are written for one place of a path, compiled when they are called for the second time.

Most never are: the native functions beside them lead on as soon as a step is as the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final


@final
class Written:
    """The function ``def name(parameters): lines``, whose globals are `names`.

    The first call gives None, which sends the caller the long way.
    """

    __slots__ = ("body", "called", "function", "head", "name", "names")

    def __init__(
        self, name: str, parameters: str, lines: Sequence[str], names: dict[str, Any]
    ) -> None:
        self.name, self.head = name, f"def {name}({parameters}):\n"
        self.body = "\n".join(f"    {line}" for line in lines)
        self.names = names
        self.function: Callable[..., Any] | None = None
        self.called = False

    def __call__(self, *arguments: Any) -> Any:
        function = self.function
        if function is None:
            if not self.called:
                self.called = True
                return None
            function = self.compile()
        return function(*arguments)

    def compile(self) -> Callable[..., Any]:
        """The function itself."""
        exec(self.head + self.body, self.names)
        function = self.function = self.names[self.name]
        return function
