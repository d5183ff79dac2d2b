"""The programs in the guide's pages run as they stand, and their pictures are what these draw."""

import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md") if "```python" in path.read_text("utf-8"))


def run(page: str) -> dict[str, Any]:
    """Run a page's programs one after the other; return their variables."""
    text = (DOCS / page).read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": "guide"}
    for program in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        exec(compile(program, page, "exec"), names)
    return names


@pytest.mark.parametrize("page", PAGES)
def test_programs_of_a_page(page: str) -> None:
    assert run(page)


def test_pictures_of_the_page_are_up_to_date() -> None:
    names = run("seeing.md")
    stored = {path.stem: path.read_text(encoding="utf-8") for path in DOCS.glob("pictures/*.svg")}
    assert stored == {"graph": names["picture"].svg, "curves": names["curves"].svg}


def test_links_lead_somewhere() -> None:
    for path in DOCS.glob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
