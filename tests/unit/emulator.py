"""Whole programs for AArch64, run by the Unicorn emulator on the memory of this process.

Everything that asks for the machine's target is told that it is an Arm; kernels are then written and compiled for it,
their objects loaded here, and a program's records carried out one after the other in the emulator. Guest addresses are
this process's own: a page is shown to the guest when it first touches it.

The relocations are those of the Arm ELF ABI (document AAELF64) that LLVM uses in position-independent code.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lampas.engine.device import launch
from lampas.engine.device.buffer import Buffer
from lampas.engine.device.pool import native_functions
from lampas.engine.llvm import target
from lampas.engine.llvm.compiler import object_code
from lampas.engine.llvm.target import aarch64_neon
from lampas.engine.loops import emit as emission
from lampas.engine.realize import kernels

unicorn = pytest.importorskip("unicorn")
elffile = pytest.importorskip("elftools.elf.elffile")
arm = pytest.importorskip("unicorn.arm64_const")

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PAGE = 4096
STACK = 1 << 20
ALLOCATED = 2  # SHF_ALLOC
PREL32, CALL26, JUMP26, PAGE21, LOW12 = 261, 283, 282, 275, 277
SCALED = {278: 0, 284: 1, 285: 2, 286: 3, 299: 4}  # loads and stores of 1 … 16 bytes: log2
RETURN = 0x10000  # an address at which nothing lies: the end of a call
# What stands for the C library, which sines of huge angles are left to: whoever goes there raises UcError.
BREAK = 0xD4200000


class Arm64:
    """One emulated processor."""

    def __init__(self) -> None:
        self.processor = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
        self.processor.mem_map(RETURN, PAGE)
        self.processor.reg_write(arm.UC_ARM64_REG_CPACR_EL1, 3 << 20)  # vector registers are there
        self.processor.hook_add(unicorn.UC_HOOK_MEM_UNMAPPED, self.show)
        self.shown: set[int] = set()
        self.loaded: dict[str, int] = {}
        self.names: set[str] = set()
        self.held: list[Buffer] = [Buffer.allocate(STACK)]
        self.calls = 0

    def show(self, _: Any, __: int, address: int, size: int, *___: Any) -> bool:
        """Map the pages of this process that an access needs."""
        if address < RETURN + PAGE:
            return False
        for page in range(address // PAGE, (address + max(size, 1) - 1) // PAGE + 1):
            if page not in self.shown:
                self.shown.add(page)
                place = page * PAGE
                self.processor.mem_map_ptr(place, PAGE, unicorn.UC_PROT_ALL, ctypes.c_void_p(place))
        return True

    def compile(self, module: Any, name: str) -> int:
        """The address of a function, compiled for the emulated machine; what `compile_function` does."""
        text = str(module)
        self.names.add(name)
        if text not in self.loaded:
            self.loaded[text] = self.load(object_code(text, aarch64_neon()), name)
        return self.loaded[text]

    def compile_all(self, modules: Iterable[tuple[str, str]], _: int) -> list[int]:
        """What `compile_together` does."""
        return [self.compile(text, name) for text, name in modules]

    def load(self, code: bytes, name: str) -> int:
        """Lay out an object's sections in memory, relocate them, and return a function's address."""
        elf = elffile.ELFFile(io.BytesIO(code))
        sections = [s for s in elf.iter_sections() if s["sh_flags"] & ALLOCATED]
        ends = list(itertools.accumulate(-(-s["sh_size"] // 64) * 64 for s in sections))
        buffer = Buffer.allocate(ends[-1] + 64)
        self.held.append(buffer)
        memory = buffer.array(np.uint8, (buffer.nbytes,))
        memory[ends[-1] :][:4].view("<u4")[0] = BREAK
        numbers = {s.name: number for number, s in enumerate(elf.iter_sections())}
        starts: dict[int, int] = {}
        for section, begin in zip(sections, [0, *ends], strict=False):
            starts[numbers[section.name]] = begin
            data = np.frombuffer(section.data(), np.uint8)
            memory[begin : begin + len(data)] = data
        symbols = elf.get_section_by_name(".symtab")
        for section in elf.iter_sections():
            if section["sh_type"] == "SHT_RELA" and section["sh_info"] in starts:
                for entry in section.iter_relocations():
                    symbol = symbols.get_symbol(entry["r_info_sym"])
                    value = buffer.pointer + ends[-1]
                    if symbol["st_shndx"] != "SHN_UNDEF":
                        value = buffer.pointer + starts[symbol["st_shndx"]] + symbol["st_value"]
                    place = starts[section["sh_info"]] + entry["r_offset"]
                    relocate(
                        memory[place : place + 4].view("<u4"), entry["r_info_type"],
                        value + entry["r_addend"], buffer.pointer + place,
                    )  # fmt: skip
        found = symbols.get_symbol_by_name(name)[0]
        return buffer.pointer + starts[found["st_shndx"]] + found["st_value"]

    def call(self, address: int, arguments: list[int]) -> None:
        """Call a function and come back."""
        processor, top = self.processor, self.held[0].pointer + STACK - 64
        processor.reg_write(arm.UC_ARM64_REG_SP, top // 16 * 16)
        processor.reg_write(arm.UC_ARM64_REG_LR, RETURN)
        for number, value in enumerate(arguments):
            processor.reg_write(arm.UC_ARM64_REG_X0 + number, value)
        processor.emu_start(address, RETURN)
        self.calls += 1

    def run_at(
        self, program: launch.Program, address: int, times: np.ndarray | None = None
    ) -> None:
        """Carry out a program's records, each cut in two ranges; what `Program.run_at` does."""
        slots = (ctypes.c_uint64 * max(program.slots, 1)).from_address(address)
        for record in program.live:
            pointers = [slots[slot] + offset for slot, offset in record.operands]
            operands, integers = np.array(pointers, np.uint64), np.array(record.integers, np.int64)
            places = [x.__array_interface__["data"][0] for x in (operands, integers)]
            middle = record.extent // 2 // record.grain * record.grain
            for begin, end in ((0, middle), (middle, record.extent)):
                if begin < end:
                    self.call(record.kernel, [*places, begin, end, 0])


def relocate(word: np.ndarray, kind: int, value: int, place: int) -> None:
    """Write a symbol's address into an instruction or a word."""
    if kind == PREL32:
        word[0] = (value - place) & 0xFFFFFFFF
    elif kind in (CALL26, JUMP26):
        word[0] |= ((value - place) >> 2) & 0x3FFFFFF
    elif kind == PAGE21:
        pages = (value // PAGE - place // PAGE) & 0x1FFFFF
        word[0] |= (pages & 3) << 29 | (pages >> 2) << 5
    elif kind == LOW12:
        word[0] |= (value % PAGE) << 10
    elif kind in SCALED:
        word[0] |= (value % PAGE >> SCALED[kind]) << 10
    else:
        raise NotImplementedError(f"relocation {kind}")


@contextlib.contextmanager
def emulated() -> Iterator[Arm64]:
    """Within it, programs are built for AArch64, and run in the emulator."""
    native_functions()  # the runner itself is this machine's
    machine = Arm64()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target, "detected", aarch64_neon)
        patch.setattr(target, "is_x86", lambda: False)
        patch.setattr(kernels, "compile_function", machine.compile)
        patch.setattr(kernels, "compile_together", machine.compile_all)
        patch.setattr(kernels, "nests", {})
        patch.setattr(kernels, "products", {})
        patch.setattr(launch.Program, "run_at", lambda *a: machine.run_at(*a))
        emission.emit.cache_clear()
        try:
            yield machine
        finally:
            emission.emit.cache_clear()
