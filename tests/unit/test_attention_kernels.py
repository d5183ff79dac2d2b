"""The attention kernels against the reference: masks, sizes, memory they touch, threads, other machines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import lampas
from lampas.engine.graph import primitives as p
from lampas.engine.graph.reference import REFERENCE_RULES
from lampas.engine.llvm.compiler import object_code
from lampas.engine.llvm.target import Target, aarch64_neon, host, x86_avx2, x86_avx512, x86_sse2
from lampas.engine.loops.attention_plan import (
    AttentionSizes,
    plan_attention,
    plan_attention_backward,
)
from lampas.nn import functional
from tests.unit.gemm_programs import WIDE, element_strides, guarded, program_of

Array = np.ndarray


@dataclass(frozen=True)
class Case:
    """Sizes (outer, heads, queries, keys, depth, width), and the mask: "causal", "bias", "blind" or none."""

    sizes: tuple[int, int, int, int, int, int]
    mask: str = ""
    scale: float = 0.3

    @property
    def causal(self) -> bool:
        return self.mask == "causal"

    def operands(self) -> list[Array]:
        """Query, key, value, flow, then the bias, if any."""
        outer, heads, queries, keys, depth, width = self.sizes
        rng = np.random.default_rng(3)
        rows = ((queries, depth), (keys, depth), (keys, width), (queries, width))
        found = [rng.standard_normal((outer, heads, *size)).astype(np.float32) for size in rows]
        if self.mask in ("bias", "blind"):
            bias = rng.standard_normal((outer, 1, queries, keys)).astype(np.float32)
            bias[bias > 1] = -np.inf
            if self.mask == "blind":
                bias[:, :, ::3] = -np.inf
            found.append(np.broadcast_to(bias, (outer, heads, queries, keys)))
        return found


CASES = [
    Case((2, 3, 48, 64, 32, 32)),
    Case((1, 2, 8, 16, 16, 16)),
    Case((1, 1, 65, 65, 32, 64)),
    Case((1, 2, 100, 39, 48, 16)),
    Case((2, 1, 128, 128, 32, 32), "causal"),
    Case((1, 2, 50, 77, 16, 32), "causal"),
    Case((1, 2, 99, 31, 32, 16), "causal"),
    Case((2, 2, 17, 300, 64, 64), "causal", -0.2),
    Case((2, 3, 61, 50, 16, 48), "bias"),
    Case((1, 2, 40, 27, 32, 32), "blind"),
]
TARGETS = [x86_sse2(), x86_avx2(), x86_avx512(), aarch64_neon()]


def rows_of(array: Array) -> tuple[int, int, int]:
    return element_strides(array)[:3]


def run(case: Case, backward: bool, target: Target | None = None, threads: int = 1) -> Array:
    """What a kernel computes; every array ends at a forbidden page."""
    query, key, value, flow, *bias = case.operands()
    names = {"a": query, "b": key, "extra0": value}
    listed = [query, key, value]
    if backward:
        names["extra1"] = flow
        listed.append(flow)
    options = {"bias": rows_of(bias[0])} if bias else {}
    sizes = AttentionSizes(*case.sizes)
    plan = (plan_attention_backward if backward else plan_attention)(
        sizes, [rows_of(a) for a in listed], case.scale, case.causal, threads=threads, target=target, **options
    )  # fmt: skip
    size = query.size + key.size + value.size if backward else flow.size
    out = guarded(np.full(size, np.nan, np.float32))
    arrays = {name: guarded(array) for name, array in names.items()}
    if bias:
        arrays["extra2"] = np.broadcast_to(guarded(bias[0][:, :1]), bias[0].shape)
    program_of(plan, {**arrays, "c": out}, threads)()
    return out


def expected(case: Case, backward: bool) -> Array:
    query, key, value, flow, *bias = (array.astype(np.float64) for array in case.operands())
    op = p.ATTENTION_BACKWARD if backward else p.ATTENTION
    operands = [query, key, value, *([flow] if backward else []), *bias]
    return REFERENCE_RULES[op](operands, case.scale, case.causal).reshape(-1)


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_kernel_computes_attention(case: Case, backward: bool) -> None:
    wanted = expected(case, backward)
    for target in {host(), x86_sse2(host().triple), WIDE}:
        np.testing.assert_allclose(
            run(case, backward, target), wanted, rtol=2e-5, atol=2e-6 * np.abs(wanted).max()
        )


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_any_number_of_threads_gives_the_same_bits(backward: bool) -> None:
    for case in (CASES[4], CASES[8]):
        one, three = (run(case, backward, threads=count) for count in (1, 3))
        assert one.tobytes() == three.tobytes()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_kernels_compile_for_other_machines(target: Target) -> None:
    plain = (0, 0, 0)
    for case in (CASES[2], CASES[4], CASES[8]):
        bias = plain if case.mask == "bias" else None
        sizes = AttentionSizes(*case.sizes)
        forward = plan_attention(sizes, [plain] * 3, 1.0, case.causal, bias=bias, target=target)
        backward = plan_attention_backward(
            sizes, [plain] * 4, 1.0, case.causal, bias=bias, target=target
        )
        for plan in (forward, backward):
            assert object_code(plan.calls[0].kernel.module(), target)


def test_a_new_size_needs_no_new_kernel() -> None:
    sizes = [(2, 3, 48, 64, 32, 32), (1, 1, 999, 1001, 32, 64), (7, 5, 8, 16, 96, 96)]
    plain = [(0, 0, 0)] * 4
    kernels = [
        (
            plan_attention(AttentionSizes(*each), plain[:3], 1.0, True).calls[0].kernel,
            plan_attention_backward(AttentionSizes(*each), plain, 1.0, True).calls[0].kernel,
        )
        for each in sizes
    ]
    assert len(set(kernels)) == 1


@pytest.mark.parametrize("mask", ["", "causal", "bool", "float", "learned"])
def test_the_fused_way_is_the_spelled_out_one(mask: str) -> None:
    """float32 takes the kernels, float64 the composition; both with first and second derivatives, and broadcasting."""
    found = []
    for kind in (lampas.float32, lampas.float64):
        lampas.manual_seed(0)
        q, k, v = (
            lampas.randn(*lead, rows, 16, dtype=lampas.float32).to(kind).requires_grad_()
            for lead, rows in (((3, 2), 20), ((1, 2), 33), ((2,), 33))
        )
        given = None
        if mask in ("float", "learned"):
            given = lampas.randn(20, 33, dtype=lampas.float32).to(kind)
            given.requires_grad_(mask == "learned")
        elif mask == "bool":
            given = lampas.rand(3, 1, 20, 33) > 0.4
        made = functional.scaled_dot_product_attention(
            q, k, v, attn_mask=given, is_causal=mask == "causal"
        )
        leaves = [q, k, v, *([given] if mask == "learned" else [])]
        first = lampas.autograd.grad(made.square().sum(), leaves, create_graph=True)
        second = lampas.autograd.grad(sum(each.square().sum() for each in first), leaves)
        found.append([each.detach().numpy() for each in (made, *first, *second)])
    for got, wanted in zip(*found, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())
