"""The texts of small nests and of their kernels, compared with files.

A change here is a change of the generated code: look at it, time it (bench/nests.py), then write the files anew by

    python -m tests.golden.test_nests
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lampas.engine.dtype import bfloat16, float32
from lampas.engine.llvm.target import x86_avx2
from lampas.engine.loops.construction import NestBuilder
from lampas.engine.loops.emit import emit
from lampas.engine.loops.nest import BROADCAST, CONTIGUOUS, REVERSED, STRIDED, Nest

FOLDER = Path(__file__).parent / "nests"


def relu() -> Nest:
    nest = NestBuilder(1)
    value = nest.load(nest.operand(float32, "input", (CONTIGUOUS,)))
    result = nest.apply("maximum", value, nest.constant(0.0, float32))
    nest.store(nest.operand(float32, "output", (CONTIGUOUS,)), result)
    return nest.build()


def bias() -> Nest:
    nest = NestBuilder(2)
    value = nest.load(nest.operand(bfloat16, "input", (STRIDED, CONTIGUOUS)))
    shift = nest.load(nest.operand(bfloat16, "input", (BROADCAST, CONTIGUOUS)))
    nest.store(
        nest.operand(bfloat16, "output", (STRIDED, CONTIGUOUS)), nest.apply("add", value, shift)
    )
    return nest.build()


def row_sum() -> Nest:
    nest = NestBuilder(1, 1)
    value = nest.load(nest.operand(float32, "input", (STRIDED, CONTIGUOUS)))
    nest.store(nest.operand(float32, "output", (CONTIGUOUS, BROADCAST)), nest.reduce("sum", value))
    return nest.build()


def column_maximum() -> Nest:
    nest = NestBuilder(1, 1)
    value = nest.load(nest.operand(float32, "input", (CONTIGUOUS, STRIDED)))
    nest.store(nest.operand(float32, "output", (CONTIGUOUS, BROADCAST)), nest.reduce("max", value))
    return nest.build()


def softmax() -> Nest:
    nest = NestBuilder(1, 1)
    value = nest.load(nest.operand(float32, "input", (STRIDED, CONTIGUOUS)))
    power = nest.apply("exp", nest.apply("subtract", value, nest.reduce("max", value)))
    result = nest.apply("divide", power, nest.reduce("sum", power))
    nest.store(nest.operand(float32, "output", (STRIDED, CONTIGUOUS)), result)
    return nest.build()


def backwards() -> Nest:
    nest = NestBuilder(2)
    value = nest.load(nest.operand(float32, "input", (STRIDED, REVERSED)))
    nest.store(nest.operand(float32, "output", (STRIDED, CONTIGUOUS)), value)
    return nest.build()


NESTS = {nest.__name__: nest for nest in (relu, bias, row_sum, column_maximum, softmax, backwards)}


def text_of(name: str) -> str:
    """The nest, then its kernel for processors with AVX2."""
    nest = NESTS[name]()
    return f"{nest}\n{emit(nest, x86_avx2())[1]}"


@pytest.mark.parametrize("name", NESTS)
def test_text(name: str) -> None:
    assert text_of(name) == (FOLDER / f"{name}.txt").read_text()


if __name__ == "__main__":
    for name in NESTS:
        (FOLDER / f"{name}.txt").write_text(text_of(name))
