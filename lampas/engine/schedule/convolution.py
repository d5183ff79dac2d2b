"""Calls of the convolutions' kernels, from the entries that carry their forms (images.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lampas.engine.graph import primitives as p
from lampas.engine.llvm.target import host
from lampas.engine.loops.brgemm import GemmPlan
from lampas.engine.loops.convolution_forward import blocks_of_rows, kernel_of, plan_convolution
from lampas.engine.loops.convolution_weight_plan import plan_convolution_weight
from lampas.engine.loops.depthwise_plan import plan_depthwise, plan_depthwise_weight
from lampas.engine.loops.winograd_plan import (
    blocks_of_tiles,
    plan_winograd,
)
from lampas.engine.loops.winograd_weight_plan import plan_winograd_weight
from lampas.engine.schedule.contract import GemmCall, inheritance, operand, write_epilogue
from lampas.engine.schedule.images import LEARNING, ConvolutionForm, PhasesForm

if TYPE_CHECKING:
    from lampas.engine.dtype import dtype
    from lampas.engine.schedule.draft import Place
    from lampas.engine.schedule.nesting import Cells
    from lampas.engine.schedule.paths import Paths
    from lampas.engine.schedule.steps import Contraction


def plan_form(kind: dtype, form: ConvolutionForm, threads: int, **options: Any) -> GemmPlan:
    """The plan of a forward product."""
    if form.is_depthwise:
        return plan_depthwise(kind, form.sizes, threads=threads, **options)
    if form.way:
        sizes = form.winograd
        return plan_winograd(kind, sizes, form.way, threads=threads, turned=form.turned, **options)
    return plan_convolution(kind, form.sizes, threads=threads, turned=form.turned, **options)


def blocks_of(kind: dtype, form: ConvolutionForm) -> int:
    """Into how many blocks of rows a forward product is cut: each has moments of its own."""
    if form.way:
        return blocks_of_tiles(kind, form.winograd, form.way)
    return blocks_of_rows(form.sizes, kernel_of(kind, form.sizes, host()))


def places_of(
    paths: Paths, number: int, result: int, plan: GemmPlan, scratch: dict[int, int]
) -> dict[str, tuple[Place, int]]:
    """Where the operands of a kernel lie."""
    entry = paths.entries[number]
    places: dict[str, tuple[Place, int]] = {"c": (("entry", result), 0)}
    for name, source in zip(("a", "b"), entry.sources, strict=True):
        base, reading = operand(paths, source)
        places[name] = (("entry", base), reading.offset * entry.dtype.itemsize)
    if plan.scratch_bytes:
        place = len(scratch)
        scratch[place] = plan.scratch_bytes
        places["scratch"] = (("scratch", place), 0)
    return places


def convolution_call(
    step: Contraction, paths: Paths, cells: Cells, scratch: dict[int, int], threads: int
) -> GemmCall:
    """Plan a product with windows and its epilogue."""
    entry = paths.entries[step.entry]
    form: ConvolutionForm = entry.attributes[0]
    epilogue, c, arrays = None, step.entry, []
    if step.region.members:
        epilogue, c, arrays = write_epilogue(step, paths, cells)
    extras = arrays[1:]
    options: dict[str, Any] = {"extras": [extra.strides for extra in extras]}
    if form.way and step.moments is None and keeps_weight(paths, entry.sources[1]):
        options["keeps"] = True
    if step.moments is not None:
        options["moments"] = True
    plan = plan_form(entry.dtype, form, threads, epilogue=epilogue, **options)
    places = places_of(paths, step.entry, c, plan, scratch)
    if plan.preparing:
        places["kept"] = (("kept", step.entry), 0)
    if step.moments is not None:
        places["moments"] = (("entry", step.moments), 0)
    for number, extra in enumerate(extras):
        places[f"extra{number}"] = (extra.place, extra.offset * extra.dtype.itemsize)
    bases = {operand(paths, source)[0] for source in entry.sources}
    # Sums of a part of the depth wait in C: what the epilogue reads must not lie there.
    heirs = inheritance(extras, bases, entry.shape)
    return GemmCall(step.entry, plan, places, heirs, tuple(step.stores))


def keeps_weight(paths: Paths, number: int) -> bool:
    """Whether a weight's transform should outlive a run: the weight lies in memory, and nothing learns here."""
    if any(entry.op in LEARNING for entry in paths.entries):
        return False
    base, reading = operand(paths, number)
    leaf = paths.entries[base]
    return leaf.op is p.BUFFER and not reading.offset and leaf.numel == paths.entries[number].numel


def kernel_call(
    paths: Paths, number: int, scratch: dict[int, int], threads: int
) -> GemmCall | None:
    """Plan an entry that carries a form and has no epilogue; None for any other."""
    entry = paths.entries[number]
    form = entry.attributes[0] if entry.attributes else None
    if isinstance(form, PhasesForm):
        plan = plan_phases(entry.dtype, form, threads)
    elif isinstance(form, ConvolutionForm) and form.way:
        plan = plan_winograd_weight(entry.dtype, form.winograd, form.way, threads=threads)
    elif isinstance(form, ConvolutionForm) and form.is_depthwise:
        plan = plan_depthwise_weight(entry.dtype, form.sizes, threads=threads)
    elif isinstance(form, ConvolutionForm):
        plan = plan_convolution_weight(entry.dtype, form.sizes, threads=threads)
    else:
        return None
    places = places_of(paths, number, number, plan, scratch)
    return GemmCall(number, plan, places, (), (number,))


def plan_phases(kind: dtype, form: PhasesForm, threads: int) -> GemmPlan:
    """The calls of all phases, one after the other over the same scratch memory."""
    plans = [plan_form(kind, phase, threads) for phase in form.phases]
    calls = [call for plan in plans for call in plan.calls]
    return GemmPlan(tuple(calls), max(plan.scratch_bytes for plan in plans))
