"""The layer check, on small trees made for the purpose, and on this checkout."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import check_layers

Tree = Callable[[dict[str, str]], list[check_layers.Finding]]


@pytest.fixture
def findings(tmp_path: Path) -> Tree:
    """Write files (path inside the checkout -> text) and check them."""

    def run(files: dict[str, str]) -> list[check_layers.Finding]:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return check_layers.check(tmp_path)

    return run


@pytest.mark.parametrize(
    ("module", "layer"),
    [
        ("lampas", "public"),
        ("lampas.nn.modules.linear", "public"),
        ("lampas.engine", "ground"),
        ("lampas.engine.dtype", "ground"),
        ("lampas.engine.graph", "graph"),
        ("lampas.engine.tensor.door", "tensor"),
    ],
)
def test_layer_of_a_module(module: str, layer: str) -> None:
    assert check_layers.layer_of(module) == layer


@pytest.mark.parametrize(
    ("path", "statement"),
    [
        ("lampas/engine/shape.py", "from lampas.engine.graph import node"),
        ("lampas/engine/graph/node.py", "import lampas.engine.loops.nest"),
        ("lampas/engine/llvm/text.py", "from lampas.engine.graph.node import Node"),
        ("lampas/engine/device/pool.py", "from lampas.engine.graph.node import Node"),
        ("lampas/engine/derive/rules.py", "from lampas.engine.loops.nest import Nest"),
        ("lampas/engine/realize/run.py", "from lampas.engine.tensor.tensor import Tensor"),
        ("lampas/engine/tensor/tensor.py", "from lampas.nn import Module"),
        ("lampas/engine/tensor/tensor.py", "import lampas"),
    ],
)
def test_upward_import_is_found(findings: Tree, path: str, statement: str) -> None:
    found = findings({path: f"'''a'''\n{statement}\n"})
    assert [(item.rule, item.path, item.line) for item in found] == [("direction", path, 2)]


def test_upward_import_for_types_is_found_too(findings: Tree) -> None:
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from lampas.nn import Module\n"
    (found,) = findings({"lampas/engine/graph/node.py": text})
    assert found.rule == "direction"


def test_downward_imports_pass(findings: Tree) -> None:
    files = {
        "lampas/nn/linear.py": "from lampas.engine.tensor.tensor import Tensor\n",
        "lampas/engine/tensor/tensor.py": "from lampas.engine.realize import run\n",
        "lampas/engine/realize/run.py": "import lampas.engine.device.pool\n",
        "lampas/engine/loops/nest.py": "from lampas.engine.llvm import text\n",
        "lampas/engine/device/pool.py": "from lampas.engine import settings\n",
    }
    assert findings(files) == []


def test_ring_is_found_once_and_names_its_members(findings: Tree) -> None:
    files = {
        "lampas/nn/a.py": "from lampas.nn import b\n",
        "lampas/nn/b.py": "from lampas.nn.c import d\n",
        "lampas/nn/c.py": "import lampas.nn.a\n",
        "lampas/nn/d.py": "import lampas.nn.a\n",
    }
    (found,) = findings(files)
    assert found.rule == "ring"
    assert found.message.endswith("lampas.nn.a, lampas.nn.b, lampas.nn.c")


def test_ring_through_types_only_passes(findings: Tree) -> None:
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from lampas.nn import b\n"
    assert findings({"lampas/nn/a.py": text, "lampas/nn/b.py": "import lampas.nn.a\n"}) == []


def test_import_inside_a_function(findings: Tree) -> None:
    text = "def load():\n    from lampas.nn import b\n    import PIL\n    return b, PIL\n"
    (found,) = findings({"lampas/nn/a.py": text, "lampas/nn/b.py": ""})
    assert (found.rule, found.line) == ("local-import", 2)
    assert "load()" in found.message


@pytest.mark.parametrize(
    "statement", ["import torch", "import torch.nn as nn", "from torchvision import models"]
)
def test_torch_is_never_imported(findings: Tree, statement: str) -> None:
    (found,) = findings({"lampas/nn/a.py": f"def load():\n    {statement}\n"})
    assert (found.rule, found.line) == ("foreign", 2)


@pytest.mark.parametrize(
    "statement",
    ["import os\nos.environ['A']", "import os\nos.getenv('A')", "\nfrom os import environ"],
)
def test_environment_is_read_in_one_file(findings: Tree, statement: str) -> None:
    files = {"lampas/cli.py": statement, "lampas/engine/settings.py": statement}
    (found,) = findings(files)
    assert (found.rule, found.path, found.line) == ("environment", "lampas/cli.py", 2)


def test_function_size_leaves_the_docstring_out(findings: Tree) -> None:
    body = "    x = 1\n" * 40
    long_docstring = "    '''" + "words\n" * 30 + "'''\n"
    assert findings({"lampas/a.py": f"def f():\n{long_docstring}{body}"}) == []
    (found,) = findings({"lampas/a.py": f"def f():\n{long_docstring}{body}    x = 2\n"})
    assert found.rule == "function-size"
    assert "41 lines" in found.message


def test_file_size_leaves_tables_out(findings: Tree) -> None:
    table = "TABLE = {\n" + "    1: 2,\n" * 600 + "}\n"
    assert findings({"lampas/a.py": table + "x = 1\n" * 490}) == []
    (found,) = findings({"lampas/a.py": table + "x = 1\n" * 500})
    assert found.rule == "file-size"


@pytest.mark.parametrize("comment", ["# TO" + "DO: mend", "# good enough for" + " now"])
def test_unfinished_words(findings: Tree, comment: str) -> None:
    (found,) = findings({"lampas/a.py": f"x = 1\n{comment}\n"})
    assert (found.rule, found.line) == ("unfinished", 2)


EXCEPTION = """
[[exception]]
rule = "environment"
path = "lampas/a.py"
reason = "the test says so"
"""


def test_exception_covers_its_finding_only(findings: Tree) -> None:
    reads = "import os\nos.environ\n"
    files = {"tools/exceptions.toml": EXCEPTION, "lampas/a.py": reads, "lampas/b.py": reads}
    assert [item.path for item in findings(files)] == ["lampas/b.py"]


def test_exception_that_nothing_needs_is_a_finding(findings: Tree) -> None:
    (found,) = findings({"tools/exceptions.toml": EXCEPTION, "lampas/a.py": ""})
    assert found.rule == "unused-exception"


def test_exception_without_a_reason_is_refused(findings: Tree) -> None:
    with pytest.raises(SystemExit, match="gives no reason"):
        findings({"tools/exceptions.toml": EXCEPTION.replace("the test says so", " ")})


def test_exit_status_and_report(findings: Tree, tmp_path: Path, capsys) -> None:
    findings({"lampas/a.py": "import torch\n"})
    assert check_layers.main([str(tmp_path)]) == 1
    assert "lampas/a.py:1: foreign: torch" in capsys.readouterr().out
    findings({"lampas/a.py": ""})
    assert check_layers.main([str(tmp_path)]) == 0


def test_this_checkout_stands() -> None:
    root = Path(check_layers.__file__).parent.parent
    assert [str(item) for item in check_layers.check(root)] == []


def test_the_oracle_may_be_absent() -> None:
    """No test file needs torch to be collected: `pytest.importorskip` is the one way to it."""
    tests = Path(check_layers.__file__).parent.parent / "tests"
    needing = []
    for path in tests.rglob("*.py"):
        for item in ast.parse(path.read_text()).body:
            names = [name.name for name in item.names] if isinstance(item, ast.Import) else []
            if isinstance(item, ast.ImportFrom):
                names = [item.module or ""]
            needing += [path.name for name in names if name.split(".")[0] == "torch"]
    assert needing == []
