"""Checks that the house stands as designed: imports run downward, files and functions stay small.

Reads every Python file of the package by `ast`, never imports one, and reports

- an import of a higher or a foreign layer (`MAY_IMPORT`), also one under TYPE_CHECKING;
- modules that import each other in a ring while they load;
- an import of our own modules inside a function (it hides a ring);
- an import of torch anywhere;
- the environment read outside `engine/settings.py`;
- files over 500 lines and functions over 40 (module-level tables and docstrings do not count);
- words that mark unfinished work.

What has to differ is listed in `tools/exceptions.toml` with its reason; an exception that is no
longer needed is reported too, so that the list can only shrink.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = "lampas"
FILE_LINES = 500
FUNCTION_LINES = 40
SETTINGS_FILE = "engine/settings.py"
FOREIGN = {"torch", "torchvision"}
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b|\bfor now\b")

GROUND = {"ground"}
FOLDERS = "graph derive schedule loops llvm device host realize tensor"
ENGINE = GROUND | {*FOLDERS.split()}
MAY_IMPORT = {
    "ground": GROUND,
    "graph": GROUND | {"graph"},
    "llvm": GROUND | {"llvm"},
    "device": GROUND | {"llvm", "device"},
    "host": GROUND | {"llvm", "device", "host"},
    "loops": GROUND | {"graph", "llvm", "loops"},
    "schedule": GROUND | {"graph", "loops", "llvm", "schedule"},
    "derive": GROUND | {"graph", "derive"},
    "realize": ENGINE - {"derive", "tensor"},
    "tensor": ENGINE,
    "public": ENGINE | {"public"},
}


@dataclass(frozen=True, order=True)
class Finding:
    """One broken rule, at a place."""

    path: str
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.message}"


@dataclass(frozen=True)
class Import:
    """One first-party module that a file imports."""

    target: str
    line: int
    function: str | None
    typing_only: bool


@dataclass
class Module:
    """A parsed file and what it imports of our own."""

    name: str
    path: str
    source: str
    tree: ast.Module
    imports: list[Import] = field(default_factory=list)
    foreign: list[tuple[str, int]] = field(default_factory=list)


def layer_of(module: str) -> str:
    """The layer of a dotted module name: `lampas.engine.graph.node` is in `graph`."""
    parts = module.split(".")
    if parts[1:2] != ["engine"]:
        return "public"
    folder = parts[2] if len(parts) > 2 else "ground"
    return folder if folder in MAY_IMPORT else "ground"


def read_package(root: Path) -> dict[str, Module]:
    """Parse every file of the package under `root` (the checkout), by dotted module name."""
    files = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        relative = path.relative_to(root)
        parts = list(relative.with_suffix("").parts)
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        source = path.read_text(encoding="utf-8")
        files[name] = Module(name, relative.as_posix(), source, ast.parse(source, str(path)))
    for module in files.values():
        _ImportReader(module, set(files)).visit(module.tree)
    return files


class _ImportReader(ast.NodeVisitor):
    """Collects the imports of one file, with the function that each stands in."""

    def __init__(self, module: Module, known: set[str]) -> None:
        self.module, self.known = module, known
        self.functions: list[str] = []
        self.typing_only = False

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.functions.append(node.name)
        self.generic_visit(node)
        self.functions.pop()

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_If(self, node: ast.If) -> None:
        guarded = "TYPE_CHECKING" in ast.unparse(node.test)
        before, self.typing_only = self.typing_only, self.typing_only or guarded
        for child in node.body:
            self.visit(child)
        self.typing_only = before
        for child in node.orelse:
            self.visit(child)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name, node.lineno)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level:
            self.module.foreign.append(("a relative import", node.lineno))
            return
        base = node.module or ""
        for alias in node.names:
            full_name = f"{base}.{alias.name}"
            self._add(full_name if full_name in self.known else base, node.lineno)

    def _add(self, name: str, line: int) -> None:
        top = name.partition(".")[0]
        if top in FOREIGN:
            self.module.foreign.append((name, line))
        elif top == PACKAGE:
            function = self.functions[-1] if self.functions else None
            self.module.imports.append(Import(name, line, function, self.typing_only))


def check_direction(modules: dict[str, Module]) -> Iterator[Finding]:
    """Imports of a layer that the importing layer may not know, and imports of torch."""
    for module in modules.values():
        own = layer_of(module.name)
        for item in module.imports:
            other = layer_of(item.target)
            if other not in MAY_IMPORT[own]:
                message = f"{own} may not import {other} ({item.target})"
                yield Finding(module.path, item.line, "direction", message)
        for name, line in module.foreign:
            yield Finding(module.path, line, "foreign", f"{name} is not to be imported here")


def check_local_imports(modules: dict[str, Module]) -> Iterator[Finding]:
    """Imports of our own modules inside functions."""
    for module in modules.values():
        for item in module.imports:
            if item.function and not item.typing_only:
                message = f"{item.target} is imported inside {item.function}()"
                yield Finding(module.path, item.line, "local-import", message)


def check_rings(modules: dict[str, Module]) -> Iterator[Finding]:
    """Modules that import each other in a ring while they load (strong components)."""
    edges = {
        name: [
            item.target
            for item in module.imports
            if item.target in modules and not item.function and not item.typing_only
        ]
        for name, module in modules.items()
    }
    for ring in _strong_components(edges):
        if len(ring) > 1 or ring[0] in edges[ring[0]]:
            members = ", ".join(sorted(ring))
            first = modules[min(ring)]
            yield Finding(first.path, 1, "ring", f"these modules import each other: {members}")


def _strong_components(edges: dict[str, list[str]]) -> list[list[str]]:
    """Kosaraju's two walks, with explicit stacks."""
    order: list[str] = []
    seen: set[str] = set()
    for start in edges:
        stack = [(start, False)]
        while stack:
            name, finished = stack.pop()
            if finished:
                order.append(name)
            elif name not in seen:
                seen.add(name)
                stack.append((name, True))
                stack.extend((target, False) for target in edges[name])
    backward: dict[str, list[str]] = {name: [] for name in edges}
    for name, targets in edges.items():
        for target in targets:
            backward[target].append(name)
    components = []
    while order:
        stack, component = [order.pop()], []
        while stack:
            name = stack.pop()
            if name in seen:
                seen.discard(name)
                component.append(name)
                stack.extend(backward[name])
        if component:
            components.append(component)
    return components


def check_environment(modules: dict[str, Module]) -> Iterator[Finding]:
    """Reads of the environment outside the settings file."""
    for module in modules.values():
        if module.path == f"{PACKAGE}/{SETTINGS_FILE}":
            continue
        for node in ast.walk(module.tree):
            if _reads_environment(node):
                line = getattr(node, "lineno", 1)
                message = f"only {SETTINGS_FILE} reads the environment"
                yield Finding(module.path, line, "environment", message)


def _reads_environment(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        owner = node.value
        return node.attr in ENVIRONMENT and isinstance(owner, ast.Name) and owner.id == "os"
    if isinstance(node, ast.ImportFrom) and node.module == "os":
        return any(alias.name in ENVIRONMENT for alias in node.names)
    return False


def check_sizes(modules: dict[str, Module]) -> Iterator[Finding]:
    """Files and functions that have outgrown their room."""
    for module in modules.values():
        lines = module.source.count("\n") - _table_lines(module.tree)
        if lines > FILE_LINES:
            message = f"{lines} lines without tables, {FILE_LINES} are allowed"
            yield Finding(module.path, 1, "file-size", message)
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            size = _function_lines(node)
            if size > FUNCTION_LINES:
                message = f"{node.name}() has {size} lines, {FUNCTION_LINES} are allowed"
                yield Finding(module.path, node.lineno, "function-size", message)


def _table_lines(tree: ast.Module) -> int:
    """Lines of module-level assignments of a display or a constant: tables of data."""
    lines = 0
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(
            node.value, ast.Dict | ast.List | ast.Tuple | ast.Set | ast.Constant
        ):
            lines += _last_line(node) - node.lineno
    return lines


def _function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the first statement after the docstring to the last."""
    body = node.body
    if ast.get_docstring(node, clean=False) is not None:
        body = body[1:]
    return _last_line(body[-1]) - body[0].lineno + 1 if body else 0


def _last_line(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


def check_unfinished(modules: dict[str, Module]) -> Iterator[Finding]:
    """Words that say a piece is not done."""
    for module in modules.values():
        for number, line in enumerate(module.source.splitlines(), start=1):
            if match := UNFINISHED.search(line):
                yield Finding(module.path, number, "unfinished", f"{match.group()!r}")


CHECKS = (
    check_direction,
    check_local_imports,
    check_rings,
    check_environment,
    check_sizes,
    check_unfinished,
)


@dataclass(frozen=True)
class Exemption:
    """A finding that is accepted: its rule, its file, a part of its message, and why."""

    rule: str
    path: str
    contains: str
    reason: str

    def covers(self, finding: Finding) -> bool:
        same_place = self.rule == finding.rule and self.path == finding.path
        return same_place and self.contains in finding.message


def read_exemptions(path: Path) -> list[Exemption]:
    """Read the list; each entry needs a reason."""
    if not path.exists():
        return []
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("exception", [])
    exemptions = []
    for entry in entries:
        if not entry.get("reason", "").strip():
            raise SystemExit(f"{path}: the exception for {entry.get('path')} gives no reason")
        fields = (entry["rule"], entry["path"], entry.get("contains", ""), entry["reason"])
        exemptions.append(Exemption(*fields))
    return exemptions


def check(root: Path) -> list[Finding]:
    """Every finding of the tree that no exception covers, and every exception that is unused."""
    listing = root / "tools" / "exceptions.toml"
    exemptions = read_exemptions(listing)
    modules = read_package(root)
    used: set[Exemption] = set()
    left = []
    for run in CHECKS:
        for finding in run(modules):
            covering = [entry for entry in exemptions if entry.covers(finding)]
            used.update(covering)
            if not covering:
                left.append(finding)
    for entry in exemptions:
        if entry not in used:
            message = f"nothing needs it any more: {entry.rule} in {entry.path}"
            left.append(Finding("tools/exceptions.toml", 1, "unused-exception", message))
    return sorted(left)


def main(arguments: list[str]) -> int:
    """Check the checkout that this file lies in, or the one given."""
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    findings = check(root)
    for finding in findings:
        print(finding)
    if findings:
        print(f"{len(findings)} findings")
        return 1
    print("layers: imports run downward, files and functions are within their bounds")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
