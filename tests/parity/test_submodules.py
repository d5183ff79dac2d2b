"""What `import torch` alone makes reachable: programs read `torch.utils.data.DataLoader` without importing it."""

import json
import pkgutil
import subprocess
import sys

import pytest

import lampas

pytest.importorskip("torch")

REACHED = """
import json, sys, {library} as torch
def reached(name):
    found = torch
    try:
        for part in name.split("."):
            found = getattr(found, part)
    except AttributeError:
        return False
    return True
print(json.dumps([name for name in json.loads(sys.argv[1]) if reached(name)]))
"""


def reached_from(library: str, names: list[str]) -> set[str]:
    command = [sys.executable, "-W", "ignore", "-c", REACHED.format(library=library)]
    done = subprocess.run([*command, json.dumps(names)], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_submodules_are_reached_without_an_import_of_their_own():
    found = pkgutil.walk_packages(lampas.__path__, "lampas.")
    names = [module.name.removeprefix("lampas.") for module in found]
    names = [name for name in names if "_" not in name.split(".")[-1][:1]]
    missing = reached_from("torch", names) - reached_from("lampas", names)
    assert not missing, f"only after an import of their own: {sorted(missing)}"
