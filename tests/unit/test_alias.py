"""The import alias: which module a name finds, what it refuses, and that it leaves no trace."""

import importlib
import importlib.metadata
import importlib.util
import itertools
import pickle
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

import lampas
import lampas.torch_version
from lampas import alias, version
from lampas.torch_version import TorchVersion


@pytest.fixture
def without_torch() -> Iterator[None]:
    """Take a real torch that other tests imported out of sight, and put it back."""
    kept = {name: sys.modules[name] for name in list(sys.modules) if alias.real_name(name)}
    for name in kept:
        del sys.modules[name]
    yield
    alias.uninstall_alias()
    sys.modules.update(kept)


@pytest.fixture
def installed(without_torch: None) -> None:
    lampas.install_alias()


@pytest.fixture
def extra_modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that is searched as if it were part of the package."""
    monkeypatch.setattr(lampas, "__path__", [*lampas.__path__, str(tmp_path)])
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("lampas.sample")]:
        del sys.modules[name]
    vars(lampas).pop("sample", None)


def test_torch_is_lampas(installed: None) -> None:
    assert importlib.import_module("torch") is lampas
    assert sys.modules["torch"] is lampas


def test_submodules_are_the_same_objects(installed: None, extra_modules: Path) -> None:
    package = extra_modules / "sample" / "deep"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("top = 1\n")
    (package / "__init__.py").write_text("")
    (package / "leaf.py").write_text("class Leaf:\n    size = 3\n")
    names: dict = {}
    exec(
        "import torch.sample.deep.leaf as first\n"
        "from torch.sample.deep.leaf import Leaf\n"
        "from torch.sample import deep\n"
        "import lampas.sample.deep.leaf as second\n",
        names,
    )
    assert names["first"] is names["second"]
    assert sys.modules["torch.sample.deep.leaf"] is sys.modules["lampas.sample.deep.leaf"]
    assert names["deep"].leaf is names["first"]
    assert names["Leaf"].__module__ == "lampas.sample.deep.leaf"


def test_a_module_keeps_its_own_spec(installed: None) -> None:
    module = importlib.import_module("torch.torch_version")
    assert module is lampas.torch_version
    assert module.__name__ == module.__spec__.name == "lampas.torch_version"
    assert importlib.util.find_spec("torch.torch_version") is not None


def test_pickles_cross_the_alias(installed: None, extra_modules: Path) -> None:
    (extra_modules / "sample.py").write_text("class Leaf:\n    pass\n")
    leaf = importlib.import_module("torch.sample").Leaf
    assert type(pickle.loads(pickle.dumps(leaf()))) is leaf
    written_by_torch = b"ctorch.sample\nLeaf\n."
    assert pickle.loads(written_by_torch) is leaf


@pytest.mark.parametrize("name", ["torch.sidewalk", "torchvision.sidewalk", "torch.a.b.c"])
def test_missing_module_names_lampas(installed: None, name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"Lampas .* has no lampas") as caught:
        importlib.import_module(name)
    assert caught.value.name is not None
    assert caught.value.name.startswith("torch")


@pytest.mark.parametrize("name", sorted(alias.OWN))
def test_own_modules_are_not_torch_modules(installed: None, name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match="has no lampas"):
        importlib.import_module(f"torch.{name}")


def test_an_error_inside_a_module_comes_through(installed: None, extra_modules: Path) -> None:
    (extra_modules / "sample.py").write_text("import not_to_be_found_anywhere\n")
    with pytest.raises(ModuleNotFoundError, match="not_to_be_found_anywhere") as caught:
        importlib.import_module("torch.sample")
    assert caught.value.name == "not_to_be_found_anywhere"


@pytest.mark.parametrize("name", ["torchaudio", "torch_geometric", "numpy", "lampas.nn"])
def test_other_packages_are_left_alone(name: str) -> None:
    assert alias._FINDER.find_spec(name) is None


@pytest.mark.parametrize("root", ["torch", "torchvision"])
def test_refuses_beside_the_real_one(without_torch: None, root: str) -> None:
    sys.modules[root] = types.ModuleType(root)
    try:
        with pytest.raises(ImportError, match=f"the real {root} is already imported"):
            lampas.install_alias()
    finally:
        del sys.modules[root]
    assert alias._FINDER not in sys.meta_path


def test_metadata(installed: None) -> None:
    assert importlib.metadata.version("torch") == "2.13.0"
    assert importlib.metadata.version("Torch") == "2.13.0"
    assert importlib.metadata.version("torchvision") == "0.28.0"
    assert importlib.metadata.metadata("torch")["Name"] == "torch"
    names = [item.metadata["Name"] for item in importlib.metadata.distributions()]
    assert "torch" in names
    assert "numpy" in names


def test_version_reads_as_torch_while_installed(without_torch: None) -> None:
    assert lampas.__version__ == version.__version__ == version.lampas
    lampas.install_alias()
    torch = importlib.import_module("torch")
    assert torch.__version__ == "2.13.0"
    assert torch.__version__ >= (2, 9)
    assert importlib.import_module("torch.version").__version__ == "2.13.0"
    lampas.uninstall_alias()
    assert lampas.__version__ == version.__version__ == version.lampas


def test_install_and_uninstall_are_idempotent(without_torch: None) -> None:
    before = list(sys.meta_path)
    lampas.install_alias()
    lampas.install_alias()
    assert len(sys.meta_path) == len(before) + 1
    importlib.import_module("torch.torch_version")
    lampas.uninstall_alias()
    lampas.uninstall_alias()
    assert sys.meta_path == before
    assert not [name for name in sys.modules if alias.real_name(name)]
    assert "lampas.torch_version" in sys.modules


# fmt: off
ORDERED = ["1.13", "2.0.0", "2.1", "2.9.1", "2.13.0.dev20260101", "2.13.0a0", "2.13.0rc1", "2.13.0", "2.13.0.post1", "10.0"]
# fmt: on


@pytest.mark.parametrize(("lower", "higher"), list(itertools.pairwise(ORDERED)))
def test_versions_are_ordered(lower: str, higher: str) -> None:
    assert TorchVersion(lower) < higher
    assert TorchVersion(higher) > lower
    assert TorchVersion(lower) <= TorchVersion(higher)
    assert not TorchVersion(lower) >= higher
    assert TorchVersion(lower) != higher


@pytest.mark.parametrize("other", ["2.13", "2.13.0", (2, 13), (2, 13, 0), "2.13.0+cpu"])
def test_equal_versions(other: object) -> None:
    assert TorchVersion("2.13.0+cu130") == other
    assert TorchVersion("2.13.0+cu130") >= other
    assert TorchVersion("2.13.0") <= other


def test_version_is_a_string() -> None:
    found = TorchVersion("2.13.0")
    assert isinstance(found, str)
    assert found.split(".")[:2] == ["2", "13"]
    assert hash(found) == hash("2.13.0")
    assert found != "main"
    with pytest.raises(TypeError, match="is not a version"):
        found >= 2.0
