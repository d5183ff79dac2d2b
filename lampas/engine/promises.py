"""Switches by which PyTorch programs ask for determinism and exact products.

Lampas always keeps what they ask for: every operation gives the same bits each time, on any number of threads,
and products of float32 are computed in float32. So the switches keep what they are given and change nothing.
"""

import warnings
from typing import Any

PRECISIONS = ("highest", "high", "medium")
DEBUG_MODES = ("default", "warn", "error")


class _Promises:
    """What was asked for last."""

    precision = "highest"
    deterministic = False
    warn_only = False
    warn_always = False


def set_float32_matmul_precision(precision: str) -> None:
    """Note how exact products of float32 need to be: they are "highest" in any case.

    An unknown word is warned of and has no effect, as in PyTorch.
    """
    if precision not in PRECISIONS:
        warnings.warn(
            f"set_float32_matmul_precision: {precision!r} is not one of 'highest', 'high', or "
            "'medium'; the call has no effect.",
            stacklevel=2,
        )
        return
    _Promises.precision = precision


def get_float32_matmul_precision() -> str:
    """The precision that was asked for last ("highest" at first)."""
    return _Promises.precision


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Ask for operations that give the same bits each time, as all do here; TypeError unless bool."""
    for name, value in (("mode", mode), ("warn_only", warn_only)):
        if not isinstance(value, bool):
            raise TypeError(
                f"use_deterministic_algorithms(): argument '{name}' must be bool, not "
                f"{type(value).__name__}"
            )
    _Promises.deterministic, _Promises.warn_only = mode, warn_only


def are_deterministic_algorithms_enabled() -> bool:
    """Whether determinism was asked for."""
    return _Promises.deterministic


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Whether only a warning was asked for."""
    return _Promises.warn_only


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """Ask for determinism by a word or its number: "default" (0), "warn" (1) or "error" (2)."""
    if not isinstance(debug_mode, int | str):
        raise TypeError(f"debug_mode must be str or int, but got {type(debug_mode)}")
    if isinstance(debug_mode, str) and debug_mode not in DEBUG_MODES:
        raise RuntimeError(
            "invalid value of debug_mode, expected one of `default`, `warn`, `error`, but got "
            f"{debug_mode}"
        )
    number = DEBUG_MODES.index(debug_mode) if isinstance(debug_mode, str) else debug_mode
    if number not in range(len(DEBUG_MODES)):
        raise RuntimeError(f"invalid value of debug_mode, expected 0, 1, or 2, but got {number}")
    use_deterministic_algorithms(number > 0, warn_only=number == 1)


def get_deterministic_debug_mode() -> int:
    """0, 1 or 2: see `set_deterministic_debug_mode`."""
    if not _Promises.deterministic:
        return 0
    return 1 if _Promises.warn_only else 2


def set_warn_always(b: bool) -> None:
    """Ask for PyTorch's own warnings each time rather than once; Python's filters decide here."""
    if not isinstance(b, bool):
        raise RuntimeError(f"setWarnOnlyOnce expects a bool, but got {type(b).__name__}")
    _Promises.warn_always = b


def is_warn_always_enabled() -> bool:
    """What `set_warn_always` was given last."""
    return _Promises.warn_always


PUBLIC: dict[str, Any] = {
    function.__name__: function
    for function in (
        set_float32_matmul_precision,
        get_float32_matmul_precision,
        use_deterministic_algorithms,
        are_deterministic_algorithms_enabled,
        is_deterministic_algorithms_warn_only_enabled,
        set_deterministic_debug_mode,
        get_deterministic_debug_mode,
        set_warn_always,
        is_warn_always_enabled,
    )
}
