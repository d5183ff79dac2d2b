"""Fingerprints of our own sources: what the disk keeps is not used by other ones than have made it."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

ENGINE = Path(__file__).parents[1]


@functools.cache
def fingerprint(*packages: str) -> str:
    """A hash of every source file of some packages of the engine, in the order given."""
    digest = hashlib.sha256()
    for package in packages:
        for path in sorted((ENGINE / package).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
