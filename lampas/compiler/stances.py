"""`set_stance`: how compiled calls behave from here on, or inside a `with` block or a decorated function."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import TracebackType
from typing import Any, final

from lampas.compiler.choices import Backend, checked_backend
from lampas.compiler.regions import STANCE, STANCES

# They ask what a second compilation does, and no call here has a first one: structures belong to no function.
BY_CALL = ("eager_on_recompile", "fail_on_recompile")


@final
class set_stance:
    """Set the stance at once; as a decorator or a context manager, for a while.

    "force_eager" has compiled calls do nothing of their own; with "eager_then_compile" small graphs are met a few
    times before they are compiled, as outside of compiled calls.
    """

    def __init__(
        self,
        stance: str = "default",
        *,
        skip_guard_eval_unsafe: bool = False,
        force_backend: Backend = None,
    ) -> None:
        if stance not in STANCES:
            raise RuntimeError(
                f"invalid torch.compile stance {stance!r}; the stances are {', '.join(STANCES)}"
            )
        if stance in BY_CALL:
            raise NotImplementedError(
                f"set_stance({stance!r}): structures are not compiled for one function, so there is no second "
                "compilation of one; lampas.explain() tells what is compiled, and why"
            )
        if force_backend is not None:
            checked_backend(force_backend)
        self.stance, self.before = stance, STANCE[0]
        STANCE[0] = stance

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        STANCE[0] = self.before

        @functools.wraps(function)
        def under_stance(*args: Any, **kwargs: Any) -> Any:
            with set_stance(self.stance):
                return function(*args, **kwargs)

        return under_stance

    def __enter__(self) -> None:
        STANCE[0] = self.stance

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        STANCE[0] = self.before
