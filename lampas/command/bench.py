"""`lampas bench`: hands over to the suite in the checkout's `bench/` folder."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import lampas


def checkout() -> Path | None:
    """The checkout that this package was imported from, if its bench suite is there."""
    root = Path(lampas.__path__[0]).resolve().parent
    return root if (root / "bench" / "__main__.py").is_file() else None


def run_bench(arguments: Sequence[str]) -> int:
    """Run `python -m bench` in the checkout and return its exit status."""
    root = checkout()
    if root is None:
        where = os.path.dirname(lampas.__path__[0])
        print(
            f"lampas bench: no bench suite beside {where}; it comes with a checkout, not with a wheel",
            file=sys.stderr,
        )
        return 2
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=root, check=False
    ).returncode
