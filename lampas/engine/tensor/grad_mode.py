"""Whether operations are recorded on the tape: a switch for each thread."""

from __future__ import annotations

import threading
from typing import final


@final
class GradMode(threading.local):
    """The switches of one thread: `enabled` (record), `inference` (inference_mode), `anomaly`."""

    enabled = True
    inference = False
    anomaly = False


grad_mode = GradMode()


def is_grad_enabled() -> bool:
    """Whether operations on this thread are recorded for backward."""
    return grad_mode.enabled


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside `inference_mode`."""
    return grad_mode.inference
