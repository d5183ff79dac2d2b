"""Times matrix products against torch.mm (or torch.bmm) in turns, and against the machine's measured peak.

    python bench/gemm.py [--threads 1 2] [--rounds 5] [--seconds 0.05] [--only 64x512]

For each shape and number of threads both libraries run for `seconds`, turn after turn; printed are the best time of
each, the rate, the ratio (above 1: Lampas is faster), and the share of the peak rate of multiply-adds, measured in
the same turns by a kernel that does nothing else. Letters tell how A and B are stored: T means transposed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench.machine import best_seconds, peak_product
from lampas.engine.device.buffer import Buffer
from lampas.engine.device.launch import Program, Record
from lampas.engine.device.pool import set_num_threads
from lampas.engine.dtype import float32
from lampas.engine.loops.brgemm import plan_gemm

# fmt: off
SHAPES = [
    # batch, m, n, k, layout
    (1, 64, 512, 784, "NT"), (1, 64, 512, 512, "NT"), (1, 64, 10, 512, "NT"), (1, 64, 512, 10, "NN"),
    (1, 64, 512, 512, "NN"), (1, 512, 784, 64, "TN"), (1, 512, 512, 64, "TN"), (1, 10, 512, 64, "TN"),
    (1, 64, 784, 512, "NN"), (1, 64, 784, 512, "TN"), (1, 1, 1024, 1024, "NT"), (1, 1, 1024, 1024, "NN"),
    (48, 128, 128, 32, "NT"), (48, 128, 32, 128, "NN"), (1, 512, 512, 512, "NN"), (1, 1024, 1024, 1024, "NN"),
    (1, 1024, 1024, 1024, "NT"), (1, 2048, 2048, 2048, "NN"),
    (1, 64, 128, 10000, "TN"), (1, 128, 64, 10000, "TN"), (1, 128, 64, 2000, "TN"),
]
# fmt: on
SPINNING = 0.25  # seconds that PyTorch's threads go on turning after a call: nobody else is timed meanwhile


def operand(batch: int, rows: int, columns: int, letter: str) -> numpy.ndarray:
    """Return random matrices in aligned memory, stored by columns for the letter T."""
    shape = (batch, rows, columns) if letter == "N" else (batch, columns, rows)
    values = Buffer.allocate(4 * batch * rows * columns).array(numpy.float32, shape)
    numpy.random.default_rng(0).standard_normal(out=values, dtype=numpy.float32)
    return values if letter == "N" else values.transpose(0, 2, 1)


def lampas_product(
    a: numpy.ndarray, b: numpy.ndarray, c: numpy.ndarray, threads: int
) -> Callable[[], None]:
    """Return a call that computes c = a @ b."""
    strides = [tuple(stride // 4 for stride in x.strides) for x in (a, b, c)]
    plan = plan_gemm(
        float32,
        *(a.shape[1], b.shape[2], a.shape[2]),
        *(stride[1:] for stride in strides),
        batch=a.shape[:1],
        a_batch=strides[0][:1],
        b_batch=strides[1][:1],
        c_batch=strides[2][:1],
        threads=threads,
    )
    scratch = Buffer.allocate(plan.scratch_bytes)
    names = ["a", "b", "c", "scratch"]
    records = [
        Record(
            call.address(),
            tuple((names.index(name), offset) for name, offset in call.operands),
            call.integers,
            call.extent,
            call.grain,
            call.work,
            call.name,
        )
        for call in plan.calls
    ]
    program = Program(records, 4, threads)
    pointers = [x.__array_interface__["data"][0] for x in (a, b, c)] + [scratch.pointer]

    def run(held: Buffer = scratch) -> None:
        program.run(pointers)

    return run


def torch_product(a: numpy.ndarray, b: numpy.ndarray) -> Callable[[], None]:
    """Return a call that computes the product by PyTorch, into the same memory each time."""
    left, right = torch.from_numpy(a), torch.from_numpy(b)
    if a.shape[0] == 1:
        left, right = left[0], right[0]
        out = torch.empty(left.shape[0], right.shape[1])
        return lambda: torch.mm(left, right, out=out)
    out = torch.empty(a.shape[0], a.shape[1], b.shape[2])
    return lambda: torch.bmm(left, right, out=out)


def compare(
    shape: tuple[int, int, int, int, str], threads: int, rounds: int, seconds: float
) -> str:
    """Return the line of one shape."""
    batch, m, n, k, layout = shape
    a, b = operand(batch, m, k, layout[0]), operand(batch, k, n, layout[1])
    c = operand(batch, m, n, "N")
    peak, peak_operations = peak_product(threads)
    calls = [lampas_product(a, b, c, threads), torch_product(a, b), peak]
    best = [float("inf")] * 3
    for _ in range(rounds):
        for number, call in enumerate(calls):
            call()
            best[number] = min(best[number], best_seconds(call, seconds))
            time.sleep(SPINNING if number == 1 and threads > 1 else 0.0)
    operations = 2.0 * batch * m * n * k
    rates = [
        operations / best[0] / 1e9,
        operations / best[1] / 1e9,
        peak_operations / best[2] / 1e9,
    ]
    size = f"{batch}×" * (batch > 1) + f"{m}×{n}×{k} {layout}"
    return (
        f"{size:22s}{threads:3d}{best[0] * 1e6:12.1f}{best[1] * 1e6:12.1f}{rates[0]:9.0f}{rates[1]:9.0f}"
        f"{best[1] / best[0]:8.2f}{rates[0] / rates[2]:9.0%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.05)
    parser.add_argument("--only", default="", help="only shapes whose m×n×k contains this (x or ×)")
    given = parser.parse_args()
    print(f"{'m×n×k':22s}{'thr':>3s}{'lampas µs':>12s}{'torch µs':>12s}{'GFLOP/s':>9s}{'torch':>9s}{'ratio':>8s}{'of peak':>9s}")  # fmt: skip
    for threads in given.threads:
        set_num_threads(threads)
        torch.set_num_threads(threads)
        for shape in SHAPES:
            if given.only.replace("x", "×") in "×".join(map(str, shape[1:4])):
                print(compare(shape, threads, given.rounds, given.seconds), flush=True)


if __name__ == "__main__":
    main()
