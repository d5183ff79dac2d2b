"""`lampas bench`: hands over to the comparison in the checkout's `bench/` folder."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import lampas


def comparison() -> Path:
    """Where the script lies if this package was imported from a checkout."""
    return Path(lampas.__path__[0]).resolve().parent / "bench" / "compare.py"


def run_bench(arguments: Sequence[str]) -> int:
    """Run the comparison with these arguments and return its exit status."""
    script = comparison()
    if not script.is_file():
        message = f"no {script}: the suite comes with a checkout, not with an installed package"
        print(f"lampas bench: {message}", file=sys.stderr)
        return 2
    return subprocess.run([sys.executable, script, *arguments], check=False).returncode
