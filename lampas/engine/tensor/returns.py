"""The named tuples that functions with several results return, as `return_types` shows them."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

RETURN_TYPES: dict[str, type] = {}


def return_type(name: str, *fields: str) -> Any:
    """The tuple type of `name`'s results; made once, printed as PyTorch prints it."""
    base = namedtuple(name, fields)

    def show(self: Any) -> str:
        rows = ",\n".join(f"{field}={value!r}" for field, value in zip(fields, self, strict=True))
        return f"torch.return_types.{name}(\n{rows})"

    made = type(
        name, (base,), {"__slots__": (), "__repr__": show, "__module__": "lampas.return_types"}
    )
    RETURN_TYPES[name] = made
    return made
