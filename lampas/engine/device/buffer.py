"""Memory: 64-byte aligned buffers from a caching allocator.

Sizes are rounded up to classes (four to an octave), so that a freed block serves the next request of about the same
size. A block goes back to the cache when its `Buffer` dies; where a NumPy view of it is still alive then, it is lent to the
view, and serves again when that is gone. Lists are used without a lock: `append` and `pop` are atomic, and
a finaliser may run in the middle of any of these functions.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy

from lampas.engine.device.background import GIVEN_UP, RUNS, finish, wait_for

ALIGNMENT = 64
SMALLEST = 64
PAGE = 4096
LARGE = 1 << 20  # a block of the class above will do rather than a new one
MOST_LENT = (
    16  # blocks of a size that are remembered while views have them; others go with their views
)
ALONE = (
    2  # references to a block that only its buffer holds: the attribute and getrefcount's argument
)


def stated_address(array: numpy.ndarray) -> int:
    """Where an array's memory lies, by NumPy's word; it makes a dictionary for that."""
    return array.__array_interface__["data"][0]


def first_field(array: numpy.ndarray) -> int:
    """The same, read from the array's C structure: the address is its first field, after the object's head."""
    return ctypes.c_size_t.from_address(id(array) + object.__basicsize__).value


PROBE = numpy.zeros(1)
address_of = first_field if first_field(PROBE) == stated_address(PROBE) else stated_address


def default_cap() -> int:
    """Return how many free bytes the cache may keep: a quarter of the memory, at most 2 GiB."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        memory = 4 << 30
    return min(memory // 4, 2 << 30)


@functools.lru_cache(maxsize=1 << 12)
def size_class(nbytes: int) -> int:
    """Round a size up to its class: at most a quarter is wasted.

    >>> [size_class(n) for n in (0, 65, 1000, 1025)]
    [64, 80, 1024, 1280]
    """
    if nbytes <= SMALLEST:
        return SMALLEST
    step = 1 << max((nbytes - 1).bit_length() - 3, 0)
    return -(-nbytes // step) * step


@dataclass(slots=True)
class Statistics:
    """What the allocator did: live bytes, their peak, bytes taken from the system, how many blocks that were."""

    live_bytes: int = 0
    peak_bytes: int = 0
    owned_bytes: int = 0
    fresh: int = 0

    @property
    def cached_bytes(self) -> int:
        """What lies ready for the next request."""
        return self.owned_bytes - self.live_bytes


statistics = Statistics()
free_blocks: defaultdict[int, list[tuple[numpy.ndarray, int]]] = defaultdict(list)
lent_blocks: defaultdict[int, list[tuple[numpy.ndarray, int]]] = defaultdict(list)
cap_bytes = default_cap()


class Buffer:
    """`nbytes` bytes of memory at address `pointer`.

    A buffer made by `allocate` owns its block; one made by `from_array` keeps the array alive instead. Contents of
    a fresh buffer are undefined.
    """

    __slots__ = (
        "__weakref__",
        "aliased",
        "block",
        "capacity",
        "exported",
        "nbytes",
        "parent",
        "parts",
        "pointer",
        "prepared",
    )

    def __init__(self, pointer: int, nbytes: int, block: numpy.ndarray, capacity: int) -> None:
        self.pointer = pointer
        self.nbytes = nbytes
        self.block = block
        self.capacity = capacity  # 0: the memory is not ours to recycle
        self.parent: Buffer | None = None  # of which this is a part
        self.parts = 0  # that there are
        self.exported = False
        self.aliased = False  # several values lie here: none of them may be written in place
        self.prepared: Any = (
            None  # what programs have made of the contents; see `realize.preparation`
        )

    @staticmethod
    def allocate(nbytes: int) -> Buffer:
        """Return a buffer of at least one valid byte; raise RuntimeError if there is no memory."""
        capacity = size_class(nbytes)
        try:
            block, pointer = free_blocks[capacity].pop()
        except IndexError:
            taken = take_back(capacity)
            if taken is None:
                if capacity >= LARGE and free_blocks.get(wider := size_class(capacity + 1)):
                    return Buffer.allocate(wider).cut_to(nbytes)
                taken = fresh_block(capacity, nbytes)
                statistics.owned_bytes += capacity
            block, pointer = taken
        live = statistics.live_bytes = statistics.live_bytes + capacity
        if live > statistics.peak_bytes:
            statistics.peak_bytes = live
        return Buffer(pointer, nbytes, block, capacity)

    def cut_to(self, nbytes: int) -> Buffer:
        """The same, of which fewer bytes were asked for."""
        self.nbytes = nbytes
        return self

    @staticmethod
    def from_array(array: numpy.ndarray) -> Buffer:
        """Return a buffer over a C-contiguous array's memory (not copied, kept alive)."""
        if not array.flags.c_contiguous:
            raise ValueError(f"a buffer needs a contiguous array, not strides {array.strides}")
        made = Buffer(address_of(array), array.nbytes, array, 0)
        made.exported = True
        return made

    def part(self, offset: int, nbytes: int) -> Buffer:
        """Return a buffer over some of the bytes; either counts as seen by the other."""
        made = Buffer(self.pointer + offset, nbytes, self.block, 0)
        parent = made.parent = self.parent or self
        parent.parts += 1
        parent.exported = made.exported = True
        return made

    def extent(self) -> tuple[int, int]:
        """Return the first and the last address of the memory that this may be a part of."""
        whole = self.parent or self
        return whole.pointer, whole.pointer + max(whole.capacity, whole.nbytes, 1)

    def array(
        self,
        dtype: Any,
        shape: tuple[int, ...],
        offset: int = 0,
        strides: tuple[int, ...] | None = None,
    ) -> numpy.ndarray:
        """Return a NumPy view of the bytes from `offset` on (C-contiguous but for strides, in bytes).

        It keeps the memory alive. Nothing that runs in the background touches the memory any more.
        """
        self.exported = True
        block = self.block
        if RUNS:
            wait_for(self)
        if 0 in shape:  # nobody goes there, but NumPy would check the strides
            return numpy.empty(shape, dtype)
        start = self.pointer - address_of(block) + offset
        flat = block if self.capacity else block.reshape(-1).view(numpy.uint8)
        return numpy.ndarray(shape, dtype, buffer=flat, offset=start, strides=strides)

    def address(self) -> int:
        """Return where the memory lies; nothing that runs in the background touches it any more."""
        if RUNS:
            wait_for(self)
        return self.pointer

    def is_seen_outside(self) -> bool:
        """Whether anybody else may hold an array over the memory."""
        if not self.exported:
            return False
        return sys.getrefcount(self.block) > ALONE or has_other_views(self.block)

    def is_shown(self) -> bool:
        """Whether an array may show the memory, other buffers left aside."""
        whole = self.parent or self
        if not whole.exported:
            return False
        return sys.getrefcount(whole.block) - whole.parts > ALONE or has_other_views(whole.block)

    def __repr__(self) -> str:
        return f"Buffer(pointer={self.pointer:#x}, nbytes={self.nbytes})"

    def __del__(self) -> None:
        if RUNS:
            # What runs in the background may still touch the memory: another buffer has it until then.
            heir = Buffer(self.pointer, self.nbytes, self.block, self.capacity)
            heir.exported, heir.parent = self.exported, self.parent
            GIVEN_UP.append(heir)
            return
        capacity = self.capacity
        if not capacity:
            if self.parent is not None:
                self.parent.parts -= 1
            return
        live = statistics.live_bytes = statistics.live_bytes - capacity
        taken_over = self.exported and sys.getrefcount(self.block) > ALONE
        blocks = (lent_blocks if taken_over else free_blocks)[capacity]
        full = taken_over and len(blocks) >= MOST_LENT
        if full or statistics.owned_bytes - live > cap_bytes:
            statistics.owned_bytes -= capacity
        else:
            blocks.append((self.block, self.pointer))


def has_other_views(block: numpy.ndarray) -> bool:
    """Whether anybody else refers to the array of which a block is a view."""
    base = block.base
    if base is None:
        return False
    alone = type(base) is numpy.ndarray and base.base is None
    return not alone or sys.getrefcount(base) > ALONE + 1


def take_back(capacity: int) -> tuple[numpy.ndarray, int] | None:
    """A lent block whose views are gone."""
    lent = lent_blocks.get(capacity)
    if not lent:
        return None
    for place, (block, pointer) in enumerate(lent):
        if sys.getrefcount(block) == ALONE + 1:  # the list's pair, the variable, the question
            del lent[place]
            return block, pointer
    return None


def fresh_block(capacity: int, wanted: int) -> tuple[numpy.ndarray, int]:
    """Take memory from NumPy; if there is none, give up the cache and try once more."""
    align = PAGE if capacity >= 1 << 20 else ALIGNMENT
    statistics.fresh += 1
    try:
        block = numpy.empty(capacity + align, numpy.uint8)
    except MemoryError:
        finish()  # it gives back what was given up meanwhile
        empty_cache()
        try:
            block = numpy.empty(capacity + align, numpy.uint8)
        except MemoryError:
            message = f"can't allocate memory: you tried to allocate {wanted} bytes"
            raise RuntimeError(message) from None
    address = address_of(block)
    return block, -(-address // align) * align


def empty_cache() -> None:
    """Give all free blocks back to the system; those that are lent go with their views."""
    for capacity, blocks in [*free_blocks.items(), *lent_blocks.items()]:
        while blocks:
            blocks.pop()
            statistics.owned_bytes -= capacity


def set_cache_cap(nbytes: int) -> None:
    """Let the cache keep at most `nbytes` free bytes from now on."""
    global cap_bytes
    cap_bytes = nbytes
    if statistics.cached_bytes > nbytes:
        empty_cache()
