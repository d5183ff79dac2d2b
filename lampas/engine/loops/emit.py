"""From a nest to the text of its kernel.

`emit(nest, target)` is a pure function of both: equal nests give equal text, so the compiler's cache finds them.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from lampas.engine.llvm.target import Target, host
from lampas.engine.llvm.vector_math_parts import TargetModule
from lampas.engine.loops.emit_loops import KernelWriter
from lampas.engine.loops.nest import Nest
from lampas.engine.loops.signature import Signature

KERNEL_PARAMETERS = [
    ("ptr noalias readonly", "operands"),
    ("ptr noalias readonly", "integers"),
    ("i64", "begin"),
    ("i64", "end"),
    ("i64", "worker"),
]


@lru_cache(maxsize=4096)
def emit(nest: Nest, target: Target | None = None) -> tuple[str, str, Signature]:
    """Return (function name, LLVM IR text, signature) of the kernel of a nest.

    Raises NotImplementedError naming what compiled loops do not handle (complex dtypes).
    """
    target = target or host()
    module = TargetModule(target)
    name = "nest_" + hashlib.sha256(str(nest).encode()).hexdigest()[:12]
    builder = module.function(name, KERNEL_PARAMETERS)
    writer = KernelWriter(nest, target, builder)
    writer.write()
    return name, str(module), Signature(nest, writer.stretch)
