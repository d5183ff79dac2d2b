"""Programs kept on disk: taken instead of built where nothing has changed, and built again wherever they may not be taken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lampas as torch
from lampas import nn
from lampas.engine.graph.linear import LinearGraph, linearize
from lampas.engine.llvm import compiler
from lampas.engine.llvm.cache import disk_cache
from lampas.engine.realize import building, kernels, program_store
from lampas.engine.realize.parts import blueprint_of
from lampas.engine.realize.program import Program
from lampas.engine.realize.program_store import Stored, decode, encode, store_key
from lampas.engine.realize.realize import forget_plans
from lampas.engine.realize.statistics import statistics
from lampas.engine.settings import settings

pytestmark = pytest.mark.stored_programs

TRAINING = """
import sys
import lampas as torch

torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.BatchNorm2d(16), torch.nn.ReLU(), torch.nn.Flatten(),
    torch.nn.Linear(16 * 64, 10),
)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
images, labels = torch.randn(8, 3, 8, 8), torch.randint(0, 10, (8,))
for _ in range(3):
    optimizer.zero_grad()
    loss = torch.nn.functional.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
    print(loss.item().hex())
from lampas.engine.realize.statistics import statistics
print(statistics.programs, statistics.loaded > 0, "lampas.engine.schedule.lower" in sys.modules)
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and the compiled tier."""
    directory = tmp_path / "objects"
    monkeypatch.setattr(settings, "cache_dir", str(directory))
    monkeypatch.setattr(settings, "tier", "compiled")
    return directory


def graph_of(value: Any) -> LinearGraph:
    """The graph behind a tensor."""
    return linearize([value._node]).graph()


def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a new process began: no plans, no kernels linked."""
    forget_plans()
    for module, table in ((compiler, "addresses"), (kernels, "nests"), (kernels, "products")):
        monkeypatch.setattr(module, table, {})
    statistics.reset()


def built_and_loaded() -> tuple[int, int]:
    return statistics.programs, statistics.loaded


def train() -> list[float]:
    """Two steps of a network that has a convolution, an index and a reduction."""
    torch.manual_seed(1)
    table, layer = nn.Embedding(9, 16), nn.Conv2d(1, 16, 3, padding=1)
    optimizer = torch.optim.SGD([*table.parameters(), *layer.parameters()], lr=0.1)
    picked = torch.tensor([1, 5, 8, 0])
    losses: list[float] = []
    for _ in range(2):
        optimizer.zero_grad()
        loss = layer(table(picked).reshape(1, 1, 8, 8)).tanh().square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.slow
def test_a_second_process_schedules_nothing_and_prints_the_same(own_cache: Path) -> None:
    printed = [run_script(TRAINING, own_cache) for _ in range(2)]
    *first, built = printed[0].splitlines()
    *second, loaded = printed[1].splitlines()
    assert first == second
    assert built.split()[1:] == ["False", "True"]
    assert loaded == "0 True False"


def run_script(text: str, directory: Path) -> str:
    variables = {"LAMPAS_CACHE_DIR": str(directory), "LAMPAS_TIER": "compiled"}
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=True, env=variables
    )
    return done.stdout


def test_taken_instead_of_built(monkeypatch: pytest.MonkeyPatch) -> None:
    losses: list[list[float]] = []
    for _ in range(3):  # from the second on, steps are known and recorded otherwise
        fresh(monkeypatch)
        losses.append(train())
    assert losses[0] == losses[1] == losses[2]
    assert statistics.programs == 0
    assert statistics.loaded


def test_a_kernel_that_is_gone_is_compiled_again(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh(monkeypatch)
    losses = train()
    for code in compiler.codes.values():
        (own_cache / f"{code.key}.object").unlink(missing_ok=True)
    fresh(monkeypatch)
    assert train() == losses
    assert built_and_loaded()[0]


def test_a_torn_entry_is_built_again(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh(monkeypatch)
    losses = train()
    for path in own_cache.iterdir():
        path.write_bytes(path.read_bytes()[:-5])
    fresh(monkeypatch)
    assert train() == losses
    assert built_and_loaded()[1] == 0


def test_other_sources_make_other_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh(monkeypatch)
    losses = train()
    monkeypatch.setattr(program_store, "fingerprint", lambda *packages: "changed")
    fresh(monkeypatch)
    assert train() == losses
    assert built_and_loaded()[1] == 0


def test_keys_tell_graphs_and_settings_apart() -> None:
    def key(graph: Any, **values: object) -> str | None:
        with settings.override(**values):
            return store_key(blueprint_of(graph))

    x, y = torch.ones(3, 4), torch.ones(3, 5)
    graphs = [graph_of(made) for made in (x + 1, y + 1, x + 2.5, x - 1, (x + 1).sum(0))]
    keys = [key(graph) for graph in graphs]
    keys += [key(graphs[0], fuse=False), key(graphs[0], convolution="direct")]
    assert len({*keys}) == len(keys)
    assert None not in keys
    assert key(graphs[0]) == keys[0]
    assert key(graphs[0], verify=True) is None
    assert key(graphs[0], debug=1) is None


def test_host_steps_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        fresh(monkeypatch)
        assert (torch.ones(5, 5).cumsum(1) * 2).sort(descending=True).values[0, 0].item() == 10
        assert built_and_loaded()[1] == 0
        assert statistics.host_steps == 1


def test_nothing_is_kept_without_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    with settings.override(cache=False):
        assert disk_cache() is None
        for _ in range(2):
            fresh(monkeypatch)
            assert (torch.ones(40) * 3).exp().sum().item() > 0
            assert built_and_loaded() == (1, 0)


def test_a_loaded_program_checks_its_indices(monkeypatch: pytest.MonkeyPatch) -> None:
    messages: list[str] = []
    for number in range(2):
        fresh(monkeypatch)
        picked = torch.tensor([1, 6]) + torch.tensor([0, 1])
        with pytest.raises(IndexError) as raised:
            (nn.functional.embedding(picked, torch.ones(4, 3)) + 1).sum().item()
        messages.append(str(raised.value))
        assert bool(statistics.loaded) is bool(number)
    assert messages[0] == messages[1]


def test_a_loaded_program_prepares_weights_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "convolution", "winograd4")
    torch.manual_seed(0)
    layer, image = nn.Conv2d(32, 32, 3, padding=1), torch.randn(1, 32, 8, 8)
    found: list[Any] = []
    for _ in range(2):
        fresh(monkeypatch)
        with torch.no_grad():
            found.append(layer(image).numpy())
    assert statistics.loaded
    np.testing.assert_array_equal(*found)


def test_what_is_decoded_is_what_was_built() -> None:
    x = torch.randn(64, 300, requires_grad=True)
    graph = graph_of((x.softmax(1) @ torch.randn(300, 17)).tanh())
    blueprint = blueprint_of(graph)
    parts = building.make_parts(blueprint, building.arrange(graph))
    again = decode(encode(Stored({}, parts))).parts
    assert again == parts
    schedule = Program(parts, blueprint).schedule
    assert len(schedule.calls) == len({cost.place for own in parts.costs for cost in own})
