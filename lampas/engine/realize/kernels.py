"""Finding kernels: by structure in this process, by remembered text on disk, else written anew.

Writing the text of a matrix product takes Python longer than loading its object code.  So texts are
remembered in the disk cache under the kernel's structure and a fingerprint of the sources that write
texts; when any of those changes, so does every key.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from lampas.engine import llvm, loops
from lampas.engine.llvm.cache import disk_cache, key_of
from lampas.engine.llvm.compiler import compile_function
from lampas.engine.llvm.target import host
from lampas.engine.loops.emit import emit
from lampas.engine.loops.signature import Signature
from lampas.engine.realize.statistics import statistics

if TYPE_CHECKING:
    from collections.abc import Callable

    from lampas.engine.loops.brgemm import Kernel
    from lampas.engine.loops.nest import Nest
    from lampas.engine.loops.pooling import PoolKernel
    from lampas.engine.loops.serial import SerialKernel

nests: dict[Nest, tuple[int, Signature]] = {}
products: dict[Kernel | SerialKernel | PoolKernel, int] = {}


@functools.cache
def fingerprint() -> str:
    """A hash of every source file that takes part in writing kernels."""
    digest = hashlib.sha256()
    for package in (llvm, loops):
        for path in sorted(Path(package.__path__[0]).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def remembered(structure: str, write: Callable[[], tuple[str, int, str]]) -> tuple[str, int, str]:
    """Name, stretch and text of a kernel, from the disk cache if they are there."""
    disk = disk_cache()
    if disk is None:
        return write()
    key = key_of("text", fingerprint(), repr(host()), structure)
    found = disk.read(key)
    if found is None:
        name, stretch, text = write()
        disk.write(key, f"{name} {stretch}\n{text}".encode())
        return name, stretch, text
    head, _, text = found.decode().partition("\n")
    name, stretch_word = head.split(" ")
    return name, int(stretch_word), text


def nest_kernel(nest: Nest) -> tuple[int, Signature]:
    """The address and signature of a nest's kernel, compiled when it is new to this process."""
    found = nests.get(nest)
    if found is None:

        def write() -> tuple[str, int, str]:
            name, text, signature = emit(nest)
            return name, signature.stretch, text

        name, stretch, text = remembered(repr(nest.key), write)
        found = nests[nest] = (compile_function(text, name), Signature(nest, stretch))
        statistics.kernels += 1
    return found


def product_kernel(kernel: Kernel | SerialKernel | PoolKernel) -> int:
    """The address of a kernel that describes itself."""
    found = products.get(kernel)
    if found is None:
        structure = f"{type(kernel).__name__} {kernel!r}"
        name, _, text = remembered(structure, lambda: (kernel.name, 0, str(kernel.module())))
        found = products[kernel] = compile_function(text, name)
        statistics.kernels += 1
    return found
