"""Values written where copies would bring them.

A result of attention has its heads outside its rows, and a layer that follows wants them side by side; the derivatives of
query, key and value are wanted side by side as well, as those of one projection.  Where nobody else reads the results,
the kernel writes each row where its copy would go, and the copy's step is left out.

    host scaled_dot_product_attention -> %43                     host scaled_dot_product_attention -> %47
    region [8, 128, 6, 32] %47 -> %47                      =>

What scattered writes begin with, if that is a copy which nobody else reads (of zeros, most of the time), is made where
each result lies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lampas.engine.graph import primitives as p
from lampas.engine.schedule.attention import has_attention_kernel
from lampas.engine.schedule.reading import Reading, plain_reading
from lampas.engine.schedule.serial import serial_form
from lampas.engine.schedule.steps import Assembly, HostStep, Region
from lampas.engine.shape import contiguous_strides, numel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lampas.engine.schedule.paths import Paths
    from lampas.engine.schedule.steps import ScheduleStep

Part = tuple[
    Reading, Reading
]  # how a result is read, and where each of the elements read is stored


def deliver(steps: Sequence[ScheduleStep], paths: Paths) -> list[ScheduleStep]:
    """The steps without the copies that kernels can spare."""
    maker_of = {stored: place for place, step in enumerate(steps) for stored in step.stores}
    kept: list[ScheduleStep | None] = list(steps)
    for place, step in enumerate(steps):
        if not isinstance(step, HostStep):
            continue
        if is_scattered(step.entry, paths):
            maker = maker_of.get(paths.entries[step.entry].sources[0])
            if maker is not None and makes_beginning(steps[maker], paths):
                (base,) = steps[maker].stores
                paths.inline[base], kept[maker] = 1, None  # each of its readers makes it
        if not has_attention_kernel(paths, step.entry):
            continue
        users = set(paths.final_users(step.entry))
        if len(users) != 1 or step.entry in paths.outputs:
            continue
        (user,) = users
        maker = maker_of.get(user)
        parts = None if maker is None else parts_of(steps[maker], step.entry, user, paths)
        targets = None if parts is None else targets_of(step.entry, parts, paths)
        if maker is not None and targets is not None:
            kept[place], kept[maker] = HostStep(step.entry, [user], targets), None
    return [step for step in kept if step is not None]


def is_scattered(entry: int, paths: Paths) -> bool:
    """Whether an entry is a scattered write for which there is a kernel."""
    form = serial_form(paths, entry)
    return form is not None and form.index is not None


def makes_beginning(step: ScheduleStep, paths: Paths) -> bool:
    """Whether a step does nothing but copy a value with which scattered writes begin."""
    if not isinstance(step, Region) or len(step.members) != 1 or step.stores != step.members:
        return False
    (base,) = step.members
    copied = paths.entries[base]
    if copied.op is not p.CAST or copied.dtype is not paths.entries[copied.sources[0]].dtype:
        return False
    if base in paths.outputs:
        return False
    return all(
        is_scattered(user, paths) and base not in paths.entries[user].sources[1:]
        for user in paths.users[base]
    )


def parts_of(step: ScheduleStep, entry: int, user: int, paths: Paths) -> list[Part] | None:
    """What a step copies of an entry, if it does nothing else."""
    if isinstance(step, Assembly):
        return assembled(step, entry, paths)
    copied = paths.entries[user]
    alone = isinstance(step, Region) and step.members == [user]
    if not alone or copied.op is not p.CAST or copied.dtype is not paths.entries[entry].dtype:
        return None
    read = [paths.reading(path) for path in paths.operands(user)]
    return [(found, plain_reading(copied.shape)) for found in read if found is not None] or None


def assembled(step: Assembly, entry: int, paths: Paths) -> list[Part] | None:
    """The parts of a concatenation, if all of them are read from an entry."""
    if step.fill is not None or paths.entries[step.entry].op is not p.CONCATENATE:
        return None
    parts: list[Part] = []
    for source, target in step.parts:
        base, views = paths.follow(source)
        found = paths.reading((base, views))
        if base != entry or found is None:
            return None
        parts.append((found, target))
    return parts


def targets_of(entry: int, parts: Sequence[Part], paths: Paths) -> tuple[Reading, ...] | None:
    """Where each result goes, if the parts are the results, each in one piece and with its rows as they are."""
    whole = paths.entries[entry]
    shapes = [whole.shape]
    if whole.op is p.ATTENTION_BACKWARD:
        shapes = [paths.entries[source].shape for source in whole.sources[:3]]
    if len(parts) != len(shapes):
        return None
    targets: list[Reading] = []
    offset = 0
    for shape in shapes:
        plain = Reading(shape, contiguous_strides(shape), offset)
        found = [target_of(plain, part) for part in parts if part[0].offset == offset]
        if len(found) != 1 or found[0] is None or found[0].strides[-1] != 1:
            return None
        targets.append(found[0])
        offset += numel(shape)
    return tuple(targets)


def target_of(plain: Reading, part: Part) -> Reading | None:
    """Where a row-major result goes, by what is read of it and where that is stored: dimension by dimension."""
    read, stored = part
    if numel(read.shape) != numel(plain.shape):
        return None
    steps = {
        (size, stride): target
        for size, stride, target in zip(read.shape, read.strides, stored.strides, strict=True)
        if size != 1
    }
    pairs = list(zip(plain.shape, plain.strides, strict=True))
    if any(size != 1 and (size, stride) not in steps for size, stride in pairs):
        return None
    # A row of one element has whatever stride suits.
    strides = tuple(steps.get(pair, 1) for pair in pairs)
    return Reading(plain.shape, strides, stored.offset)
