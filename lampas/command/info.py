"""`lampas info`: what this installation is, where it runs and how it is set."""

import importlib.metadata
import importlib.util
import platform
from dataclasses import fields

from lampas import version
from lampas.engine.device.pool import get_num_threads, granted_threads
from lampas.engine.llvm.cache import disk_cache
from lampas.engine.llvm.target import detected, host
from lampas.engine.settings import VARIABLES, Settings, settings

REQUIRED = ("numpy", "llvmlite", "scipy", "ml-dtypes", "safetensors", "pillow", "tqdm", "rich")
# Import name -> what it adds. None of them is ever needed to import lampas.
OPTIONAL = {
    "torch": "the oracle of tests/parity and bench",
    "threadpoolctl": "lets NumPy's and our threads be limited together",
    "mpi4py": "many processes (distributed)",
    "pytest": "the test suite",
}
SHOWN_FEATURES = ("sse4.2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bf16", "neon", "sve")

Section = tuple[str, list[tuple[str, str]]]


def sections() -> list[Section]:
    """All facts, as (title, [(name, value), …]); gathered without drawing anything."""
    return [
        ("Lampas", _release()),
        ("Machine", _machine()),
        ("Cache of kernels and programs", _cache()),
        ("Settings", _settings()),
        ("Packages", [(name, _installed(name)) for name in REQUIRED]),
        ("Optional", _optional()),
    ]


def show_info() -> int:
    """Print the facts as a table; return the exit status."""
    from rich.console import Console  # slow to import
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for number, (title, rows) in enumerate(sections()):
        if number:
            table.add_row("", "")
        table.add_row(f"[bold]{title}[/bold]", "")
        for name, value in rows:
            table.add_row(f"  {name}", value)
    console.print(table)
    return 0


def _release() -> list[tuple[str, str]]:
    return [
        ("version", version.lampas),
        ("answers for", f"torch {version.torch}, torchvision {version.torchvision}"),
        ("Python", f"{platform.python_version()} ({platform.python_implementation()})"),
    ]


def _machine() -> list[tuple[str, str]]:
    machine, target = detected(), host()
    bits = {part[1:] for part in machine.features.split(",") if part.startswith("+")}
    width = f"{target.vector_bytes * 8} bit, {target.registers} registers"
    if target.vector_bytes < machine.vector_bytes:
        width += f" (narrowed from {machine.vector_bytes * 8} bit)"
    return [
        ("system", f"{platform.system()} {platform.machine()}"),
        ("processor", machine.cpu),
        ("features", " ".join(name for name in SHOWN_FEATURES if name in bits) or "the baseline"),
        ("vectors", width + (", fused multiply-add" if target.fma else "")),
        ("threads", f"{get_num_threads()} of {granted_threads()} granted"),
    ]


def _cache() -> list[tuple[str, str]]:
    cache = disk_cache()
    if cache is None:
        return [("directory", "switched off (LAMPAS_CACHE)")]
    entries = cache.entries()
    size = sum(nbytes for _, nbytes, _ in entries) / 2**20
    return [
        ("directory", cache.directory if cache.usable else f"{cache.directory} (not usable)"),
        ("size", f"{size:.1f} of {cache.cap_bytes / 2**20:.0f} MiB in {len(entries)} files"),
    ]


def _settings() -> list[tuple[str, str]]:
    rows = []
    for item in fields(Settings):
        value, default = getattr(settings, item.name), item.default
        note = "" if value == default else f"  [bold](default {default!r})[/bold]"
        rows.append((VARIABLES[item.name], f"{value!r}{note}"))
    return rows


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "[red]missing[/red]"


def _optional() -> list[tuple[str, str]]:
    rows = []
    for name, purpose in OPTIONAL.items():
        present = importlib.util.find_spec(name) is not None
        state = _installed(name) if present else "not installed"
        rows.append((name, f"{state}: {purpose}"))
    return rows
