"""The programs that newcomers meet first: the README's lines and the example."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_readme_program_learns(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(program, "README.md", "exec"), {"__name__": "readme"})
    (loss,) = re.findall(r"^loss (\d+\.\d+)$", capsys.readouterr().out, re.MULTILINE)
    assert float(loss) < 0.1


def test_the_example_runs_under_the_alias() -> None:
    command = [sys.executable, "-m", "lampas", "run", "examples/digits.py", "--epochs", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    found = re.fullmatch(r"epoch 1: loss (\d\.\d+), test accuracy (\d+\.\d) %\n", done.stdout)
    assert found is not None
    assert float(found[1]) == pytest.approx(0.6386, abs=2e-3)  # what PyTorch 2.13 prints
    assert float(found[2]) > 88
