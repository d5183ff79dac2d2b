"""`device`: where a tensor lives.  Here that is the processor, or `meta` (shapes without values)."""

from __future__ import annotations

import threading
from typing import Any, final

_KINDS = (
    "cpu",
    "cuda",
    "meta",
    "mps",
    "xpu",
    "hpu",
    "xla",
    "mkldnn",
    "vulkan",
    "ipu",
    "privateuseone",
)


@final
class device:
    """A device type and an optional index: `device("cpu")`, `device("cuda", 0)`, `device("cuda:1")`.

    In a `with` statement it is where new tensors go that name no device. Raises RuntimeError for an
    unknown type or a malformed string.

    >>> device("cuda:1").index
    1
    """

    __slots__ = ("index", "type")

    type: str
    index: int | None

    def __init__(self, type: Any, index: int | None = None) -> None:
        if isinstance(type, device):
            type, index = type.type, type.index
        elif isinstance(type, int):
            type, index = "cuda", type
        elif ":" in type:
            type, _, digits = type.partition(":")
            if index is not None:
                raise RuntimeError(
                    f"type (string) must not include an index because index was passed "
                    f"explicitly: {type}:{digits}"
                )
            if not digits.isdigit():
                raise RuntimeError(f"Invalid device string: '{type}:{digits}'")
            index = int(digits)
        if type not in _KINDS:
            raise RuntimeError(
                f"Expected one of {', '.join(_KINDS)} device type at start of device string: {type}"
            )
        object.__setattr__(self, "type", type)
        object.__setattr__(self, "index", index)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"attribute '{name}' of 'torch.device' objects is not writable")

    def __repr__(self) -> str:
        place = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{place})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, device):
            return NotImplemented
        return self.type == other.type and self.index == other.index

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __enter__(self) -> device:
        _DEFAULTS.stack.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        _DEFAULTS.stack.pop()

    def __reduce__(self) -> tuple[Any, ...]:
        return device, ((self.type,) if self.index is None else (self.type, self.index))


CPU = device("cpu")
META = device("meta")


class _Defaults(threading.local):
    """This thread's default devices: the lasting one first, then those of `with` statements."""

    def __init__(self) -> None:
        self.stack: list[device] = [CPU]


_DEFAULTS = _Defaults()


def set_default_device(place: Any) -> None:
    """Make `place` the device of new tensors that name none; None means the processor again."""
    _DEFAULTS.stack[0] = CPU if place is None else device(place)


def get_default_device() -> device:
    """Where new tensors go that name no device."""
    return _DEFAULTS.stack[-1]


def resolve_device(place: Any) -> device:
    """The device that a `device=` argument means, checked to exist on this machine.

    Raises AssertionError for CUDA, as PyTorch's CPU build does.
    """
    if place is None:
        place = _DEFAULTS.stack[-1]
    found = place if isinstance(place, device) else device(place)
    if found.type == "cpu":
        return CPU
    if found.type == "meta":
        return META
    if found.type == "cuda":
        raise AssertionError("Torch not compiled with CUDA enabled")
    raise NotImplementedError(f"device {str(found)!r} is not available; 'cpu' and 'meta' are")
