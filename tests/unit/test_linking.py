"""Compiled code is linked wherever the address space has room.

The sections of an object must come to lie within 2 GiB of each other.  Here the system has gaps of a page above
three gigabytes that are taken: sections that are placed one by one end up on both sides.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, mmap
from lampas.engine.llvm.compiler import compile_functions, linker
from lampas.engine.llvm.text import Module

def polynomial(length):
    # A function of constants that do not fit its instructions, `length` multiplications long.
    module = Module()
    b = module.function("polynomial", [("ptr", "place")])
    (place,) = b.arguments
    x = total = b.load("double", place)
    for n in range(length):
        total = b.add(b.multiply(total, x), 1.5 + n % 50 / 7)
    b.store(total, place)
    b.ret()
    return module

def value(length, x):
    total = x
    for n in range(length):
        total = total * x + (1.5 + n % 50 / 7)
    return total

linker()
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
NO_ACCESS, UNBACKED = 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000

def take(size):
    return libc.mmap(None, size, NO_ACCESS, UNBACKED, -1, 0)

gaps = []
for _ in range(40):
    gaps.append(take(mmap.PAGESIZE))
    take(mmap.PAGESIZE)
wide = take(3 << 30)
for size in (1 << 20, 1 << 18, 1 << 16, 1 << 14, 1 << 13):
    for _ in range(2000):  # fills larger gaps above
        if take(size) < wide:
            break
for place in gaps:
    libc.munmap(place, mmap.PAGESIZE)
for length in (800, 900, 1000):  # instructions of several pages, constants of one
    found = compile_functions(polynomial(length), ["polynomial"])["polynomial"]
    number = ctypes.c_double(0.5)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(found)(ctypes.addressof(number))
    assert abs(number.value - value(length, 0.5)) < 1e-9 * number.value, length
print("linked")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it is Linux that fills gaps from above")
def test_code_is_linked_where_the_address_space_is_in_pieces() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "linked\n", done.stderr[-2000:]
