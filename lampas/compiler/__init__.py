"""PyTorch's `torch.compiler`: what programs that are annotated for a compiler ask of it.

Everything is compiled here without annotation; `compile` also saves running a function that does the same each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from lampas.compiler.calls import compile, disable
from lampas.compiler.choices import COMPILING, DEBUGGING
from lampas.compiler.explaining import explain, forget
from lampas.compiler.optimized import OptimizedModule
from lampas.compiler.regions import HERE, STANCE
from lampas.compiler.stances import set_stance

F = TypeVar("F", bound=Callable[..., Any])

__all__ = [
    "allow_in_graph",
    "assume_constant_result",
    "compile",
    "cudagraph_mark_step_begin",
    "disable",
    "is_compiling",
    "is_dynamo_compiling",
    "is_exporting",
    "list_backends",
    "reset",
    "set_stance",
    "substitute_in_graph",
    "wrap_numpy",
]


def is_compiling() -> bool:
    """Whether this thread is inside a compiled call."""
    return HERE.compiling


def is_dynamo_compiling() -> bool:
    """The same as `is_compiling`."""
    return HERE.compiling


def is_exporting() -> bool:
    """Always False: there is no export."""
    return False


def list_backends(exclude_tags: Sequence[str] | None = ("debug", "experimental")) -> list[str]:
    """The names that `compile` takes as a backend; without tags to exclude, also those for finding faults."""
    hidden = exclude_tags or ()
    return sorted(COMPILING if "debug" in hidden else COMPILING + DEBUGGING)


def reset() -> None:
    """Begin anew: the default stance, and no memory of what was met where. Compiled structures stay valid and stay."""
    STANCE[0] = "default"
    forget()


def cudagraph_mark_step_begin() -> None:
    """Nothing: there are no CUDA graphs, and no memory of an earlier step is reused while anybody holds it."""


def allow_in_graph(fn: Any) -> Any:
    """The function, or the list of functions, as it is: every function is run, and its operations recorded."""
    for one in fn if isinstance(fn, list | tuple) else (fn,):
        if not callable(one):
            raise AssertionError("allow_in_graph expects a callable")
    return fn


def assume_constant_result(fn: F) -> F:
    """The function as it is: a call that is not run anew has checked all that the result depends on."""
    return fn


def substitute_in_graph(
    original_fn: Callable[..., Any],
    *,
    can_constant_fold_through: bool = False,
    skip_signature_check: bool = False,
) -> Any:
    """Raises: no Python code is traced, so that there is nothing to put another function in place of."""
    raise NotImplementedError(
        f"substitute_in_graph({getattr(original_fn, '__qualname__', original_fn)}): Python code is run, not "
        "traced, so the original is called in any case; call the substitute where you mean it"
    )


def wrap_numpy(fn: Callable[..., Any]) -> Any:
    """Raises: NumPy's functions compute at once and enter no graph."""
    raise NotImplementedError(
        "wrap_numpy: NumPy's functions compute at once and are in no graph; use lampas.from_numpy "
        "and the tensor operations"
    )
