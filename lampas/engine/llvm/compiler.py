"""From LLVM IR text to the addresses of native functions.

Text -> parse and verify -> a short list of passes -> object code -> linked into this process by LLJIT. The kernels
come already tiled and vectorised, so the passes only clean up; the whole -O3 would cost ten times as much and, with
LLVM's assertions on, sometimes undo the register tiles. llvmlite is imported on first use: importing Lampas must
stay fast. One lock guards everything here, since llvmlite serialises its calls anyway.
"""

from __future__ import annotations

import functools
import itertools
import os
import threading
import time
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from lampas.engine.llvm.cache import counters, disk_cache, key_of
from lampas.engine.llvm.support import EXTEND, TRUNCATE, TRUNCATE_DOUBLE, support_module
from lampas.engine.llvm.target import Target, host
from lampas.engine.llvm.text import Module

FORMAT = "1"  # raise it when the meaning of cached objects changes
# fmt: off
PASSES = (
    "add_sroa_pass", "add_aggressive_instcombine_pass", "add_instruction_combine_pass",
    "add_simplify_cfg_pass", "add_new_gvn_pass", "add_dead_code_elimination_pass",
)
# fmt: on
lock = threading.RLock()
addresses: dict[tuple[str, str], int] = {}  # by the text's key, not the text, which is long
serials = itertools.count()
if hasattr(os, "register_at_fork"):
    # No child may find the lock held by a thread that it does not have.
    os.register_at_fork(
        before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
    )


@functools.cache
def llvm() -> ModuleType:
    """Return llvmlite's binding with all targets ready."""
    import llvmlite.binding as binding

    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    binding.initialize_native_asmparser()
    # Loop strength reduction takes half the time of code generation and gains nothing on loops written like ours.
    binding.set_option("lampas", "-disable-lsr")
    return binding


@functools.cache
def versions() -> str:
    import llvmlite

    return f"{FORMAT} {llvmlite.__version__} {llvm().llvm_version_info}"


@functools.cache
def machine(target: Target) -> Any:
    """Return llvmlite's TargetMachine for a target."""
    chosen = llvm().Target.from_triple(target.triple)
    return chosen.create_target_machine(
        cpu=target.cpu, features=target.features, opt=2, reloc="pic", codemodel="small", jit=False
    )


@functools.cache
def linker() -> Any:
    """Return this process's LLJIT."""
    return llvm().create_lljit_compiler(machine(host()), use_jit_link=False)


def object_code(module: Module | str, target: Target | None = None) -> bytes:
    """Return the object file of a module for a target, from the disk cache where it is there.

    Raises RuntimeError with LLVM's message if the text is not valid IR.
    """
    text, target = str(module), target or host()
    key = key_of(versions(), target.triple, target.cpu, target.features, ",".join(PASSES), text)
    disk = disk_cache()
    found = disk.read(key) if disk else None
    if found is not None:
        counters.disk_hits += 1
        return found
    start = time.perf_counter()
    with lock:
        built = machine(target).emit_object(optimized(text, target))
    counters.compiled += 1
    counters.compile_ms += (time.perf_counter() - start) * 1e3
    if disk:
        disk.write(key, built)
    return built


def optimized(text: str, target: Target) -> Any:
    """Parse, verify and clean a module."""
    binding = llvm()
    parsed = binding.parse_assembly(text, binding.create_context())
    parsed.triple = target.triple
    parsed.data_layout = str(machine(target).target_data)
    parsed.verify()
    options = binding.create_pipeline_tuning_options(speed_level=2)
    builder = binding.create_pass_builder(machine(target), options)
    manager = binding.create_new_module_pass_manager()
    for name in PASSES:
        getattr(manager, name)()
    manager.run(parsed, builder)
    return parsed


def optimized_text(module: Module | str, target: Target | None = None) -> str:
    """Return the IR after the passes, for reading."""
    with lock:
        return str(optimized(str(module), target or host()))


def assembly(module: Module | str, target: Target | None = None) -> str:
    """Return the assembly text of a module, for reading."""
    target = target or host()
    with lock:
        return machine(target).emit_assembly(optimized(str(module), target))


def compile_functions(module: Module | str, names: Iterable[str]) -> dict[str, int]:
    """Compile a module for this machine and return the address of each named function.

    A module with the same text is compiled and linked once in a process. The code lives as long as the process.
    """
    text, wanted = str(module), list(names)
    key = key_of(text)
    with lock:
        if all((key, name) in addresses for name in wanted):
            counters.memory_hits += 1
        else:
            link(key, text, wanted)
        return {name: addresses[key, name] for name in wanted}


def link(key: str, text: str, names: list[str]) -> None:
    """Load a module's object into the process under a library name of its own."""
    code = object_code(text)
    start = time.perf_counter()
    imports = support_functions() if "half" in text else {}
    for name, address in load(code, names, imports).items():
        addresses[key, name] = address
    counters.link_ms += (time.perf_counter() - start) * 1e3


def load(code: bytes, names: list[str], imports: dict[str, int]) -> dict[str, int]:
    """Link an object into the process; return the addresses of its functions."""
    library = llvm().JITLibraryBuilder().add_object_img(code).add_current_process()
    for name, address in imports.items():
        library.import_symbol(name, address)
    for name in names:
        library.export_symbol(name)
    tracker = library.link(linker(), f"lampas{next(serials)}")
    found = {name: tracker[name] for name in names}
    tracker.detach()  # the code is never unloaded: threads may be inside it when Python shuts down
    return found


def support_functions() -> dict[str, int]:
    """Return the functions that this processor's code may call for want of an instruction."""
    target = host()
    lacking = target.triple.startswith("x86_64") and "+avx512fp16" not in target.features
    return conversions() if lacking else {}


@functools.cache
def conversions() -> dict[str, int]:
    return load(object_code(support_module()), [EXTEND, TRUNCATE, TRUNCATE_DOUBLE], {})


def compile_function(module: Module | str, name: str) -> int:
    """Compile a module for this machine and return the address of one function."""
    return compile_functions(module, [name])[name]
