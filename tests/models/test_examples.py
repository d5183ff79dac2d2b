"""Every example runs to its end, in its quick form, as a program of its own."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDE = sorted((ROOT / "examples" / "guide").glob("*.py"))
EXPECTED = {  # a line that only a run that went well prints
    "autograd": r"x\.grad = 7\.0",
    "custom": r"gradients agree with differences: True",
    "data_parallel": r"as without: True",
    "dataloader": r"texts padded to \(\d, \d+\), read by worker \[1, 1\]",
    "devices": r"result \(8, 50000\)",
    "evaluation": r"evaluation: two runs agree: True",
    "mixed_precision": r"autocast torch\.bfloat16: products in torch\.bfloat16",
    "module": r"parameters: 2371",
    "optimizer": r"after one step: \[1\.0, 1\.0\]",
    "save_load": r"training goes on from step 10: True",
    "schedules": r"StepLR +1\.000 1\.000 1\.000 1\.000 0\.100",
    "tensors": r"tensor\(\[0\.8000, 1\.4000\]\) True",
}


def run(*arguments: str) -> str:
    """What a program prints under `lampas run`; nothing may go wrong or be warned of."""
    command = [sys.executable, "-m", "lampas", "run", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("path", GUIDE, ids=[path.stem for path in GUIDE])
def test_topic_of_the_guide(path: Path) -> None:
    assert re.search(EXPECTED[path.stem], run(str(path), "--quick"))


def test_every_topic_is_expected_and_short() -> None:
    assert {path.stem for path in GUIDE} == set(EXPECTED)
    for path in (ROOT / "examples").rglob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.slow
def test_transfer_learning() -> None:
    text = run("examples/transfer_learning.py", "--quick")
    assert "5,130 of 11,181,642 parameters learn" in text
    before, after = re.search(r"loss (\d\.\d+), a step later (\d\.\d+)", text).groups()
    assert float(after) < float(before)


@pytest.mark.slow
def test_a_resumed_training_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    def train(folder: str, *more: str) -> list[str]:
        program = ("examples/fashion_mnist.py", "--quick", "--epochs", "3")
        text = run(*program, "--folder", str(tmp_path / folder), *more)
        return re.findall(r"epoch (\d: loss .*), [\d.]+ s", text)

    unbroken = train("unbroken")
    first = train("broken", "--until", "1")
    rest = train("broken", "--resume")
    assert first + rest == unbroken
    assert len(unbroken) == 3


def test_the_notebook_is_executed_and_valid() -> None:
    nbformat = pytest.importorskip("nbformat")
    path = ROOT / "examples" / "lab.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert sum("image/svg+xml" in output.get("data", {}) for output in outputs) >= 3


@pytest.mark.slow
def test_the_notebook_is_what_its_script_makes(tmp_path: Path) -> None:
    pytest.importorskip("nbformat")
    made = tmp_path / "lab.ipynb"
    run("examples/make_lab.py", str(made))
    stored = json.loads((ROOT / "examples" / "lab.ipynb").read_text(encoding="utf-8"))
    again = json.loads(made.read_text(encoding="utf-8"))
    assert [cell["source"] for cell in again["cells"]] == [
        cell["source"] for cell in stored["cells"]
    ]
