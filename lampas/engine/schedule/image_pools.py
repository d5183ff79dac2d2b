"""Maximum pooling over channels-last images: the place, the value and the gradient as kernels of their own.

In the graph the values are a gather by the places, and the gradient is a scattered sum into zeros; both are recognised by
the places that they use.  Places are kept as int32; who asks for them gets int64.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, NamedTuple, final

from lampas.engine.dtype import float32, float64, int32, int64
from lampas.engine.graph import primitives as p
from lampas.engine.graph.layout import Layout, channels_last
from lampas.engine.graph.linear import Entry
from lampas.engine.llvm.target import host
from lampas.engine.loops.brgemm import GemmPlan, KernelCall
from lampas.engine.loops.image_pooling import ImagePoolKernel, Part
from lampas.engine.loops.image_windows import WindowPoolKernel
from lampas.engine.schedule import pooling
from lampas.engine.schedule.contract import GemmCall, operand

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.schedule.draft import Place
    from lampas.engine.schedule.lay_out import Arranger
    from lampas.engine.schedule.paths import Paths

Shape = tuple[int, ...]
LEAST_CHANNELS = 8
MOST_CELLS = 1 << 31
MOST_TAPS = 3  # down and across of a window that is written out
NANOSECONDS_A_TAP = 0.15


@final
class PoolForm(NamedTuple):
    """What an entry computes: the part, and shapes and windows of the pooling."""

    part: Part
    image: Shape
    attributes: tuple[Shape, ...]

    def __str__(self) -> str:
        return f"pool {self.part}"

    @property
    def result(self) -> Shape:
        """(N, C, …) of the pooled image."""
        return (*self.image[:2], *self.attributes[4])


def max_pool_index(a: Arranger, number: int, entry: Entry) -> bool:
    """The places of the largest values."""
    source = entry.sources[0]
    x = a.entries[source]
    rank = len(entry.attributes[0])
    known = x.dtype in (float32, float64) and bool(entry.numel) and len(x.shape) == rank + 2
    suits = known and (source in a.held or x.shape[1] >= LEAST_CHANNELS)
    if not suits or not 0 < prod(x.shape[2:]) < MOST_CELLS:
        return a.fall_back(number, entry, pooling.max_pool_index)
    form = PoolForm("index", x.shape, entry.attributes)
    layout = channels_last(entry.shape)
    image = a.memory(a.inlay(source, channels_last(x.shape)))
    places = a.w.append(Entry(entry.op, (form,), (image,), layout.memory, int32))
    a.pools[number] = (places, image, form)
    return a.hold(number, a.w.emit(p.CAST, (places,), int64), layout)


def pool_behind(a: Arranger, number: int) -> int | None:
    """The pooling whose places an entry is a reshape of."""
    while a.entries[number].op is p.RESHAPE:
        number = a.entries[number].sources[0]
    return number if number in a.pools else None


def base_of(a: Arranger, number: int) -> int:
    while a.entries[number].op is p.RESHAPE:
        number = a.entries[number].sources[0]
    return number


def flat(shape: Shape) -> Layout:
    """(N, C, places) with the channels innermost."""
    return channels_last((*shape[:2], prod(shape[2:])))


def gather(a: Arranger, number: int, entry: Entry) -> bool:
    """The largest values, where the index is a pooling's of the same image."""
    source, index = entry.sources
    pool = pool_behind(a, index)
    if pool is None or base_of(a, source) != base_of(a, a.entries[pool].sources[0]):
        return False
    _, image, form = a.pools[pool]
    shape = a.entries[source].shape
    layout = flat(form.result)
    if entry.attributes != (2,) or shape != flat(form.image).shape or entry.shape != layout.shape:
        return False
    value = PoolForm("value", form.image, form.attributes)
    memory = channels_last(form.result).memory
    made = a.w.append(Entry(p.MAX_POOL_INDEX, (value,), (image,), memory, entry.dtype))
    return a.hold(number, a.w.emit(p.RESHAPE, (made,), layout.memory), layout)


def scatter(a: Arranger, number: int, entry: Entry) -> bool:
    """The gradient, where a pooling's places say whereto values are added into zeros."""
    target, index, source = entry.sources
    pool = pool_behind(a, index)
    if pool is None or entry.attributes[1] != "add" or not is_zero(a, target):
        return False
    places, _, form = a.pools[pool]
    layout, flow = flat(form.image), flat(form.result)
    fits = entry.attributes[0] == 2 and a.entries[source].shape == flow.shape
    if not fits or entry.shape != layout.shape or entry.dtype not in (float32, float64):
        return False
    back = PoolForm("back", form.image, form.attributes)
    grad = a.memory(a.inlay(source, flow))
    memory = channels_last(form.image).memory
    made = a.w.append(Entry(p.MAX_POOL_INDEX, (back,), (places, grad), memory, entry.dtype))
    return a.hold(number, a.w.emit(p.RESHAPE, (made,), layout.memory), layout)


def is_zero(a: Arranger, number: int) -> bool:
    """Whether an entry is 0 everywhere."""
    entry = a.entries[number]
    while entry.op in (p.EXPAND, p.RESHAPE):
        entry = a.entries[entry.sources[0]]
    return entry.op is p.CONSTANT and entry.attributes[0] == 0


def form_of(entry: Entry) -> PoolForm | None:
    """The form of a pooling that an entry carries."""
    form = entry.attributes[0] if entry.attributes else None
    return form if isinstance(form, PoolForm) else None


def pooled_beside(entries: Sequence[Entry], number: int) -> int | None:
    """Where both are wanted, the values that belong to the places of a pooling, or the places to the values."""
    form = form_of(entries[number])
    other = None if form is None else {"index": "value", "value": "index"}.get(form.part)
    if form is None or other is None:
        return None
    for place, entry in enumerate(entries):
        found = form_of(entry)
        if found == form._replace(part=other) and entry.sources == entries[number].sources:
            return place
    return None


def kernel_for(element: str, form: PoolForm, part: Part) -> ImagePoolKernel:
    """The kernel of a part; small windows inside the image have their own, if they do not overlap or need not care."""
    kernel, stride, padding, dilation, places = form.attributes
    sizes = form.image[2:]
    each = zip(sizes, kernel, stride, padding, dilation, places, strict=True)
    inside = all(
        not pad and gap == 1 and (count - 1) * step + taps <= size
        for size, taps, step, pad, gap, count in each
    )
    apart = all(step >= taps for taps, step in zip(kernel, stride, strict=True))
    flat = len(kernel) < 3 or kernel[0] == stride[0] == 1
    few = max(kernel[-2:]) <= MOST_TAPS
    if not (inside and flat and few and (apart or part != "back")):
        return ImagePoolKernel(host(), element, part)
    height, width = (1, *kernel)[-2:]
    return WindowPoolKernel(host(), element, part, height, width)


def image_pool_call(paths: Paths, number: int, stores: Sequence[int]) -> GemmCall | None:
    """The call of an entry that carries the form of a pooling, and fills these entries; None for any other."""
    entry = paths.entries[number]
    form = form_of(entry)
    if form is None:
        return None
    part: Part = "both" if len(stores) > 1 else form.part
    kernel, stride, padding, dilation, sizes = form.attributes
    rank = len(kernel)
    ones, zeros = (1,) * (3 - rank), (0,) * (3 - rank)
    integers = (
        form.image[1], *ones, *sizes, *ones, *form.image[2:], *ones, *kernel, *ones, *stride, *zeros, *padding,
        *ones, *dilation,
    )  # fmt: skip
    floating = paths.entries[entry.sources[-1]].dtype
    element = "float" if floating is float32 else "double"
    made = kernel_for(element, form, part)
    by_windows = isinstance(made, WindowPoolKernel) or part != "back"
    shape = form.result if by_windows else form.image
    rows = shape[0] * prod(shape[2:-1])
    names = ("a", "b", "c") if part == "back" else ("a", "c")
    if part == "both":
        names = ("a", "c", "extra0")
    work = int(prod(form.result) * prod(kernel) * NANOSECONDS_A_TAP) + 1000
    call = KernelCall(made, tuple((n, 0) for n in names), integers, rows, work, made.name)
    targets = stores if part != "both" or form.part == "value" else reversed(stores)
    written = zip(("c", "extra0"), targets, strict=False)
    places: dict[str, tuple[Place, int]] = {name: (("entry", n), 0) for name, n in written}
    for name, source in zip(names, entry.sources, strict=False):
        base, reading = operand(paths, source)
        places[name] = (("entry", base), reading.offset * paths.entries[base].dtype.itemsize)
    return GemmCall(number, GemmPlan((call,), 0), places, (), tuple(stores))
