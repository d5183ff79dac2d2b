"""`compile` and `disable`: modules and functions whose calls are compiled, or taken out of compiled calls."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from lampas.compiler.choices import Backend, Choice, checked_choice
from lampas.compiler.optimized import OptimizedModule
from lampas.compiler.regions import run_compiled, run_disabled, watch_for_reads
from lampas.compiler.whole_calls import WholeCalls
from lampas.nn.modules.module import Module

__all__ = ["compile", "disable"]


def compile(
    model: Any = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: Backend = "inductor",
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
) -> Any:
    """Accept a module or a function for compilation, as `torch.compile` does.

    Lampas compiles every program, annotated or not: operations wait, and what waits is compiled as one graph
    when a value is read. What this adds:

    - A call that does the same each time is soon not run any more, only what it computed: forward, backward and the
      optimizer's step become one native call, after a check that arguments, tensors, modules, optimizers, and all
      globals and attributes that its code looks at are as they were (see `compiler.whole_calls`). So compile the whole
      step of a training loop. A function that reads values, draws on other libraries, or changes anything but tensors
      runs as usual; `lampas.explain` tells why.
    - Inside the call, small graphs are compiled at first sight; elsewhere they run on NumPy until they were met
      a few times. What is read after the call is compiled by the usual rule.
    - `fullgraph=True` raises `lampas._dynamo.exc.Unsupported`, with the user's line, when a value is read in the
      middle of the call. The update of an optimizer is no read.
    - `backend`, `mode` and `options` are checked, and change nothing else: kernels do not depend on sizes, so
      that `dynamic` has nothing to do either. The backends for finding faults ("eager", "aot_eager") leave
      small graphs on NumPy. Functions as backends raise NotImplementedError.

    A module gives an `OptimizedModule`; a function a wrapper, also in the decorator form:

    >>> import lampas
    >>> @lampas.compile(fullgraph=True)
    ... def double(x):
    ...     return x * 2
    >>> double(lampas.ones(2)).tolist()
    [2.0, 2.0]
    """
    choice = checked_choice(fullgraph, dynamic, backend, mode, options)
    if model is None:
        return functools.partial(_accept, choice=choice, disable=disable)
    return _accept(model, choice, disable)


def _accept(model: Any, choice: Choice, disable: bool) -> Any:
    if model is None:
        raise RuntimeError("Model can't be None")
    if not callable(model):
        raise AssertionError(f"A callable function is expected, but {type(model)} is provided.")
    if disable:
        return model
    if choice.fullgraph:
        watch_for_reads()
    if isinstance(model, Module):
        original = model._orig_mod if isinstance(model, OptimizedModule) else model
        return OptimizedModule(original, choice)
    return _wrap(model, functools.partial(run_compiled, choice, WholeCalls(_original(model))))


def _original(function: Any) -> Any:
    """What a wrapper of ours calls."""
    return getattr(function, "_torchdynamo_orig_callable", function)


def _wrap(function: Any, run: Callable[..., Any]) -> Any:
    """A function that runs another one in its own way; of a class, the calls of its instances."""
    if inspect.isclass(function):
        function.__call__ = _wrap(function.__call__, run)
        return function
    disabled = getattr(function, "_torchdynamo_disable", False)
    inner = function if disabled else getattr(function, "_torchdynamo_orig_callable", function)

    def compiled(*args: Any, **kwargs: Any) -> Any:
        return run(inner, args, kwargs)

    wrapper: Any = functools.update_wrapper(compiled, inner)
    wrapper._torchdynamo_orig_callable = inner
    return wrapper


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """A function or module that runs as if no compiled call were around it.

    Its small graphs may run on NumPy, it may read values within a `fullgraph` call, and `is_compiling` is False.

    >>> import lampas
    >>> @lampas.compiler.disable
    ... def inside():
    ...     return lampas.compiler.is_compiling()
    >>> inside(), lampas.compile(lambda: inside())()
    (False, False)
    """
    if fn is None:
        return functools.partial(disable, recursive=recursive, reason=reason)
    if not callable(fn):
        raise AssertionError(f"A callable function is expected, but {type(fn)} is provided.")
    if isinstance(fn, Module):
        return OptimizedModule(fn, None)
    wrapper = _wrap(fn, run_disabled)
    wrapper._torchdynamo_disable = True
    return wrapper
