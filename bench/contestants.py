"""Who takes part, and the process that each runs in.

A `Worker` is a process of one contestant (worker.py) that does what it is told, one command at a time.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# The library behind each contestant.
LIBRARIES = {
    "torch": "torch",
    "torch-compile": "torch",
    "jax": "jax",
    "tinygrad": "tinygrad",
    "lampas-compile": "lampas",
    "lampas": "lampas",
}
OURS = "lampas"
COMPILING = ("torch-compile", "lampas-compile")
OTHERS = ("jax", "tinygrad")
# Where a contestant keeps what it compiled, if it does.
CACHES = {
    "torch-compile": "TORCHINDUCTOR_CACHE_DIR",
    "lampas": "LAMPAS_CACHE_DIR",
    "lampas-compile": "LAMPAS_CACHE_DIR",
}


@functools.cache
def write_bytecode() -> None:
    """Compile our modules, as installing them does: what was installed from a package starts so too."""
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(ROOT / "lampas")], check=True)


class Failure(RuntimeError):
    """A contestant could not do what it was told."""


class Worker:
    """A process that runs one contestant."""

    def __init__(self, contestant: str, variables: dict[str, str] | None = None) -> None:
        self.contestant = contestant
        write_bytecode()
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        # -P: the folder of the script stays off the path, where its names could hide others.
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(ROOT / "bench" / "worker.py"), contestant],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": paths, **(variables or {})},
        )
        try:
            self.seconds_to_import: float = self.read()["import"]
        except Failure:
            self.close()
            raise

    def ask(self, action: str, *arguments: Any) -> dict[str, Any]:
        """Send a command and wait for the answer; raise Failure if it failed."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps([action, *arguments]) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failure("the process has ended") from None
        return self.read()

    def read(self) -> dict[str, Any]:
        """The next answer."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise Failure(f"the process has ended with status {self.process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise Failure(answer["error"])
        return answer

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def installed(contestant: str) -> bool:
    """Whether the contestant's library can be imported."""
    return importlib.util.find_spec(LIBRARIES[contestant]) is not None


def chosen_contestants(compiling: bool, others: bool) -> list[str]:
    """Those that take part, Lampas last: `torch` and `lampas`, with the compiling ones and the others if asked."""
    wanted = [
        name
        for name in LIBRARIES
        if (compiling or name not in COMPILING) and (others or name not in OTHERS)
    ]
    return [name for name in wanted if installed(name)]
