"""One contestant in one process: builds workloads and runs their steps when told to.

Reads a command a line from standard input, a JSON list of its name and arguments, and answers a line of JSON:
`build NAME` (seconds of the first steps), `time NAME SECONDS` (seconds of each step), `change NAME` (what other
sizes cost), `memory NAME SECONDS` (growth), `drop NAME`.
"""

from __future__ import annotations

import gc
import importlib
import json
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from bench import memory, others
from bench.contestants import COMPILING, LIBRARIES, OTHERS
from bench.workloads import WORKLOADS, Program, Step, make_program, make_step

SETTLING = 8  # steps until a program has met all that it compiles for


class Session:
    """A contestant and the workloads that it has built."""

    def __init__(self, contestant: str) -> None:
        self.contestant = contestant
        start = time.perf_counter()
        self.library = importlib.import_module(LIBRARIES[contestant])
        if contestant not in OTHERS:
            for part in ("nn", "optim"):
                importlib.import_module(f"{LIBRARIES[contestant]}.{part}")
        self.seconds_to_import = time.perf_counter() - start
        self.resident = memory.resident()
        self.wrap: Callable[[Any], Any] | None = None
        if contestant in COMPILING:
            if not hasattr(self.library, "compile"):
                raise LookupError(f"{self.library.__name__} has no function `compile`")
            self.wrap = self.library.compile
        self.programs: dict[str, Program] = {}
        self.steps: dict[str, Step] = {}

    def build(self, name: str) -> dict[str, Any]:
        """Make a workload and run it until its program is settled."""
        before = self.kernels()
        if self.contestant in OTHERS:
            self.steps[name] = others.make_step(self.contestant, name)
        else:
            chosen = WORKLOADS[name]
            program = make_program(self.library, chosen, self.wrap)
            self.programs[name] = program
            self.steps[name] = make_step(self.library, program, chosen.batch, chosen.extent)
        return {**settle(self.steps[name]), "kernels": self.kernels() - before}

    def time(self, name: str, seconds: float) -> dict[str, Any]:
        """The duration of each step during about `seconds`."""
        return {"times": durations(self.steps[name], seconds)}

    def change(self, name: str) -> dict[str, Any]:
        """What it costs to run the same program at other sizes: kernels compiled, and the first steps."""
        found: dict[str, Any] = {}
        if self.contestant in OTHERS:
            return found
        for what, (batch, extent) in WORKLOADS[name].changed().items():
            step = make_step(self.library, self.programs[name], batch, extent)
            before = self.kernels()
            found[what] = {**settle(step), "kernels": self.kernels() - before}
        return found

    def memory(self, name: str, seconds: float) -> dict[str, Any]:
        """MiB of the process at its most while it builds and runs: in all, and beyond what the import took."""
        memory.reset_peak()
        self.build(name)
        self.time(name, seconds)
        return {"peak": memory.peak(), "growth": memory.peak() - self.resident}

    def drop(self, name: str) -> dict[str, Any]:
        """Forget a workload, so that it does not burden the next one."""
        self.programs.pop(name, None)
        self.steps.pop(name, None)
        if self.contestant == "torch-compile":
            # Workloads share functions, and TorchDynamo gives up on a function that it has compiled eight times.
            self.library._dynamo.reset()
        gc.collect()
        return {}

    def kernels(self) -> int:
        """How many kernels this process has compiled, or loaded from the contestant's cache on disk."""
        if LIBRARIES[self.contestant] == "lampas":
            counters = importlib.import_module("lampas.engine.llvm.cache").counters
            return counters.compiled + counters.disk_hits
        metrics = sys.modules.get("torch._inductor.metrics")
        return 0 if metrics is None else metrics.generated_kernel_count


def settle(step: Step) -> dict[str, Any]:
    """Run the first steps: seconds of the first, of what they took beyond as many later ones, the first value."""
    start = time.perf_counter()
    value = step()
    first = time.perf_counter() - start
    for _ in range(SETTLING - 1):
        step()
    settled = time.perf_counter() - start
    usual = statistics.median(durations(step, 0.05))
    return {"value": value, "first": first, "preparing": max(0.0, settled - SETTLING * usual)}


def durations(step: Step, seconds: float) -> list[float]:
    """Seconds of each step, for about as long as given and at least once."""
    times: list[float] = []
    now = time.perf_counter()
    deadline = now + seconds
    while not times or now < deadline:
        start = now
        step()
        now = time.perf_counter()
        times.append(now - start)
    return times


def serve(contestant: str) -> None:
    """Obey commands until the input ends."""
    out = sys.stdout
    sys.stdout = sys.stderr  # whatever a library prints must not get between the answers

    def answer(work: Callable[[], dict[str, Any]]) -> None:
        try:
            value = work()
        except Exception as error:
            if not isinstance(error, LookupError):  # what is not there needs no explanation
                traceback.print_exc()
            value = {"error": f"{type(error).__name__}: {error}"}
        out.write(json.dumps(value) + "\n")
        out.flush()

    session: Any = None

    def open_session() -> dict[str, Any]:
        nonlocal session
        session = Session(contestant)
        return {"import": session.seconds_to_import}

    answer(open_session)
    for line in sys.stdin:
        action, *arguments = json.loads(line)
        answer(lambda action=action, given=arguments: getattr(session, action)(*given))


if __name__ == "__main__":
    serve(sys.argv[1])
