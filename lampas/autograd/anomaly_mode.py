"""Anomaly detection: where in the program the operation stands whose gradient failed or became NaN."""

from __future__ import annotations

from typing import Any

from lampas.engine.derive import anomaly
from lampas.engine.derive.trail import end_trail


class set_detect_anomaly:
    """Detection on or off: at once when called, restored at the end of a `with` block."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self.before = (anomaly.state.enabled, anomaly.state.check_nan)
        anomaly.state.enabled, anomaly.state.check_nan = mode, check_nan
        end_trail()

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        anomaly.state.enabled, anomaly.state.check_nan = self.before


class detect_anomaly:
    """Inside, every recorded operation remembers its traceback, and NaN gradients raise."""

    def __init__(self, check_nan: bool = True) -> None:
        self.check_nan = check_nan
        self.switch: Any = None

    def __enter__(self) -> None:
        self.switch = set_detect_anomaly(True, self.check_nan)

    def __exit__(self, *error: object) -> None:
        self.switch.__exit__(*error)


def is_anomaly_enabled() -> bool:
    """Whether detection is on."""
    return anomaly.state.enabled


__all__ = ["detect_anomaly", "is_anomaly_enabled", "set_detect_anomaly"]
