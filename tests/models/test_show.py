"""Pictures of graphs, summaries and curves: the right boxes, the right numbers, whole files."""

import itertools
import re
import xml.etree.ElementTree as ElementTree

import numpy
import pytest

import lampas
from lampas import nn, show
from lampas.show.layout import arrange
from lampas.show.tape_graph import LEAF, NUMBER, OPERATION, read_tape


def words(picture: show.Picture) -> list[str]:
    root = ElementTree.fromstring(picture.svg)
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]


# Graphs -------------------------------------------------------------------------------------------


def test_one_layer_as_drawn_by_hand() -> None:
    x, y = lampas.ones(5), lampas.zeros(3)
    w = lampas.randn(5, 3, requires_grad=True)
    b = lampas.randn(3, requires_grad=True)
    z = lampas.matmul(x, w) + b
    loss = nn.functional.binary_cross_entropy_with_logits(z, y)
    shown = words(show.graph(loss))
    assert {"x", "y", "w", "b", "(5, 3)", "(5)", "(3)", "scalar"} <= set(shown)
    assert "Add  =  z" in shown
    assert "BinaryCrossEntropyWithLogits  =  loss" in shown


def test_boxes_and_edges() -> None:
    a = lampas.tensor([2.0, 3.0], requires_grad=True)
    b = lampas.tensor([6.0, 4.0], requires_grad=True)
    tape = read_tape(3 * a**3 - b**2, {"a": a, "b": b})
    titles = [vertex.title for vertex in tape.vertices]
    assert sorted(titles) == ["3", "Mul", "Pow", "Pow", "Sub", "a", "b"]
    kinds = {vertex.title: vertex.kind for vertex in tape.vertices}
    assert (kinds["a"], kinds["3"], kinds["Mul"]) == (LEAF, NUMBER, OPERATION)
    named = {(titles[source], titles[user]) for source, user in tape.edges}
    expected = {("a", "Pow"), ("Pow", "Mul"), ("3", "Mul"), ("Mul", "Sub"), ("Pow", "Sub")}
    assert named == expected | {("b", "Pow")}
    assert [vertex.title for vertex in tape.vertices if vertex.result] == ["Sub"]


def test_saved_shapes_can_be_left_out_and_go_with_backward() -> None:
    w = lampas.ones(2, 3, requires_grad=True)
    loss = (w @ lampas.ones(3, 4)).exp().sum()
    assert any(line.startswith("saves") for line in words(show.graph(loss)))
    assert not any(line.startswith("saves") for line in words(show.graph(loss, saved=False)))
    loss.backward()
    shown = words(show.graph(loss))
    assert "w" in shown
    assert not any(line.startswith("saves") for line in shown)


def test_parameters_have_their_names() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))
    shown = words(show.graph(model(lampas.ones(2, 4)).sum(), model))
    assert {"0.weight", "0.bias", "2.weight", "2.bias"} <= set(shown)


def test_shared_tensor_is_one_box() -> None:
    w = lampas.ones(2, requires_grad=True)
    assert words(show.graph((w * w + w).sum())).count("w") == 1


def test_custom_function_is_drawn() -> None:
    class Double(lampas.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx, gradient):
            return gradient * 2

    shown = words(show.graph(Double.apply(lampas.ones(7, requires_grad=True)).sum()))
    assert {"Double", "saves (7)"} <= set(shown)


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="no computational graph"):
        show.graph(lampas.ones(2))
    with pytest.raises(TypeError, match="not a float"):
        show.graph(2.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="direction is 'up'"):
        show.graph(lampas.ones(1, requires_grad=True) * 2, direction="up")


def test_long_graphs_lead_down_short_ones_to_the_right() -> None:
    x = lampas.ones(1, requires_grad=True)
    width, height = show.graph(x * 2 + 1).size
    assert width > height
    for _ in range(20):
        x = (x + 1).exp()
    width, height = show.graph(x).size
    assert height > width


# Layout -------------------------------------------------------------------------------------------


def random_graph(seed: int) -> tuple[list[tuple[float, float]], list[tuple[int, int]]]:
    generator = numpy.random.default_rng(seed)
    count = int(generator.integers(2, 30))
    sizes = [tuple(pair) for pair in generator.uniform(20, 120, (count, 2)).tolist()]
    edges = {
        (int(generator.integers(0, user)), user)
        for user in range(1, count)
        for _ in range(int(generator.integers(0, 4)))
    }
    return sizes, sorted(edges)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("down", [True, False])
def test_boxes_do_not_overlap_and_edges_lead_on(seed: int, down: bool) -> None:
    sizes, edges = random_graph(seed)
    layout = arrange(sizes, edges, down=down)
    boxes = [
        (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        for (x, y), (w, h) in zip(layout.centres, sizes, strict=True)
    ]
    for first, second in itertools.combinations(boxes, 2):
        apart = (
            first[2] < second[0] + 1e-6
            or second[2] < first[0] + 1e-6
            or first[3] < second[1] + 1e-6
            or second[3] < first[1] + 1e-6
        )
        assert apart
    for left, top, right, bottom in boxes:
        assert left > -1e-6
        assert top > -1e-6
        assert right < layout.width + 1e-6
        assert bottom < layout.height + 1e-6
    along = 1 if down else 0
    for path in layout.paths:
        places = [point[along] for point in path]
        assert places == sorted(places)
        assert places[0] < places[-1]


def test_a_tree_has_no_crossings() -> None:
    edges = [(leaf, 4 + leaf // 2) for leaf in (0, 2, 1, 3)] + [(4, 6), (5, 6)]
    layout = arrange([(40.0, 20.0)] * 7, edges)
    order = sorted(range(4), key=lambda box: layout.centres[box][0])
    assert {frozenset(order[:2]), frozenset(order[2:])} == {frozenset({0, 1}), frozenset({2, 3})}
    assert layout.centres[6][0] == pytest.approx((layout.centres[4][0] + layout.centres[5][0]) / 2)


def test_cycle_is_refused() -> None:
    with pytest.raises(ValueError, match="cycle"):
        arrange([(10.0, 10.0)] * 2, [(0, 1), (1, 0)])


# Pictures -----------------------------------------------------------------------------------------


def test_pictures_are_saved_whole(tmp_path) -> None:
    from PIL import Image

    picture = show.curve([3.0, 2.0, 1.0])
    svg = picture.save(tmp_path / "new folder" / "curve.svg")
    assert svg.read_text(encoding="utf-8") == picture.svg == picture._repr_svg_()
    png = picture.save(tmp_path / "curve.png")
    assert png.read_bytes() == picture._repr_png_()
    with Image.open(png) as image:
        assert image.size == picture.size
    with pytest.raises(ValueError, match="gif"):
        picture.save(tmp_path / "curve.gif")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curve.png", "new folder"]


def test_names_with_markup_are_escaped() -> None:
    picture = show.graph(lampas.ones(1, requires_grad=True) * 2, names={})
    assert "<leaf" not in picture.svg
    weird = lampas.ones(1, requires_grad=True)
    assert "a<b>&c" in words(show.graph(weird * 2, {"a<b>&c": weird}))


# Curves -------------------------------------------------------------------------------------------


def blue_pixels(picture: show.Picture) -> numpy.ndarray:
    pixels = numpy.asarray(picture.image).astype(int)
    return numpy.argwhere(abs(pixels - (37, 99, 235)).max(axis=-1) < 30)


def test_a_falling_curve_falls() -> None:
    found = blue_pixels(show.curve([3, 2, lampas.tensor(1.0)]))
    left, right = found[found[:, 1].argmin()], found[found[:, 1].argmax()]
    assert left[0] < right[0] - 100


@pytest.mark.parametrize(
    "values", [[1.0], [0.0, 0.0], [1e-9, 2e-9], [1.0, float("nan"), 2.0], [5, None, 7], [-3, 1e6]]
)
def test_odd_curves_are_drawn(values: list[float]) -> None:
    assert len(blue_pixels(show.curve(values))) > 10


def test_panels_lines_and_key() -> None:
    losses = {"training": [2.0, 1.0], "test": [2.1, 1.4]}
    picture = show.curve({"loss": losses, "accuracy": {"test": [50.0, 80.0]}}, x_label="epoch")
    assert picture.size[0] == 2 * show.curve([1.0, 2.0]).size[0]
    assert {"loss", "accuracy", "training", "test", "epoch"} <= set(words(picture))


def test_logarithmic_axis_has_powers_of_ten() -> None:
    assert {"0.001", "0.01", "0.1", "1"} <= set(words(show.curve([0.9, 0.1, 0.0012], log=True)))


def test_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="no numbers"):
        show.curve({"loss": []})


# Summaries ----------------------------------------------------------------------------------------


def make_network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(8 * 7 * 7, 10),
    )


def test_rows_of_a_summary() -> None:
    facts = show.summary(make_network(), (4, 3, 15, 15))
    rows = {row.name: row for row in facts.rows}
    assert rows["0"].output == "(4, 8, 7, 7)"
    assert rows["0"].flops == 2 * 4 * 8 * 7 * 7 * 27
    assert rows["1"].flops == 0
    assert rows["5"].flops == 2 * 4 * 392 * 10
    assert facts.flops == rows["0"].flops + rows["5"].flops
    assert facts.parameters == 8 * 27 + 8 + 16 + 3930 == facts.trainable
    text = str(facts)
    assert re.search(r"0: Conv2d +\(4, 8, 7, 7\) +224 +84.7 k", text)
    assert "<td" in facts._repr_html_()


def test_summary_leaves_the_model_as_it_was() -> None:
    model = make_network()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    lampas.manual_seed(3)
    expected = lampas.rand(2).tolist()
    lampas.manual_seed(3)
    show.summary(model, (2, 3, 15, 15))
    assert lampas.rand(2).tolist() == expected
    assert model.training
    assert not model[1].training
    assert all(lampas.equal(before[name], value) for name, value in model.state_dict().items())
    assert not model[0]._forward_hooks


def test_summary_counts_only_its_own_run() -> None:
    model = make_network()
    model(lampas.rand(2, 3, 15, 15))  # leaves a pending running mean behind
    assert show.summary(model, (4, 3, 15, 15)).rows[2].flops == 0


def test_work_outside_of_layers_belongs_to_the_module_that_does_it() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.project = nn.Linear(6, 6, bias=False)

        def forward(self, x):
            x = self.project(x)
            return x @ x.transpose(-1, -2)

    facts = show.summary(Attention(), (2, 5, 6))
    assert facts.rows[1].flops == 2 * 2 * 5 * 6 * 6
    assert facts.flops - facts.rows[1].flops == 2 * 2 * 5 * 5 * 6


def test_shared_frozen_and_repeated_layers() -> None:
    layer = nn.Linear(4, 4)
    layer.requires_grad_(False)

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return self.layer(self.layer(x))

    facts = show.summary(Twice(), inputs=lampas.ones(1, 4))
    assert (facts.parameters, facts.trainable, facts.flops) == (20, 0, 2 * 2 * 16)
    assert "layer: Linear (run 2 times)" in str(facts)
    assert "20 frozen" in str(facts)


def test_summary_on_meta_and_with_depth() -> None:
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 3)), nn.ReLU()).to("meta")
    facts = show.summary(model, (2, 4), depth=1)
    assert [row.name for row in facts.rows] == ["", "0", "1"]
    assert facts.flops == 48


def test_summary_needs_an_input() -> None:
    with pytest.raises(TypeError, match="input_size"):
        show.summary(nn.Linear(1, 1))
