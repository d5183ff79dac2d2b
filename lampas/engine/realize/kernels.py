"""Finding kernels: by structure in this process, by remembered text on disk, else written anew.

Writing the text of a matrix product takes Python longer than loading its object code.  So texts are
remembered in the disk cache under the kernel's structure and a fingerprint of the sources that write
texts; when any of those changes, so does every key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lampas.engine.device.pool import granted_threads
from lampas.engine.llvm.cache import disk_cache, key_of
from lampas.engine.llvm.compiler import compile_function, compile_together
from lampas.engine.llvm.target import host
from lampas.engine.loops.emit import emit
from lampas.engine.loops.nest import Nest
from lampas.engine.loops.signature import Signature
from lampas.engine.realize.sources import fingerprint
from lampas.engine.realize.statistics import count_kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lampas.engine.loops.brgemm import Kernel
    from lampas.engine.loops.pooling import PoolKernel
    from lampas.engine.loops.serial import SerialKernel

    AnyKernel = Nest | Kernel | SerialKernel | PoolKernel

TOGETHER = 2  # kernels that are worth threads of their own

nests: dict[Nest, tuple[int, Signature]] = {}
products: dict[Kernel | SerialKernel | PoolKernel, int] = {}


def remembered(structure: str, write: Callable[[], tuple[str, int, str]]) -> tuple[str, int, str]:
    """Name, stretch and text of a kernel, from the disk cache if they are there."""
    disk = disk_cache()
    if disk is None:
        return write()
    key = key_of("text", fingerprint("llvm", "loops"), repr(host()), structure)
    found = disk.read(key)
    if found is None:
        name, stretch, text = write()
        disk.write(key, f"{name} {stretch}\n{text}".encode())
        return name, stretch, text
    head, _, text = found.decode().partition("\n")
    name, stretch_word = head.split(" ")
    return name, int(stretch_word), text


Written = tuple[str, int, str]  # name, stretch and text of a kernel


def written(kernel: AnyKernel) -> Written:
    """The name, the stretch (of a nest) and the text of a kernel."""
    if not isinstance(kernel, Nest):
        structure = f"{type(kernel).__name__} {kernel!r}"
        return remembered(structure, lambda: (kernel.name, 0, str(kernel.module())))

    def write() -> Written:
        name, text, signature = emit(kernel)
        return name, signature.stretch, text

    return remembered(repr(kernel.key), write)


def note_kernel(kernel: AnyKernel, found: Written, address: int) -> None:
    """Remember where a kernel's code lies."""
    if isinstance(kernel, Nest):
        nests[kernel] = address, Signature(kernel, found[1])
    else:
        products[kernel] = address
    count_kernel(address)


def compile_alone(kernel: AnyKernel) -> None:
    """Compile one kernel."""
    found = written(kernel)
    note_kernel(kernel, found, compile_function(found[2], found[0]))


def prepare_kernels(needed: Iterable[AnyKernel]) -> None:
    """Have all kernels that are new to this process compiled together, on all processors that it may use."""
    missing = [k for k in dict.fromkeys(needed) if k not in nests and k not in products]
    if len(missing) < TOGETHER:
        return
    found: list[Written] = []

    def modules() -> Iterator[tuple[str, str]]:
        for kernel in missing:
            found.append(written(kernel))
            name, _, text = found[-1]
            yield text, name

    made = compile_together(modules(), granted_threads())
    for kernel, each, address in zip(missing, found, made, strict=True):
        note_kernel(kernel, each, address)


def nest_kernel(nest: Nest) -> tuple[int, Signature]:
    """The address and signature of a nest's kernel, compiled when it is new to this process."""
    if nest not in nests:
        compile_alone(nest)
    return nests[nest]


def product_kernel(kernel: Kernel | SerialKernel | PoolKernel) -> int:
    """The address of a kernel that describes itself."""
    if kernel not in products:
        compile_alone(kernel)
    return products[kernel]
