"""Makes `lab.ipynb` from `lab.md`: its program parts executed in order under Lampas, outputs stored.

    lampas run examples/make_lab.py [path]

A cell's last expression is shown as a notebook shows it: its rich forms and its `repr`.
"""

import ast
import base64
import contextlib
import io
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbformat import v4

SOURCE = Path(__file__).with_name("lab.md")
KINDS = {"_repr_html_": "text/html", "_repr_svg_": "image/svg+xml", "_repr_png_": "image/png"}


def read_cells(text: str) -> list[tuple[str, str]]:
    """Prose and programs in their order."""
    parts = re.split(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    kinds = ("text", "code")
    cells = [(kinds[place % 2], part.strip("\n")) for place, part in enumerate(parts)]
    return [(kind, part) for kind, part in cells if part.strip()]


def show(value: Any) -> dict[str, Any]:
    """The forms of a value, by media type."""
    forms: dict[str, Any] = {"text/plain": repr(value)}
    for method, kind in KINDS.items():
        if kind == "image/png" and "image/svg+xml" in forms:
            continue  # one picture is enough in the file
        if hasattr(value, method):
            form = getattr(value, method)()
            forms[kind] = base64.b64encode(form).decode() if isinstance(form, bytes) else form
    return forms


def execute(source: str, names: dict[str, Any], number: int) -> list[Any]:
    """Run a cell; return its outputs."""
    tree = ast.parse(source)
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr) and not source.rstrip().endswith(";"):
        last = ast.Expression(tree.body.pop().value)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, f"<cell {number}>", "exec"), names)
        value = eval(compile(last, f"<cell {number}>", "eval"), names) if last else None
    outputs = []
    if printed.getvalue():
        outputs.append(v4.new_output("stream", name="stdout", text=printed.getvalue()))
    if value is not None:
        forms = {"data": show(value), "execution_count": number}
        outputs.append(v4.new_output("execute_result", **forms))
    return outputs


def make_notebook() -> Any:
    """All cells, the code executed."""
    names: dict[str, Any] = {"__name__": "__main__"}
    cells, number = [], 0
    for place, (kind, source) in enumerate(read_cells(SOURCE.read_text(encoding="utf-8"))):
        if kind == "text":
            cell = v4.new_markdown_cell(source)
        else:
            number += 1
            outputs = execute(source, names, number)
            cell = v4.new_code_cell(source, execution_count=number, outputs=outputs)
        cell["id"] = f"cell-{place:02}"  # the same at every making
        cells.append(cell)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.validate(notebook)
    return notebook


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("lab.ipynb")
    notebook = make_notebook()
    nbformat.write(notebook, target)
    print(f"{target}: {len(notebook.cells)} cells")


if __name__ == "__main__":
    main()
