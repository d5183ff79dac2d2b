"""Functions that are written for one place: compiled only where somebody comes back to them."""

from __future__ import annotations

from typing import Any

from lampas.engine.graph.written import Written


def test_compiled_at_the_second_call() -> None:
    names: dict[str, Any] = {"more": 5}
    function = Written("add", "a, b", ["total = a + b", "return total + more"], names)
    assert function(1, 2) is None
    assert "add" not in names
    assert [function(1, 2), function(3, 4)] == [8, 12]
    assert function.compile is not names["add"]
    assert function.function is names["add"]
