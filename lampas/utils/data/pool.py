"""The loader's side of its worker processes: starting, waiting, finding the dead, shutting down."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import re
import signal
import sys
import threading
import time
import warnings
import weakref
from multiprocessing.connection import wait
from typing import Any

from lampas.utils.data.channel import Channel, loader_ends
from lampas.utils.data.worker import WorkerSetup, serve

# How long a worker may finish what it is doing before it is ended.
_GRACE_SECONDS = 5.0
_HINTS = {
    "SIGKILL": " Was it ended for want of memory?",
    "SIGBUS": " Is there room in shared memory?",
}


def _main_can_be_imported_again() -> bool:
    """Whether a fresh process may import the program's main module without running it."""
    main = sys.modules.get("__main__")
    path = getattr(main, "__file__", None)
    if path is None or getattr(main, "__spec__", None) is not None:
        return True
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return re.search(r"^if\s+\(?\s*__name__\s*==", file.read(), re.MULTILINE) is not None
    except OSError:
        return False


def _other_threads_run() -> bool:
    """Whether threads run that a forked child would lose, perhaps with a lock held."""
    return any(
        thread is not threading.current_thread() and not thread.daemon
        for thread in threading.enumerate()
    )


def choose_context(setup: WorkerSetup) -> Any:
    """The way to start workers where the program named none.

    Forking is quick and takes any dataset along; it is unsafe beside other threads. There, a fork
    server is used, if the dataset can be pickled and the program survives a second import.
    """
    methods = multiprocessing.get_all_start_methods()
    chosen = multiprocessing.get_start_method(allow_none=True)
    if chosen is not None:
        return multiprocessing.get_context(chosen)
    if "fork" not in methods or sys.platform == "darwin":
        return multiprocessing.get_context("spawn")
    if _other_threads_run() and _main_can_be_imported_again() and _pickled(setup) is not None:
        return multiprocessing.get_context("forkserver")
    return multiprocessing.get_context("fork")


def _pickled(setup: WorkerSetup) -> bytes | None:
    try:
        return pickle.dumps(setup)
    except Exception:
        return None


class WorkerDied(RuntimeError):
    """A worker process ended by itself; the message names its process and signal."""


class WorkerPool:
    """`num_workers` processes and the channels to them.

    The processes end when `shutdown` is called, when the pool is collected, when the interpreter
    exits, and when this process dies in whatever way (they read the end of file).
    """

    def __init__(self, setup: WorkerSetup, context: Any) -> None:
        self.channels: list[Channel] = []
        self.processes: list[Any] = []
        self._finalizer = weakref.finalize(self, _end, os.getpid(), self.channels, self.processes)
        try:
            for worker_id in range(setup.num_workers):
                self._start(worker_id, setup, context)
        except BaseException:
            self.shutdown()
            raise

    def _start(self, worker_id: int, setup: WorkerSetup, context: Any) -> None:
        ours, theirs = Channel.pair()
        self.channels.append(ours)
        loader_ends.add(ours)
        process = context.Process(target=serve, args=(worker_id, theirs, setup), daemon=True)
        try:
            with warnings.catch_warnings():
                # Our compute threads survive a fork; Python cannot know that.
                warnings.filterwarnings("ignore", ".*multi-threaded", DeprecationWarning)
                process.start()
            self.processes.append(process)
        finally:
            theirs.close()

    def send(self, worker_id: int, request: Any) -> None:
        """Sends a request. Raises WorkerDied where the worker is gone."""
        try:
            self.channels[worker_id].send(request)
        except ConnectionError:
            raise self._death([worker_id]) from None

    def receive(self, timeout: float | None) -> list[Any]:
        """Waits for answers: one message of every worker that has one.

        The list is empty on timeout. Raises WorkerDied as soon as a worker has ended.
        """
        places: dict[Any, int] = {end: place for place, end in enumerate(self.channels)}
        sentinels = {process.sentinel: i for i, process in enumerate(self.processes)}
        ready: list[Any] = wait([*places, *sentinels], timeout)
        dead = [sentinels[item] for item in ready if item in sentinels]
        if dead:
            raise self._death(dead)
        answers = []
        for item in ready:
            try:
                answers.append(item.receive())
            except (EOFError, ConnectionError):
                raise self._death([places[item]]) from None
        return answers

    def _death(self, workers: list[int]) -> WorkerDied:
        reports = []
        for worker_id in workers:
            process = self.processes[worker_id]
            process.join(1.0)  # Its descriptors are closed a moment before it has an exit code.
            code = process.exitcode
            if code is not None and code < 0:
                number = signal.Signals(-code)
                name = f"{number.name} ({signal.strsignal(number)})"
                fate = f"is killed by signal: {name}.{_HINTS.get(number.name, '')}"
            else:
                fate = f"exited unexpectedly with exit code {code}."
            reports.append(f"DataLoader worker {worker_id} (pid {process.pid}) {fate}")
        pids = ", ".join(str(self.processes[worker_id].pid) for worker_id in workers)
        return WorkerDied(f"{' '.join(reports)} (DataLoader worker (pid(s) {pids}))")

    def shutdown(self) -> None:
        """Ends all workers and waits for them; harmless when called again."""
        self._finalizer()


def _end(owner: int, channels: list[Channel], processes: list[Any]) -> None:
    if os.getpid() != owner:
        return  # A forked child inherits the pool but not the workers.
    for channel in channels:
        channel.hang_up()
    deadline = time.monotonic() + _GRACE_SECONDS
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.terminate()
            process.join(1.0)
        if process.is_alive():
            process.kill()
            process.join()
    processes.clear()
