"""Modules applied side by side, one thread each; the first error is raised with its device."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from lampas.engine.tensor.autocast import state as autocast_state
from lampas.engine.tensor.grad_mode import grad_mode
from lampas.nn.modules.module import Module


def parallel_apply(
    modules: Sequence[Module],
    inputs: Sequence[Any],
    kwargs_tup: Sequence[dict[str, Any]] | None = None,
    devices: Sequence[Any] | None = None,
) -> list[Any]:
    """The outputs of `modules[i](*inputs[i], **kwargs_tup[i])`, in order."""
    count = len(modules)
    if count != len(inputs):
        raise AssertionError(
            f"The number of modules {count} is not equal to the number of inputs {len(inputs)}"
        )
    keywords = kwargs_tup or [{}] * count
    places = devices or [None] * count
    results: list[Any] = [None] * count
    errors: list[tuple[int, BaseException]] = []
    modes = (grad_mode.enabled, autocast_state.dtype)

    def work(place: int) -> None:
        grad_mode.enabled, autocast_state.dtype = modes
        given = inputs[place]
        try:
            arguments = given if isinstance(given, (list, tuple)) else (given,)
            results[place] = modules[place](*arguments, **keywords[place])
        except BaseException as error:
            errors.append((place, error))

    threads = [threading.Thread(target=work, args=(place,)) for place in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        place, error = min(errors, key=lambda pair: pair[0])
        error.add_note(f"in replica {place} on device {places[place]}")
        raise error
    return results
