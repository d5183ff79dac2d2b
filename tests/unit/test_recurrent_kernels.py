"""The kernels of LSTM and GRU against the reference: sizes, directions, memory they touch, threads, other machines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import lampas
from lampas.engine.graph import primitives as p
from lampas.engine.graph.reference import REFERENCE_RULES
from lampas.engine.llvm.compiler import object_code
from lampas.engine.llvm.target import Target, aarch64_neon, host, x86_avx2, x86_avx512, x86_sse2
from lampas.engine.loops.recurrent_plan import (
    WEIGHT_ROW,
    RecurrentSizes,
    plan_recurrent,
    plan_recurrent_backward,
)
from tests.unit.gemm_programs import WIDE, guarded, program_of

Array = np.ndarray


@dataclass(frozen=True)
class Case:
    """Kind of cell, times, sequences, size, direction."""

    cell: Any
    times: int
    batch: int
    size: int
    backwards: bool = False

    @property
    def sizes(self) -> RecurrentSizes:
        return RecurrentSizes(self.cell, self.times, self.batch, self.size, self.backwards)

    def strides(self, width: int) -> dict[str, int]:
        """Of operands that lie row-major; `width` of the one with times."""
        alike = dict.fromkeys(
            ("STATE_ROW", "CELL_ROW", "LAST_ROW", "LAST_CELL_ROW", WEIGHT_ROW), self.size
        )
        return {"INPUT_TIME": self.batch * width, "INPUT_ROW": width, **alike}

    def operands(self) -> dict[str, Array]:
        """What the forward kernel reads, by name, in the order of the primitive."""
        rng = np.random.default_rng(5)
        wide = self.sizes.gates * self.size
        shapes = {
            "projected": (self.times, self.batch, wide), "state": (self.batch, self.size),
            "cell": (self.batch, self.size), "weight": (wide, self.size), "bias": (wide,),
        }  # fmt: skip
        if self.cell == "gru":
            del shapes["cell"]
        return {n: rng.uniform(-0.7, 0.7, shape).astype(np.float32) for n, shape in shapes.items()}

    def flows(self) -> dict[str, Array]:
        """Cotangents of states, last state and cell."""
        rng = np.random.default_rng(6)
        names = ("last", "last_cell") if self.cell == "lstm" else ("last",)
        shapes = [(self.times, self.batch, self.size)] + [(self.batch, self.size)] * len(names)
        return {
            n: rng.standard_normal(shape).astype(np.float32)
            for n, shape in zip(("flow", *names), shapes, strict=True)
        }


CASES = [
    Case("lstm", 1, 1, 16),
    Case("lstm", 5, 7, 48),
    Case("lstm", 3, 33, 64, backwards=True),
    Case("gru", 1, 2, 32),
    Case("gru", 4, 8, 16, backwards=True),
    Case("gru", 6, 13, 80),
]
TARGETS = [x86_sse2(), x86_avx2(), x86_avx512(), aarch64_neon()]


def forward(case: Case, target: Target, threads: int = 1) -> Array:
    """States and what is kept; every array ends at a forbidden page."""
    given = case.operands()
    strides = case.strides(case.sizes.gates * case.size)
    plan = plan_recurrent(case.sizes, strides, threads=threads, target=target)
    count = case.times * case.batch * case.size * (6 if case.cell == "lstm" else 5)
    out = guarded(np.full(count, np.nan, np.float32))
    arrays = {name: guarded(array) for name, array in given.items()}
    program_of(plan, {**arrays, "c": out}, threads)()
    return out


def backward(case: Case, flat: Array, target: Target, threads: int = 1) -> Array:
    """All flows, from what forward gave."""
    given, flows = case.operands(), case.flows()
    states = case.times * case.batch * case.size
    names = ("state", "cell", "weight") if case.cell == "lstm" else ("state", "weight")
    arrays = {"states": flat[:states], "kept": flat[states:], **{n: given[n] for n in names}}
    plan = plan_recurrent_backward(
        case.sizes, case.strides(case.size), threads=threads, target=target
    )
    gates, more = (4, 2) if case.cell == "lstm" else (6, 1)
    count = states * gates + more * case.batch * case.size
    out = guarded(np.full(count, np.nan, np.float32))
    guards = {name: guarded(array) for name, array in {**arrays, **flows}.items()}
    program_of(plan, {**guards, "c": out}, threads)()
    return out


def expected(case: Case) -> tuple[Array, Array]:
    given, flows = case.operands(), case.flows()
    attributes = case.cell, case.backwards
    flat = REFERENCE_RULES[p.RECURRENT](list(given.values()), *attributes)
    states = case.times * case.batch * case.size
    shape = case.times, case.batch, case.size
    rest = [given[n] for n in ("state", "cell", "weight") if n in given]
    operands = [flat[:states].reshape(shape), flat[states:], *rest, *flows.values()]
    return flat, REFERENCE_RULES[p.RECURRENT_BACKWARD](operands, *attributes)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_kernels_compute_all_times(case: Case) -> None:
    flat, flows = expected(case)
    for target in {host(), x86_sse2(host().triple), WIDE}:
        np.testing.assert_allclose(forward(case, target), flat, rtol=2e-5, atol=2e-6)
        got = backward(case, flat, target)
        np.testing.assert_allclose(got, flows, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("case", [CASES[2], CASES[5]], ids=str)
def test_any_number_of_threads_gives_the_same_bits(case: Case) -> None:
    one, three = (forward(case, host(), count) for count in (1, 3))
    assert one.tobytes() == three.tobytes()
    one, three = (backward(case, three, host(), count) for count in (1, 3))
    assert one.tobytes() == three.tobytes()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_kernels_compile_for_other_machines(target: Target) -> None:
    for case in (CASES[2], CASES[5]):
        strides = case.strides(case.size)
        for make in (plan_recurrent, plan_recurrent_backward):
            for call in make(case.sizes, strides, target=target).calls:
                assert object_code(call.kernel.module(), target)


def test_a_new_size_needs_no_new_kernel() -> None:
    first, *others = (Case("lstm", *sizes) for sizes in ((2, 3, 64), (90, 41, 128), (1, 1, 32)))
    for make in (plan_recurrent, plan_recurrent_backward):
        kernels = {make(c.sizes, c.strides(c.size)).calls[-1].kernel for c in (first, *others)}
        assert len(kernels) == 1


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("backwards", [False, True], ids=["one way", "both ways"])
def test_the_fused_way_is_the_spelled_out_one(kind: str, backwards: bool) -> None:
    """float32 takes the kernels, float64 the steps, one after the other; with first and second derivatives."""
    found = []
    for number in (lampas.float32, lampas.float64):
        lampas.manual_seed(0)
        layer = getattr(lampas.nn, kind)(5, 16, bidirectional=backwards).to(number)
        x = lampas.randn(4, 3, 5, dtype=lampas.float32).to(number).requires_grad_()
        output, state = layer(x)
        value = output.cos().sum() + sum(
            each.square().sum() for each in (state if kind == "LSTM" else (state,))
        )
        leaves = [x, *layer.parameters()]
        first = lampas.autograd.grad(value, leaves, create_graph=True)
        second = lampas.autograd.grad(sum(each.square().sum() for each in first), leaves)
        found.append([each.detach().numpy() for each in (output, *first, *second)])
    for got, wanted in zip(*found, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


def test_only_the_last_state_may_be_asked_for() -> None:
    """Cotangents that are not there count as zeros, and unused ones ask for nothing."""
    layer = lampas.nn.GRU(4, 16)
    x = lampas.randn(3, 2, 4)
    layer(x)[1].sum().backward()
    got = [parameter.grad.clone() for parameter in layer.parameters()]
    layer.zero_grad()
    layer(x)[0][-1].sum().backward()
    for one, other in zip(got, layer.parameters(), strict=True):
        assert lampas.allclose(one, other.grad, atol=1e-6)
