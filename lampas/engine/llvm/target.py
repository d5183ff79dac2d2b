"""The machine that kernels are written for: vector width, registers and LLVM's names for them.

`host()` describes this machine by its feature bits, never by the processor's marketing name (virtual machines
often report a wrong one). The constructors `x86_sse2`, `x86_avx2`, `x86_avx512` and `aarch64_neon` describe
others, for cross-compilation and tests.
"""

from __future__ import annotations

import functools
import platform
from dataclasses import dataclass, replace

from lampas.engine.settings import settings

AVX512_BITS = ("avx512f", "avx512vl", "avx512bw", "avx512dq")
AVX2_BITS = ("avx2", "fma", "f16c")
X86 = ("x86_64", "amd64")


@dataclass(frozen=True)
class Target:
    """What the kernel writers and the compiler need to know of a machine.

    `vector_bytes` is the width of a vector register, `registers` their number, `fma` tells whether one
    instruction multiplies and adds, `masks` whether masked loads and stores are one instruction.
    """

    triple: str
    cpu: str
    features: str
    vector_bytes: int
    registers: int
    fma: bool
    masks: bool

    def lanes(self, kind: str) -> int:
        """Return how many elements of an LLVM type ("float", "double", "i32", …) fill one register."""
        return self.vector_bytes // ELEMENT_BYTES[kind]

    @property
    def scarce_registers(self) -> str:
        """How inline assembly asks for a vector register, where these are so few that order matters; else nothing."""
        return "x" if self.triple.startswith(X86) and self.registers <= 16 else ""

    @property
    def name(self) -> str:
        """A short word for messages and tests, e.g. ``x86_64-64``."""
        return f"{self.triple.split('-')[0]}-{self.vector_bytes}"


# fmt: off
ELEMENT_BYTES = {
    "double": 8, "i64": 8, "float": 4, "i32": 4, "half": 2, "bfloat": 2, "i16": 2, "i8": 1, "i1": 1,
}
# fmt: on


def x86_sse2(triple: str = "x86_64-unknown-linux-gnu") -> Target:
    """The least of all x86-64 processors: 16-byte vectors, no fused multiply-add."""
    return Target(triple, "x86-64", "", 16, 16, fma=False, masks=False)


def x86_avx2(triple: str = "x86_64-unknown-linux-gnu") -> Target:
    """Haswell, Zen and later: 32-byte vectors with fused multiply-add."""
    return Target(triple, "haswell", "", 32, 16, fma=True, masks=True)


def x86_avx512(triple: str = "x86_64-unknown-linux-gnu") -> Target:
    """Skylake server and later: 64-byte vectors, 32 registers, predicate masks."""
    features = "-prefer-256-bit"
    return Target(triple, "skylake-avx512", features, 64, 32, fma=True, masks=True)


def aarch64_neon(triple: str = "aarch64-unknown-linux-gnu") -> Target:
    """Every 64-bit Arm processor: 16-byte vectors with fused multiply-add."""
    return Target(triple, "generic", "+neon", 16, 32, fma=True, masks=False)


@functools.cache
def detected() -> Target:
    """Describe this machine."""
    import llvmlite.binding as binding

    bits = {name for name, present in binding.get_host_cpu_features().items() if present}
    triple, cpu = binding.get_process_triple(), binding.get_host_cpu_name()
    flat = ",".join(sorted("+" + name for name in bits))
    return from_bits(triple, cpu, bits, flat)


def from_bits(triple: str, cpu: str, bits: set[str], flat: str) -> Target:
    """Choose a target by the set of feature names that a processor has."""
    if triple.startswith(("aarch64", "arm64")):
        return replace(aarch64_neon(triple), cpu=cpu or "generic", features=flat)
    if not triple.startswith(X86):
        return Target(triple, cpu, flat, 16, 16, fma=False, masks=False)
    if bits.issuperset(AVX512_BITS) and bits.issuperset(AVX2_BITS):
        tuned = f"{flat},-prefer-256-bit"
        return replace(x86_avx512(triple), cpu=cpu, features=tuned)
    if bits.issuperset(AVX2_BITS):
        return replace(x86_avx2(triple), cpu=cpu, features=flat)
    return replace(x86_sse2(triple), cpu=cpu, features=flat)


def host() -> Target:
    """Describe this machine, narrowed to ``settings.vector_bytes`` where that is set."""
    found = detected()
    width = settings.vector_bytes
    if not width or width >= found.vector_bytes or not is_x86():
        return found
    return x86_avx2(found.triple) if width == 32 else x86_sse2(found.triple)


def is_x86() -> bool:
    """Tell whether this process runs on x86-64."""
    return platform.machine().lower() in X86
