"""Lazy attributes: read once, kept, and errors that say what is missing."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lampas

PACKAGE = """
from lampas import _lazy
__getattr__, __dir__ = _lazy.attach(__name__, ["part", "absent", "broken"], {"thing": "lazy_sample.part"})
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator:
    folder = tmp_path / "lazy_sample"
    folder.mkdir()
    (folder / "__init__.py").write_text(PACKAGE)
    (folder / "part.py").write_text("thing = ['a']\n")
    (folder / "broken.py").write_text("import not_to_be_found_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    import lazy_sample  # made by this fixture

    yield lazy_sample
    for name in [name for name in sys.modules if name.partition(".")[0] == "lazy_sample"]:
        del sys.modules[name]


def test_a_submodule_is_imported_when_it_is_read(package) -> None:
    assert "lazy_sample.part" not in sys.modules
    assert package.part is sys.modules["lazy_sample.part"]
    assert "part" in vars(package)


def test_a_name_is_found_in_its_module_and_kept(package) -> None:
    first = package.thing
    assert first is package.part.thing is vars(package)["thing"]


def test_unknown_and_absent_names(package) -> None:
    with pytest.raises(AttributeError, match="'lazy_sample' has no attribute 'other'"):
        package.other
    with pytest.raises(AttributeError, match=r"this release has no lazy_sample\.absent"):
        package.absent
    assert not hasattr(package, "absent")


def test_an_error_inside_a_submodule_comes_through(package) -> None:
    with pytest.raises(ModuleNotFoundError, match="not_to_be_found_anywhere"):
        package.broken


def test_listing_has_what_was_not_read_yet(package) -> None:
    assert {"part", "absent", "thing"} <= set(dir(package))
    assert {"nn", "install_alias", "__version__"} <= set(dir(lampas))
