"""Event files: what was added can be read back, record by record."""

import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

import lampas
from lampas import nn

tensorboardX = pytest.importorskip("tensorboardX")

ROOT = Path(__file__).resolve().parents[2]


def events(folder: Path) -> Iterator[Any]:
    """Every event of every file below a folder; checks the files' own checksums."""
    from tensorboardX.crc32c import crc32c
    from tensorboardX.proto.event_pb2 import Event

    def masked(data: bytes) -> int:
        value = crc32c(data)
        return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF

    for path in sorted(folder.rglob("events.out.tfevents.*")):
        data, place = path.read_bytes(), 0
        while place < len(data):
            (length,) = struct.unpack_from("<Q", data, place)
            assert struct.unpack_from("<I", data, place + 8)[0] == masked(data[place : place + 8])
            body = data[place + 12 : place + 12 + length]
            assert struct.unpack_from("<I", data, place + 12 + length)[0] == masked(body)
            yield Event.FromString(body)
            place += 16 + length


def values(folder: Path) -> dict[str, list[tuple[int, Any]]]:
    found: dict[str, list[tuple[int, Any]]] = {}
    for event in events(folder):
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value))
    return found


def make_writer(folder: Path) -> Any:
    from lampas.utils.tensorboard import SummaryWriter

    return SummaryWriter(folder)


def test_scalars(tmp_path: Path) -> None:
    with make_writer(tmp_path) as writer:
        assert writer.get_logdir() == str(tmp_path)
        for step in range(3):
            writer.add_scalar("loss", lampas.tensor(1 / (step + 1), requires_grad=True), step)
        writer.add_scalars("accuracy", {"train": lampas.tensor(0.5), "test": 0.25}, 7)
    found = values(tmp_path)
    assert [(step, value.simple_value) for step, value in found["loss"]] == [
        (0, 1.0),
        (1, 0.5),
        (2, pytest.approx(1 / 3)),
    ]
    assert sorted(value.simple_value for _, value in found["accuracy"]) == [0.25, 0.5]


def test_images(tmp_path: Path) -> None:
    import io

    from PIL import Image

    pixels = lampas.zeros(3, 4, 5)
    pixels[0] = 1.0
    with make_writer(tmp_path) as writer:
        writer.add_image("red", pixels, 2)
        writer.add_images("grid", lampas.rand(4, 1, 6, 6), 3)
    ((step, value),) = values(tmp_path)["red"]
    with Image.open(io.BytesIO(value.image.encoded_image_string)) as image:
        assert image.size == (5, 4)
        assert image.convert("RGB").getpixel((0, 0)) == (255, 0, 0)
    assert step == 2
    assert (values(tmp_path)["grid"][0][1].image.height) == 6


def test_histograms_and_texts(tmp_path: Path) -> None:
    with make_writer(tmp_path) as writer:
        writer.add_histogram("weights", lampas.arange(100, dtype=lampas.bfloat16), 1)
        writer.add_text("note", "some *words*", 4)
    found = values(tmp_path)
    histogram = found["weights"][0][1].histo
    assert (histogram.num, histogram.min, histogram.max) == (100, 0, 99)
    assert sum(histogram.bucket) == 100
    ((_, note),) = (items[0] for tag, items in found.items() if tag.startswith("note"))
    assert b"some *words*" in note.tensor.string_val[0]


def test_graph_of_a_model(tmp_path: Path) -> None:
    from tensorboardX.proto.graph_pb2 import GraphDef

    model = nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 2)))
    with make_writer(tmp_path) as writer:
        writer.add_graph(model, lampas.ones(5, 4))
        with pytest.raises(ValueError, match="input_to_model"):
            writer.add_graph(model)
    (graph,) = [
        GraphDef.FromString(event.graph_def) for event in events(tmp_path) if event.graph_def
    ]
    nodes = {node.name: node for node in graph.node}
    assert {"Sequential/0/weight", "Sequential/1/1/bias", "Sequential/1/0/Relu"} <= set(nodes)
    assert "Sequential/0/Addmm" in nodes["Sequential/1/0/Relu"].input
    assert "input/0" in nodes["Sequential/0/Addmm"].input
    assert list(nodes["output/0"].input) == ["Sequential/1/1/Addmm"]
    assert all(source in nodes for node in graph.node for source in node.input)
    (shape,) = nodes["Sequential/1/1/Addmm"].attr["_output_shapes"].list.shape
    assert [dim.size for dim in shape.dim] == [5, 2]
    assert model.training


def test_hyperparameters_and_the_rest(tmp_path: Path) -> None:
    with make_writer(tmp_path) as writer:
        writer.add_hparams({"lr": 0.1, "adam": True}, {"accuracy": lampas.tensor(0.9)})
        labels, scores = lampas.tensor([0, 1, 1]), lampas.tensor([0.1, 0.8, 0.4])
        writer.add_pr_curve("curve", labels, scores, 1)
        with pytest.raises(NotImplementedError, match="add_tensor"):
            writer.add_tensor("t", labels)
        writer.flush()
    writer.close()
    found = values(tmp_path)
    assert found["accuracy"][0][1].simple_value == pytest.approx(0.9)
    assert any(tag.startswith("_hparams_") for tag in found)
    assert any(tag.startswith("curve") for tag in found)


def test_missing_package_is_named() -> None:
    program = (
        "import sys; sys.modules['tensorboardX'] = None\n"
        "try:\n    from lampas.utils.tensorboard import SummaryWriter\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert "pip install 'lampas[tensorboard]'" in done.stdout


def test_numbers_and_arrays_pass_through() -> None:
    from lampas.utils.tensorboard.writer import to_plain

    array = numpy.ones(2)
    assert to_plain(array) is array
    assert to_plain({"a": [lampas.tensor(2)]}) == {"a": [2]}
