"""The one exception for files that are not what they should be."""

from __future__ import annotations

import pickle


class SerializationError(RuntimeError, pickle.UnpicklingError):
    """A checkpoint is damaged, hostile, of an unknown kind, or holds what may not be loaded.

    It is a RuntimeError and an UnpicklingError, which is what PyTorch raises in these cases.
    Its text never shows anything that a file's objects produce.
    """
