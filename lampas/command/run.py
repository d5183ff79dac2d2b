"""`lampas run`: executes a program as `__main__`, with the import alias in force.

The program sees what `python script.py` or `python -m module` would show it: `sys.argv`,
`sys.path[0]`, `__main__`, `__file__`, `__spec__`. An exception that it does not catch is reported
from its own first frame on, and the exit status is the one that Python would give. Processes that it
spawns with `multiprocessing` import its file anew, and find the alias there as well.
"""

import builtins
import importlib.util
import io
import multiprocessing.spawn
import os
import runpy
import sys
import types
import zipfile
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Any

from lampas.alias import install_alias

INTERRUPTED = 130  # what a shell reports for a program that SIGINT ended


class CannotRun(Exception):
    """The program is not there, or is not a program."""


def run_script(path: str, arguments: Sequence[str]) -> int:
    """Execute a script (or a folder or zip file with a `__main__.py`) and return the exit status."""
    _install_alias_everywhere()
    if _is_container(path):
        return _run_container(path, arguments)
    try:
        with io.open_code(path) as file:
            source = file.read()
    except OSError as error:
        raise CannotRun(f"can't open {path!r}: {error.strerror or error}") from None
    sys.argv[:] = [path, *arguments]
    _set_first_path(os.path.dirname(os.path.realpath(path)))
    main = _fresh_main()
    main.__file__ = path
    main.__loader__ = SourceFileLoader("__main__", path)
    return _execute(source, path, main)


def run_module(name: str, arguments: Sequence[str]) -> int:
    """Execute a module, or a package's `__main__`, as `python -m` does."""
    _install_alias_everywhere()
    _set_first_path(os.getcwd())
    return _run_spec(_find_program(name), arguments)


class _AliasRequest:
    """Installs the alias where it is unpickled, by means that the standard library has there."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return runpy.run_path, (str(Path(__file__).with_name("spawned.py")),)


def _install_alias_everywhere() -> None:
    """Install the alias here, and in each process that multiprocessing spawns from here.

    What a spawned process is told first is a pickled dictionary; it ignores keys that it does not
    know, but unpickles them before it imports the main file.
    """
    install_alias()
    plain = multiprocessing.spawn.get_preparation_data

    def with_alias(name: str) -> dict[str, Any]:
        return {**plain(name), "lampas_alias": _AliasRequest()}

    multiprocessing.spawn.get_preparation_data = with_alias


def _is_container(path: str) -> bool:
    return os.path.isdir(path) or zipfile.is_zipfile(path)


def _run_container(path: str, arguments: Sequence[str]) -> int:
    _set_first_path(os.path.realpath(path))
    spec = PathFinder.find_spec("__main__", [os.path.realpath(path)])
    if spec is None:
        raise CannotRun(f"can't find a __main__.py in {path!r}")
    return _run_spec(spec, arguments)


def _find_program(name: str) -> ModuleSpec:
    """The spec of the module to execute: of `name.__main__` where `name` is a package."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError) as error:
        raise CannotRun(f"can't find {name!r}: {error}") from None
    if spec is None:
        raise CannotRun(f"No module named {name!r}")
    if spec.submodule_search_locations is None:
        return spec
    try:
        inner = importlib.util.find_spec(f"{name}.__main__")
    except ModuleNotFoundError:
        inner = None
    if inner is None:
        raise CannotRun(f"{name!r} is a package without a __main__ module: it cannot be executed")
    return inner


def _run_spec(spec: ModuleSpec, arguments: Sequence[str]) -> int:
    get_code = getattr(spec.loader, "get_code", None)
    code = get_code(spec.name) if get_code else None
    if code is None:
        raise CannotRun(f"{spec.name!r} has no Python code to execute")
    sys.argv[:] = [spec.origin or spec.name, *arguments]
    main = _fresh_main()
    main.__spec__ = spec
    main.__package__ = spec.parent
    main.__loader__ = spec.loader
    main.__file__ = spec.origin
    vars(main)["__cached__"] = spec.cached
    return _execute(code, main.__file__ or spec.name, main)


def _set_first_path(folder: str) -> None:
    """Put the program's folder where Python had put that of the `lampas` command."""
    if not sys.flags.safe_path:
        sys.path[0] = folder


def _fresh_main() -> ModuleType:
    main = types.ModuleType("__main__")
    vars(main)["__builtins__"] = builtins
    main.__annotations__ = {}
    sys.modules["__main__"] = main
    return main


def _execute(program: bytes | CodeType, path: str, main: ModuleType) -> int:
    """Run it in `main`; SystemExit passes through, so that its code stays Python's business."""
    try:
        code = program if isinstance(program, CodeType) else compile(program, path, "exec", 0, True)
        exec(code, vars(main))
    except SystemExit:
        raise
    except KeyboardInterrupt as error:
        _report(error)
        return INTERRUPTED
    except BaseException as error:
        _report(error)
        return 1
    return 0


def _report(error: BaseException) -> None:
    """Hand the error to the hook in force, from the program's own first frame on."""
    trace = error.__traceback__
    while trace is not None and _is_ours(trace):
        trace = trace.tb_next
    error.__traceback__ = trace
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
    sys.excepthook(type(error), error, trace)


def _is_ours(trace: TracebackType) -> bool:
    filename = trace.tb_frame.f_code.co_filename
    return filename.startswith("<frozen ") or Path(filename) == Path(__file__)
