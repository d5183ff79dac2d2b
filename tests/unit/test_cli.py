"""The command line: what a program sees under `lampas run`, and what each command answers."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import lampas
from lampas import cli, version
from lampas.command import bench, info
from lampas.engine.settings import VARIABLES, settings

ROOT = Path(lampas.__path__[0]).parent


def lampas_command(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `python -m lampas …` in a folder, with this package importable from anywhere."""
    start = f"import sys; sys.path.insert(1, {str(ROOT)!r}); from lampas.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", start, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


SCRIPT = """
import pickle, sys, importlib.metadata
import torch
import neighbour
import __main__

class Thing:
    pass

print(sys.argv)
print(__name__, __file__, __spec__, __package__)
print(torch.__name__, torch.__version__, importlib.metadata.version("torch"))
print(neighbour.torch is torch, __main__.Thing is Thing, type(pickle.loads(pickle.dumps(Thing()))))
print(sys.path[0])
sys.exit(7)
"""


def test_run_script(tmp_path: Path) -> None:
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "train.py").write_text(SCRIPT)
    (folder / "neighbour.py").write_text("import torch\n")
    done = lampas_command("run", "programs/train.py", "--epochs", "3", "-m", folder=tmp_path)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "['programs/train.py', '--epochs', '3', '-m']",
        "__main__ programs/train.py None None",
        "lampas 2.13.0 2.13.0",
        "True True <class '__main__.Thing'>",
        str(folder),
    ]
    assert done.returncode == 7


FAILING = """
def inner():
    raise ValueError("the reason")

inner()
"""


def test_uncaught_error_shows_the_program_only(tmp_path: Path) -> None:
    script = tmp_path / "fails.py"
    script.write_text(FAILING)
    done = lampas_command("run", script, folder=tmp_path)
    expected = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.returncode == expected.returncode == 1
    assert done.stderr == expected.stderr
    assert "ValueError: the reason" in done.stderr


def test_syntax_error_shows_the_program_only(tmp_path: Path) -> None:
    script = tmp_path / "wrong.py"
    script.write_text("x = 1\ny = = 2\n")
    done = lampas_command("run", script, folder=tmp_path)
    expected = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.returncode == expected.returncode
    assert done.stderr == expected.stderr


@pytest.mark.parametrize(
    ("ending", "status", "error"),
    [
        ("sys.exit()", 0, ""),
        ("sys.exit('bad luck')", 1, "bad luck\n"),
        ("raise KeyboardInterrupt", 130, "KeyboardInterrupt"),
    ],
)
def test_exit_status(tmp_path: Path, ending: str, status: int, error: str) -> None:
    (tmp_path / "ends.py").write_text(f"import sys\n{ending}\n")
    done = lampas_command("run", "ends.py", folder=tmp_path)
    assert done.returncode == status
    assert error in done.stderr


def test_run_module_and_package(tmp_path: Path) -> None:
    package = tmp_path / "trainer"
    package.mkdir()
    (package / "__init__.py").write_text("import torch\n")
    text = "import sys\nfrom . import torch\nprint(__name__, __spec__.name, __package__, sys.argv, torch.__name__)\n"
    (package / "__main__.py").write_text(text)
    (package / "part.py").write_text(text)
    done = lampas_command("run", "-m", "trainer", "a", "-b", folder=tmp_path)
    main_file = str(package / "__main__.py")
    assert done.stderr == ""
    assert done.stdout == (f"__main__ trainer.__main__ trainer {[main_file, 'a', '-b']!r} lampas\n")
    done = lampas_command("run", "-m", "trainer.part", folder=tmp_path)
    part_file = str(package / "part.py")
    assert done.stdout == f"__main__ trainer.part trainer {[part_file]!r} lampas\n"


def test_run_folder_and_zip(tmp_path: Path) -> None:
    folder = tmp_path / "program"
    folder.mkdir()
    (folder / "__main__.py").write_text("import torch, beside\nprint(torch.__name__, beside.x)\n")
    (folder / "beside.py").write_text("x = 5\n")
    assert lampas_command("run", "program", folder=tmp_path).stdout == "lampas 5\n"
    with zipfile.ZipFile(tmp_path / "program.pyz", "w") as archive:
        for path in folder.glob("*.py"):
            archive.write(path, path.name)
    assert lampas_command("run", "program.pyz", folder=tmp_path).stdout == "lampas 5\n"


SPAWNING = """
import multiprocessing
import torch

def report(queue):
    queue.put((torch.__name__, torch.__version__))

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=report, args=(queue,))
    process.start()
    print(queue.get(timeout=20))
    process.join()
"""


def test_spawned_processes_have_the_alias(tmp_path: Path) -> None:
    (tmp_path / "spawns.py").write_text(SPAWNING)
    done = lampas_command("run", "spawns.py", folder=tmp_path)
    assert (done.stdout, done.stderr) == ("('lampas', '2.13.0')\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "usage: lampas run"),
        (["-x"], "unknown option '-x'"),
        (["-m"], "-m needs a module's name"),
        (["not/there.py"], "can't open 'not/there.py': No such file"),
        (["-m", "not_there_at_all"], "No module named 'not_there_at_all'"),
        (["-m", "lampas.data"], "'lampas.data' is a package without a __main__"),
    ],
)
def test_run_refuses(arguments: list[str], message: str, capsys, monkeypatch) -> None:
    monkeypatch.setattr("lampas.command.run._install_alias_everywhere", lambda: None)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert cli.main(["run", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    help_text = capsys.readouterr().out
    assert all(word in help_text for word in ("run", "info", "demo", "bench"))
    assert cli.main(["run", "--help"]) == 0
    assert "lampas run -m module" in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"lampas {version.lampas}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["walk"], "invalid choice: 'walk'"),
        (["demo", "--epochs", "0"], "'0' is not a positive whole number"),
        (["demo", "--batch", "many"], "'many' is not a positive whole number"),
        (["demo", "--optimizer", "lion"], "invalid choice: 'lion'"),
    ],
)
def test_wrong_command_lines(arguments: list[str], message: str, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_info_tells_every_setting_and_package(capsys: pytest.CaptureFixture[str]) -> None:
    with settings.override(fuse=False):
        assert cli.main(["info"]) == 0
    shown = capsys.readouterr().out
    for word in (version.lampas, *VARIABLES.values(), *info.REQUIRED, *info.OPTIONAL):
        assert word in shown
    assert "(default True)" in shown


def test_info_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(info.OPTIONAL, "not_there_at_all", "nothing")
    facts = dict(dict(info.sections())["Optional"])
    assert facts["not_there_at_all"] == "not installed: nothing"
    assert facts["pytest"].startswith(pytest.__version__)


def test_info_with_the_cache_switched_off() -> None:
    with settings.override(cache=False):
        assert dict(dict(info.sections())["Cache of kernels and programs"]) == {
            "directory": "switched off (LAMPAS_CACHE)"
        }


def test_bench_without_a_checkout(monkeypatch, capsys, tmp_path: Path) -> None:
    monkeypatch.setattr(lampas, "__path__", [str(tmp_path / "lampas")])
    assert cli.main(["bench"]) == 2
    assert "comes with a checkout" in capsys.readouterr().err


def test_bench_hands_over(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lampas, "__path__", [str(tmp_path / "lampas")])
    script = bench.comparison()
    assert script == tmp_path / "bench" / "compare.py"
    script.parent.mkdir()
    seen = tmp_path / "seen"
    script.write_text(
        "import pathlib, sys\n"
        f"pathlib.Path({str(seen)!r}).write_text(' '.join(sys.argv[1:]))\n"
        "sys.exit(3)\n"
    )
    assert cli.main(["bench", "mlp", "--help"]) == 3
    assert seen.read_text() == "mlp --help"


def test_command_starts_light() -> None:
    heavy = "torch torchvision rich tqdm PIL scipy safetensors matplotlib"
    code = f"import sys, lampas.cli; print([n for n in {heavy.split()} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("[]\n", "")
