"""Exceptions that are Lampas's own, and small helpers that word messages alike.

Bad input from a program raises the exception type that PyTorch raises there (TypeError, ValueError,
IndexError, RuntimeError): those need nothing from this file.
"""

from collections.abc import Iterable


class LampasError(Exception):
    """The root of the exceptions that have no counterpart in PyTorch."""


class InternalError(LampasError, RuntimeError):
    """A fault in Lampas itself: names the pass that found it and the node concerned."""

    def __init__(self, stage: str, message: str, node: object = None) -> None:
        self.stage = stage
        self.node = node
        where = f" at {node!r}" if node is not None else ""
        super().__init__(f"{stage}{where}: {message} (this is a fault in Lampas, please report it)")


class VerificationError(InternalError):
    """A graph, a loop nest or a schedule breaks one of its invariants."""


class CompileError(InternalError):
    """LLVM refused the text that Lampas wrote for it."""


class SerializationError(LampasError, RuntimeError):
    """A stored file is damaged, unsafe to read, or not in a format known here."""


def plural(count: int, noun: str) -> str:
    """``plural(2, "dimension")`` is ``"2 dimensions"``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listed(items: Iterable[object], joint: str = "and") -> str:
    """Join items as a sentence does: ``listed("abc", "or")`` is ``"a, b or c"``."""
    words = [str(item) for item in items]
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {joint} {words[-1]}"


def kind_of(value: object) -> str:
    """The name of a value's type as messages show it (``int``, ``Tensor``, ``numpy.ndarray``)."""
    kind = type(value)
    module = kind.__module__.partition(".")[0]
    return (
        kind.__qualname__ if module in ("builtins", "lampas") else f"{module}.{kind.__qualname__}"
    )


def wrong_type(
    operation: str, position: int, argument: str, wanted: str, value: object
) -> TypeError:
    """The TypeError for an argument of the wrong kind, in the form that programs match on."""
    return TypeError(
        f"{operation}(): argument '{argument}' (position {position}) must be {wanted}, "
        f"not {kind_of(value)}"
    )
