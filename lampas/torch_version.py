"""`TorchVersion`: the type of `torch.__version__`, a string that compares as a version does.

Programs write `torch.__version__ >= "2.9"` and `torch.__version__ >= (2, 1)`; as plain strings
"2.13.0" would come before "2.9". The order is that of PEP 440 for the forms that occur: numbers,
then an optional pre-release (a, b, rc or dev and a number), then an optional local part after "+",
which is ignored against a version without one.
"""

import re
from typing import Any

_FORM = re.compile(r"v?(\d+(?:\.\d+)*)(?:[.\-_]?(a|b|rc|dev|post)\.?(\d*))?", re.IGNORECASE)
_STAGES = {"dev": -4, "a": -3, "b": -2, "rc": -1, "post": 1}

Key = tuple[tuple[int, ...], int, int]


class TorchVersion(str):
    """A version string ordered by its numbers; compares with strings and with tuples.

    >>> TorchVersion("2.13.0") > "2.9", TorchVersion("2.13.0+cpu") >= (2, 13)
    (True, True)
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        key = _key(other)
        return str.__eq__(self, str(other)) if key is None else _key(self) == key

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __lt__(self, other: Any) -> bool:
        return _required_key(self) < _required_key(other)

    def __le__(self, other: Any) -> bool:
        return _required_key(self) <= _required_key(other)

    def __gt__(self, other: Any) -> bool:
        return _required_key(self) > _required_key(other)

    def __ge__(self, other: Any) -> bool:
        return _required_key(self) >= _required_key(other)

    __hash__ = str.__hash__


def _key(version: object) -> Key | None:
    """The sort key of a string or of a sequence of its parts; None where it is no version."""
    if isinstance(version, tuple | list):
        version = ".".join(str(part) for part in version)
    if not isinstance(version, str):
        return None
    match = _FORM.match(str.strip(version))
    if match is None:
        return None
    numbers = [int(part) for part in match[1].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    stage = _STAGES[match[2].lower()] if match[2] else 0
    return tuple(numbers), stage, int(match[3] or 0)


def _required_key(version: object) -> Key:
    key = _key(version)
    if key is None:
        raise TypeError(f"{version!r} is not a version: it takes a string or a tuple of numbers")
    return key


__version__ = TorchVersion("2.13.0")
