"""Writes the type stubs of what is declared at run time: `Tensor`'s methods and the exported operations.

    python tools/write_stubs.py [--check]

Operations are declared once, by decorators (`lampas/engine/tensor/declare.py`); type checkers and editors
read the stubs made here from that table.  `--check` only says whether they are up to date.
"""

from __future__ import annotations

import ast
import inspect
import pathlib
import sys
from collections.abc import Callable
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from lampas.engine.tensor import PUBLIC, Tensor  # noqa: E402
from lampas.engine.tensor import core as core_module  # noqa: E402

NAMES = {
    "Any": "Any", "Callable": "Callable", "Iterator": "Iterator", "None": "None",
    "Number": "Number", "Operand": "Operand", "Scalar": "Scalar", "Sequence": "Sequence",
    "Size": "Size", "Tensor": "Tensor", "bool": "builtins.bool", "complex": "builtins.complex",
    "device": "Any", "dict": "builtins.dict", "dtype": "Dtype", "float": "builtins.float",
    "int": "builtins.int", "list": "builtins.list", "str": "builtins.str",
    "tuple": "builtins.tuple", "type": "builtins.type", "np": "np", "ndarray": "ndarray",
    "GradNode": "GradNode", "Generator": "Any", "HookHandle": "Any",
}  # fmt: skip
HEADER = '''"""Types of what is declared at run time.  Written by `tools/write_stubs.py`; do not edit."""

import builtins
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from lampas.engine.dtype import dtype as Dtype
from lampas.engine.shape import Size
from lampas.engine.tensor.core import Tensor as Tensor
{imports}
Number = builtins.bool | builtins.int | builtins.float | builtins.complex
Scalar = Number
Operand = Tensor | Scalar
'''


class Rename(ast.NodeTransformer):
    """Replaces names that a stub cannot see."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """A known name as the stub writes it, Any for the rest."""
        return ast.parse(NAMES.get(node.id, "Any"), mode="eval").body


def annotation(value: Any) -> str:
    """An annotation in the stub's names."""
    if value is inspect.Signature.empty:
        return "Any"
    text = value if isinstance(value, str) else getattr(value, "__name__", str(value))
    tree = ast.parse(text, mode="eval")
    return ast.unparse(Rename().visit(tree))


def signature(name: str, function: Callable[..., Any], *, is_method: bool, has_out: bool) -> str:
    """`def name(…) -> …: ...`."""
    try:
        found = inspect.signature(function)
    except (TypeError, ValueError):
        first = "self, " if is_method else ""
        return f"def {name}({first}*args: Any, **kwargs: Any) -> Any: ..."
    parts: list[str] = []
    starred = False
    for place, parameter in enumerate(found.parameters.values()):
        default = "" if parameter.default is parameter.empty else " = ..."
        kind = annotation(parameter.annotation)
        if place == 0 and is_method:
            parts.append("self")
            if parameter.kind is parameter.POSITIONAL_ONLY:
                parts.append("/")
        elif parameter.kind is parameter.VAR_POSITIONAL:
            starred = True
            parts.append(f"*{parameter.name}: {kind}")
        elif parameter.kind is parameter.VAR_KEYWORD:
            continue
        else:
            if parameter.kind is parameter.KEYWORD_ONLY and not starred:
                starred = True
                parts.append("*")
            parts.append(f"{parameter.name}: {kind}{default}")
    variable = [p for p in found.parameters.values() if p.kind is p.VAR_KEYWORD]
    if has_out and "out" not in found.parameters:
        parts += [] if starred else ["*"]
        parts.append("out: Any = ...")
    parts += [f"**{p.name}: Any" for p in variable]
    if parts and parts[-1] == "*":
        parts.pop()
    return f"def {name}({', '.join(parts)}) -> {annotation(found.return_annotation)}: ..."


def method_lines() -> list[str]:
    """The members of Tensor that are attached at run time."""
    written = {
        node.name
        for cls in ast.walk(ast.parse(pathlib.Path(core_module.__file__).read_text()))
        if isinstance(cls, ast.ClassDef) and cls.name == "Tensor"
        for node in cls.body
        if isinstance(node, ast.FunctionDef)
    }
    lines = []
    skipped = {
        "__new__",
        "__init__",
        "__dict__",
        "__weakref__",
        "__hash__",
        "__doc__",
        "__module__",
    }
    slots = set(Tensor.__slots__)
    for name in sorted(vars(Tensor)):
        value = vars(Tensor)[name]
        if name in written | skipped | slots or name in ("__slots__", "__annotations__"):
            continue
        if isinstance(value, property):
            lines += ["@property", f"def {name}(self) -> Any: ..."]
            if value.fset is not None:
                lines += [f"@{name}.setter", f"def {name}(self, value: Any) -> None: ..."]
        elif isinstance(value, staticmethod):
            lines += ["@staticmethod", f"def {name}(*args: Any, **kwargs: Any) -> Any: ..."]
        elif callable(value):
            ignored = "  # type: ignore[override]" if name in ("__eq__", "__ne__") else ""
            lines.append(signature(name, value, is_method=True, has_out=False) + ignored)
        else:
            lines.append(f"{name}: Any")
    return lines


def methods_stub() -> str:
    """The text of `methods.pyi`."""
    body = "\n".join("    " + line for line in method_lines())
    header = HEADER.replace("{imports}", "")
    return (
        f"{header}\nclass TensorMethods:\n    __hash__: Any  # type: ignore[assignment]\n{body}\n"
    )


def package_stub() -> str:
    """The text of `engine/tensor/__init__.pyi`."""
    lines = [
        signature(entry.name, entry.function, is_method=False, has_out=entry.out)
        for name, entry in sorted(PUBLIC.items())
        if not entry.namespace
    ]
    extra = (
        "from lampas.engine.tensor import families as families\n"
        "from lampas.engine.tensor.declare import PUBLIC as PUBLIC\n"
        "from lampas.engine.tensor.device import device as device\n"
        "from lampas.engine.tensor.grad_mode import is_grad_enabled as is_grad_enabled\n"
        "from lampas.engine.tensor.grad_mode import (\n"
        "    is_inference_mode_enabled as is_inference_mode_enabled,\n)\n"
        "from lampas.engine.tensor.grad_switches import enable_grad as enable_grad\n"
        "from lampas.engine.tensor.grad_switches import inference_mode as inference_mode\n"
        "from lampas.engine.tensor.grad_switches import no_grad as no_grad\n"
        "from lampas.engine.tensor.grad_switches import set_grad_enabled as set_grad_enabled\n"
    )
    return HEADER.replace("{imports}", extra) + "\n".join(lines) + "\n"


STUBS = {
    ROOT / "lampas/engine/tensor/methods.pyi": methods_stub,
    ROOT / "lampas/engine/tensor/__init__.pyi": package_stub,
}


def main() -> int:
    """Write the stubs, or check them."""
    stale = [
        path for path, make in STUBS.items() if not path.exists() or path.read_text() != make()
    ]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is out of date: run python tools/write_stubs.py")
        return 1 if stale else 0
    for path in stale:
        path.write_text(STUBS[path]())
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
