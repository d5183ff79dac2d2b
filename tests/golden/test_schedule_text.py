"""The schedule of a training step as text: fusion decisions do not change unnoticed."""

from __future__ import annotations

from lampas.engine.graph import build as g
from lampas.engine.realize.building import build_program
from lampas.engine.schedule.text import memory_text, nests_text
from lampas.engine.settings import settings
from tests.unit.schedules import graph_of, leaf, steps_of
from tests.unit.training_graphs import training_step

SGD_STEP = """\
schedule
  product %3 then %7 -> %7
  product %10 then %13 -> %13
  product %16 -> %16
  region [64, 10] reduced [1] %19 %21 %22 %23 %24 %46 %47 %48 %49 -> %24 %49
  region [64] reduced [0] %27 %28 %29 %32 -> %32
  product %50 then %51 -> %51
  product %52 then %53 -> %53
  product %55 -> %55
  region [512, 784] %57 -> %57
  region [64, 512] reduced [0] %58 %60 %61 -> %61
  product %63 -> %63
  region [512, 512] %65 -> %65
  region [64, 512] reduced [0] %66 %68 %69 -> %69
  product %71 then %73 -> %73
  region [64, 10] reduced [0] %74 %76 %77 -> %77
"""

SOFTMAX = """\
%5 over 6×10
nest kept 1 reduced 1 row
  out a float32[s | 1]
  in  b float32[s | 1]
  %0 = load b                          element float32
  %1 = reduce max %0                   row     float32
  %2 = subtract %0 %1                  element float32
  %3 = exp %2                          element float32
  %4 = reduce sum %3                   row     float32
  %5 = divide %3 %4                    element float32
  store a %5
"""


def test_training_step() -> None:
    assert steps_of(*training_step(64, optimizer="sgd")) == SGD_STEP


def test_softmax_is_one_nest() -> None:
    x = leaf(6, 10)
    e = g.exp(g.subtract(x, g.max_dims(x, [1])))
    program = build_program(graph_of(g.divide(e, g.sum_dims(e, [1]))))
    assert nests_text(program.schedule).rstrip() == SOFTMAX.rstrip()


MEMORY = """\
memory
  %1 240 bytes at 0 steps 0-1
  %2 240 bytes at 0 steps 1-3 over %1
  %3 is output 0
  %5 is output 1, may overwrite %4
  arena 256 bytes
"""


def test_memory() -> None:
    """Without fusion each step has its value; each takes over its operand's place."""
    x, y = leaf(6, 10), leaf(6, 10, seed=1)
    first = g.sin(g.exp(x))
    with settings.override(fuse=False):
        program = build_program(graph_of(g.cos(first), g.add(y, first)))
    assert memory_text(program.schedule) == MEMORY
