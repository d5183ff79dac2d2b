"""From LLVM IR text to the addresses of native functions.

Text -> parse and verify -> a short list of passes -> object code -> linked into this process by LLJIT. The kernels
come already tiled and vectorised, so the passes only clean up; the whole -O3 would cost ten times as much and, with
LLVM's assertions on, sometimes undo the register tiles. llvmlite is imported on first use: importing Lampas must
stay fast.

One lock guards the tables and the linker.  Modules are compiled without it, several at a time where many are wanted at once
(`compile_together`): each has a context of its own and each thread its own machine.  llvmlite lets one thread in at a time,
so its two long functions are called past its lock.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import os
import sys
import threading
import time
from collections.abc import Iterable
from queue import SimpleQueue
from types import ModuleType
from typing import Any, NamedTuple, final

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
LONG = ("LLVMPY_RunNewModulePassManager", "LLVMPY_TargetMachineEmitToMemory")
lock = threading.RLock()
counting = threading.Lock()
addresses: dict[tuple[str, str], int] = {}  # by the object's key on disk and the function's name
codes: dict[int, Code] = {}
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


@final
class Code(NamedTuple):
    """How a function is found again in another process: its object's key on disk, its name, and whether it calls ours."""

    key: str
    name: str
    supported: bool


class Machines(threading.local):
    """This thread's TargetMachines: none may serve two threads at once."""

    def __init__(self) -> None:
        self.made: dict[Target, Any] = {}


machines = Machines()


def machine(target: Target) -> Any:
    """Return this thread's TargetMachine for a target."""
    found = machines.made.get(target)
    if found is None:
        found = machines.made[target] = make_machine(target)
    return found


def make_machine(target: Target) -> Any:
    """A new TargetMachine."""
    chosen = llvm().Target.from_triple(target.triple)
    return chosen.create_target_machine(
        cpu=target.cpu, features=target.features, opt=2, reloc="pic", codemodel="small", jit=False
    )


@functools.cache
def long_functions() -> tuple[Any, ...]:
    """llvmlite's functions that take long, past its lock; its own where they are found otherwise than expected."""
    foreign = llvm().ffi.lib
    wrapped = [getattr(foreign, name) for name in LONG]
    try:
        plain = ctypes.CDLL(foreign._name)
        found = [getattr(plain, name) for name in LONG]
        for function, known in zip(found, wrapped, strict=True):
            function.argtypes, function.restype = known.argtypes, known.restype
    except (AttributeError, OSError):
        return tuple(wrapped)
    return tuple(found)


@functools.cache
def linker() -> tuple[Any, Any]:
    """Return this process's LLJIT, and the machine that it refers to as long as it lives.

    JITLink puts all sections of an object side by side.  The older linker (which Windows' objects need) asks the system
    for each section alone, and aborts the process where two of them come to lie more than 2 GiB apart.
    """
    own = make_machine(host())
    return llvm().create_lljit_compiler(own, use_jit_link=sys.platform != "win32"), own


def object_code(module: Module | str, target: Target | None = None) -> bytes:
    """Return the object file of a module for a target, from the disk cache where it is there.

    Raises RuntimeError with LLVM's message if the text is not valid IR.
    """
    text, target = str(module), target or host()
    return stored_object(text, target) or built_object(text, target)


def disk_key(text: str, target: Target) -> str:
    """The key of a module's object on disk: everything that it depends on."""
    return key_of(versions(), target.triple, target.cpu, target.features, ",".join(PASSES), text)


def stored_object(text: str, target: Target) -> bytes | None:
    """A module's object from the disk cache."""
    disk = disk_cache()
    found = disk.read(disk_key(text, target)) if disk else None
    if found is not None:
        counters.disk_hits += 1
    return found


def built_object(text: str, target: Target) -> bytes:
    """A module's object, compiled and put into the disk cache."""
    start = time.perf_counter()
    built = emitted(optimized(text, target), target)
    with counting:
        counters.compiled += 1
        counters.compile_ms += (time.perf_counter() - start) * 1e3
    disk = disk_cache()
    if disk:
        disk.write(disk_key(text, target), built)
    return built


def emitted(module: Any, target: Target) -> bytes:
    """The object file of a parsed module."""
    foreign = llvm().ffi
    with foreign.OutputString() as message:
        buffer = long_functions()[1](machine(target), module, 1, message)
        if not buffer:
            raise RuntimeError(str(message))
    try:
        start = foreign.lib.LLVMPY_GetBufferStart(buffer)
        return ctypes.string_at(start, foreign.lib.LLVMPY_GetBufferSize(buffer))
    finally:
        foreign.lib.LLVMPY_DisposeMemoryBuffer(buffer)


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
    long_functions()[0](manager, parsed, builder)
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
    key = disk_key(text, host())
    with lock:
        if all((key, name) in addresses for name in wanted):
            counters.memory_hits += 1
        else:
            link(key, text, wanted)
        return {name: addresses[key, name] for name in wanted}


def link(key: str, text: str, names: list[str], made: bytes | None = None) -> None:
    """Load a module's object into the process under a library name of its own; `made` is the object, if it is at hand."""
    link_object(key, made or object_code(text), names, "half" in text)


def link_object(key: str, built: bytes, names: list[str], supported: bool) -> None:
    """Load an object; `supported` tells whether it may call our support functions."""
    start = time.perf_counter()
    for name, address in load(built, names, support_functions() if supported else {}).items():
        addresses[key, name] = address
        codes[address] = Code(key, name, supported)
    counters.link_ms += (time.perf_counter() - start) * 1e3


def stored_function(code: Code) -> int | None:
    """The address of a function that some process has compiled, from its object on disk; None if that is gone."""
    with lock:
        known = addresses.get((code.key, code.name))
        if known is not None:
            return known
        disk = disk_cache()
        built = disk.read(code.key) if disk else None
        if built is None:
            return None
        counters.disk_hits += 1
        link_object(code.key, built, [code.name], code.supported)
        return addresses[code.key, code.name]


def load(code: bytes, names: list[str], imports: dict[str, int]) -> dict[str, int]:
    """Link an object into the process; return the addresses of its functions."""
    library = llvm().JITLibraryBuilder().add_object_img(code).add_current_process()
    for name, address in imports.items():
        library.import_symbol(name, address)
    for name in names:
        library.export_symbol(name)
    tracker = library.link(linker()[0], f"lampas{next(serials)}")
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


def compile_together(modules: Iterable[tuple[str, str]], threads: int) -> list[int]:
    """Return the address of one function of each of many modules (text, name), which are compiled on several threads.

    Modules are taken one by one while others are compiled.  Raises RuntimeError as `object_code` does.
    """
    with lock:
        compilers = Compilers(host(), threads)
        listed: list[tuple[str, str, str]] = []
        try:
            for text, name in modules:
                key = disk_key(text, host())
                listed.append((key, text, name))
                if (key, name) not in addresses:
                    compilers.add(key, text)
        finally:
            made = compilers.finish()
        for key, text, name in listed:
            if (key, name) not in addresses:
                link(key, text, [name], made.get(key))
        return [addresses[key, name] for key, _, name in listed]


@final
class Compilers:
    """Threads that compile modules for a target, begun when there is something to compile."""

    def __init__(self, target: Target, most: int) -> None:
        self.target, self.most = target, most
        self.threads: list[threading.Thread] = []
        self.waiting: SimpleQueue[tuple[str, str] | None] = SimpleQueue()
        self.made: dict[str, bytes] = {}
        self.asked: set[str] = set()

    def add(self, key: str, text: str) -> None:
        """Have a module's object made, unless it has been asked for or is on disk."""
        if key in self.asked:
            return
        self.asked.add(key)
        found = stored_object(text, self.target)
        if found is not None:
            self.made[key] = found
            return
        if len(self.threads) < self.most:
            thread = threading.Thread(target=self.work, name="lampas compiler", daemon=True)
            with contextlib.suppress(RuntimeError):  # no more threads: who links compiles
                thread.start()
                self.threads.append(thread)
        if self.threads:
            self.waiting.put((key, text))

    def work(self) -> None:
        while (asked := self.waiting.get()) is not None:
            key, text = asked
            with contextlib.suppress(RuntimeError):  # LLVM's: who links meets it again
                self.made[key] = built_object(text, self.target)

    def finish(self) -> dict[str, bytes]:
        """Wait for the threads; return what was made, by the texts' keys."""
        for _ in self.threads:
            self.waiting.put(None)
        for thread in self.threads:
            thread.join()
        return self.made
