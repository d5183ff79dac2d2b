"""What several workloads share: losses of classifiers and batches for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def classifier_loss(lib: Any, model: Any) -> Callable[[Any, Any], Any]:
    """The forward function of a classifier in training: inputs and classes to the mean cross-entropy."""
    criterion = lib.nn.CrossEntropyLoss()
    return lambda inputs, classes: criterion(model(inputs), classes)


def labelled(lib: Any, inputs: Any, classes: int) -> tuple[Any, Any]:
    """A batch: the inputs and a random class for each."""
    return inputs, lib.randint(0, classes, (inputs.shape[0],))
