"""Targets, the compiler, and the object cache in memory and on disk."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest

from lampas.engine.llvm import cache
from lampas.engine.llvm.cache import (
    DiskCache,
    counters,
    key_of,
    pack_entry,
    prepare_directory,
    unpack_entry,
)
from lampas.engine.llvm.compiler import (
    compile_function,
    compile_functions,
    compile_together,
    long_functions,
    object_code,
)
from lampas.engine.llvm.target import (
    aarch64_neon,
    from_bits,
    host,
    x86_avx2,
    x86_avx512,
    x86_sse2,
)
from lampas.engine.llvm.text import Module, vector
from lampas.engine.settings import settings


def adding(amount: int, name: str = "f") -> Module:
    module = Module()
    b = module.function(name, [("i64", "x")], "i64")
    b.ret(b.add(b.arguments[0], amount))
    return module


@pytest.fixture
def directory(tmp_path: Path):
    place = tmp_path / "objects"
    with settings.override(cache=True, cache_dir=str(place)):
        yield place


# ---- targets --------------------------------------------------------------------------------------------------


def test_bits_choose_the_target() -> None:
    triple = "x86_64-unknown-linux-gnu"
    wide = {"avx512f", "avx512vl", "avx512bw", "avx512dq", "avx2", "fma", "f16c", "sse2"}
    assert from_bits(triple, "znver4", wide, "").vector_bytes == 64
    assert from_bits(triple, "znver3", {"avx2", "fma", "f16c"}, "").vector_bytes == 32
    assert from_bits(triple, "old", {"avx", "avx2"}, "").vector_bytes == 16
    assert from_bits("aarch64-linux-gnu", "", {"neon"}, "+neon").cpu == "generic"
    other = from_bits("riscv64-linux-gnu", "any", set(), "")
    assert (other.vector_bytes, other.fma, other.masks) == (16, False, False)


def test_a_setting_narrows_the_host() -> None:
    with settings.override(vector_bytes=16):
        assert host().vector_bytes == 16


def test_lanes() -> None:
    assert x86_avx512().lanes("float") == 16
    assert aarch64_neon().lanes("double") == 2


@pytest.mark.parametrize(
    "target", [x86_sse2(), x86_avx2(), x86_avx512(), aarch64_neon()], ids=lambda t: t.name
)
def test_objects_for_other_machines(target, directory: Path) -> None:
    module = Module()
    b = module.function("f", [("ptr", "x")])
    kind = vector("float", target.lanes("float"))
    loaded = b.load(kind, b.arguments[0])
    b.store(b.multiply_add(loaded, loaded, loaded), b.arguments[0])
    b.ret()
    code = object_code(module, target)
    machine = int.from_bytes(code[18:20], "little")
    assert machine == (183 if target.triple.startswith("aarch64") else 62)


# ---- compiling ------------------------------------------------------------------------------------------------


def test_many_functions_in_a_module(directory: Path) -> None:
    module = adding(1, "one")
    b = module.function("two", [("i64", "x")], "i64")
    b.ret(b.call("one", "i64", [b.call("one", "i64", b.arguments)]))
    found = compile_functions(module, ["one", "two"])
    signature = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)
    assert [signature(found[name])(5) for name in ("one", "two")] == [6, 7]


def modules_of(*amounts: int) -> list[tuple[str, str]]:
    """Texts and names."""
    return [(str(adding(amount, f"f{amount}")), f"f{amount}") for amount in amounts]


def called(address: int, x: int) -> int:
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(address)(x)


def test_many_modules_together(directory: Path) -> None:
    """Each is compiled once, unless it is on disk or linked already; the objects are those that one thread makes."""
    modules = modules_of(*range(20, 26))
    object_code(modules[2][0])
    compile_function(*modules[3])
    before = counters.compiled
    found = compile_together(iter([*modules, modules[4]]), 2)
    assert counters.compiled == before + 4
    assert [called(address, 1) for address in found] == [21, 22, 23, 24, 25, 26, 25]
    stored = [object_code(text) for text, _ in modules]
    with settings.override(cache=False):
        assert stored == [object_code(text) for text, _ in modules]


def test_an_invalid_module_among_many(directory: Path) -> None:
    modules = modules_of(30, 31)
    with pytest.raises(RuntimeError, match="expected top-level entity"):
        compile_together([modules[0], ("not a module", "f"), modules[1]], 2)
    before = counters.compiled
    assert [called(address, 1) for address in compile_together(modules, 2)] == [31, 32]
    assert counters.compiled == before


def test_what_fails_while_modules_are_written_passes_on(directory: Path) -> None:
    def writing() -> Iterator[tuple[str, str]]:
        yield from modules_of(32)
        raise ValueError("no text")

    with pytest.raises(ValueError, match="no text"):
        compile_together(writing(), 2)
    assert not any(thread.name == "lampas compiler" for thread in threading.enumerate())


def test_where_no_thread_can_be_had(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the interpreter's end: each module is compiled when it is linked."""

    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    assert [called(address, 1) for address in compile_together(modules_of(41, 42), 2)] == [42, 43]


def test_long_functions_that_are_not_found(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """llvmlite's own, which wait for one another, do as well."""
    text, _ = modules_of(33)[0]
    expected = object_code(text)

    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    long_functions.cache_clear()
    try:
        with settings.override(cache=False):
            assert object_code(text) == expected
    finally:
        monkeypatch.undo()
        long_functions.cache_clear()


def test_invalid_text_is_refused(directory: Path) -> None:
    with pytest.raises(RuntimeError, match="expected top-level entity"):
        object_code("this is no IR")


def test_unverified_text_is_refused(directory: Path) -> None:
    with pytest.raises(RuntimeError, match=r"[Dd]ominate|does not dominate"):
        object_code(
            "define i64 @f(i1 %c) {\nentry:\n br i1 %c, label %a, label %b\n"
            "a:\n %x = add i64 1, 2\n br label %b\nb:\n ret i64 %x\n}"
        )


def test_same_text_is_linked_once(directory: Path) -> None:
    first = compile_function(adding(1001), "f")
    hits = counters.memory_hits
    assert compile_function(adding(1001), "f") == first
    assert counters.memory_hits == hits + 1


# ---- what processors may lack -----------------------------------------------------------------------------------


def every_half() -> numpy.ndarray:
    return numpy.arange(1 << 16, dtype=numpy.uint16).view(numpy.float16)


def bits_equal(left: numpy.ndarray, right: numpy.ndarray) -> bool:
    """Compare bits, any NaN being as good as another."""
    both = numpy.isnan(left) & numpy.isnan(right)
    kind = f"u{left.itemsize}"
    return bool((both | (left.view(kind) == right.view(kind))).all())


def test_halves_without_f16c() -> None:
    """The conversions that replace F16C: all halves, and floats around every half and between them."""
    signature = [("ptr", "x"), ("ptr", "y"), ("i64", "n")]
    module = Module()
    for name, source, target, word in (
        ("up", "half", "float", "fpext"),
        ("down", "float", "half", "fptrunc"),
    ):
        b = module.function(name, signature)
        x, y, n = b.arguments
        with b.loop(0, n) as i:
            value = b.cast(word, b.load_element(source, x, i), target)
            b.store(value, b.element_pointer(y, i, target))
        b.ret()
    with settings.override(vector_bytes=16):
        found = compile_functions(module, ["up", "down"])
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    halves = every_half()
    floats = numpy.zeros(halves.size, numpy.float32)
    call(found["up"])(halves.ctypes.data, floats.ctypes.data, halves.size)
    assert bits_equal(floats, halves.astype(numpy.float32))
    exact = halves.astype(numpy.float32)
    with numpy.errstate(all="ignore"):
        between = (exact + numpy.roll(exact, 1)) / 2
        around = [
            exact,
            numpy.nextafter(exact, numpy.float32(9e9)),
            between,
            exact * 1.0003,
            exact * 3e4,
        ]
        many = numpy.concatenate(around).astype(numpy.float32)
        expected = many.astype(numpy.float16)
    rounded = numpy.zeros(many.size, numpy.float16)
    call(found["down"])(many.ctypes.data, rounded.ctypes.data, many.size)
    assert bits_equal(rounded, expected)


# ---- the disk cache -------------------------------------------------------------------------------------------


def test_objects_are_kept_on_disk(directory: Path) -> None:
    first = object_code(adding(2001))
    compiled, hits = counters.compiled, counters.disk_hits
    assert object_code(adding(2001)) == first
    assert (counters.compiled, counters.disk_hits) == (compiled, hits + 1)
    assert object_code(adding(2002)) != first
    assert directory.stat().st_mode & 0o777 == 0o700


def test_another_target_is_another_entry(directory: Path) -> None:
    object_code(adding(2101), x86_sse2())
    compiled = counters.compiled
    object_code(adding(2101), x86_avx2())
    assert counters.compiled == compiled + 1


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "foreign"])
def test_damaged_entries_are_compiled_anew(directory: Path, damage: str) -> None:
    module = adding(2201)
    good = object_code(module)
    (entry,) = directory.glob("*.object")
    data = bytearray(entry.read_bytes())
    if damage == "flip":
        data[-10] ^= 1
    contents = {"cut": data[:-7], "flip": data, "empty": b"", "foreign": b"x" * 400}[damage]
    entry.write_bytes(bytes(contents))
    rejected, compiled = counters.rejected, counters.compiled
    assert object_code(module) == good
    assert (counters.rejected, counters.compiled) == (rejected + 1, compiled + 1)
    assert unpack_entry(entry.read_bytes()) == good


def test_directories_that_others_may_write_are_not_used(tmp_path: Path) -> None:
    place = tmp_path / "shared"
    place.mkdir()
    place.chmod(0o777)
    store = DiskCache(str(place), 1 << 20)
    store.write("a" * 64, b"code")
    assert not store.usable
    assert list(place.iterdir()) == []
    assert store.read("a" * 64) is None


def test_links_are_not_followed(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir(mode=0o700)
    link.symlink_to(real)
    assert not prepare_directory(str(link))


def test_a_file_in_the_way_is_tolerated(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("")
    with settings.override(cache_dir=str(place)):
        assert object_code(adding(2301))[:4] == b"\x7fELF"


def test_a_vanished_directory_is_tolerated(tmp_path: Path) -> None:
    store = DiskCache(str(tmp_path / "gone"), 1 << 20)
    (tmp_path / "gone").rmdir()
    store.write("b" * 64, b"code")
    assert store.read("b" * 64) is None


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    store = DiskCache(str(tmp_path / "small"), 4000)
    for number in range(5):
        store.write(str(number) * 64, bytes(900))
        os.utime(store.path(str(number) * 64), (number, number))
        if number == 1:
            assert store.read("0" * 64) == bytes(900)  # used again just now
    store.prune()
    left = {Path(path).name[0] for _, _, path in store.entries()}
    assert "0" in left
    assert "1" not in left
    assert sum(size for _, size, _ in store.entries()) <= 3000


def test_what_dead_writers_left_is_swept(tmp_path: Path) -> None:
    store = DiskCache(str(tmp_path / "swept"), 1 << 20)
    old, young = tmp_path / "swept" / ".new-old", tmp_path / "swept" / ".new-young"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    store.prune()
    assert (old.exists(), young.exists()) == (False, True)


def test_entries_tell_when_they_are_torn() -> None:
    entry = pack_entry(b"payload")
    assert unpack_entry(entry) == b"payload"
    assert all(unpack_entry(entry[:n]) is None for n in range(len(entry)))
    assert unpack_entry(entry + b"x") is None


def test_keys_tell_parts_apart() -> None:
    assert key_of("ab", "c") != key_of("a", "bc")


def test_switched_off(tmp_path: Path) -> None:
    with settings.override(cache=False, cache_dir=str(tmp_path / "none")):
        assert cache.disk_cache() is None
        object_code(adding(2401))
    assert not (tmp_path / "none").exists()


def test_importing_the_compiler_does_not_import_llvmlite() -> None:
    names = "lampas.engine.llvm.compiler, lampas.engine.device.launch, lampas.engine.loops.brgemm"
    code = f"import sys, {names}; sys.exit('llvmlite' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
