"""What users see of random numbers: start values of layers, dropout, shuffled data."""

import numpy as np
import pytest

import lampas
import lampas.nn as nn
import lampas.utils.data as data

torch = pytest.importorskip("torch")

PAIRS = {"here": (lampas, nn, data), "torch": (torch, torch.nn, torch.utils.data)}
LAYERS = {
    "Linear": lambda nn: nn.Linear(10, 20),
    "Bilinear": lambda nn: nn.Bilinear(3, 4, 5),
    "Conv2d": lambda nn: nn.Conv2d(4, 8, 3, groups=2),
    "ConvTranspose1d": lambda nn: nn.ConvTranspose1d(3, 5, 3),
    "Embedding": lambda nn: nn.Embedding(10, 20, padding_idx=3),
    "LSTM": lambda nn: nn.LSTM(3, 4, 2, bidirectional=True),
    "GRUCell": lambda nn: nn.GRUCell(3, 4),
    "MultiheadAttention": lambda nn: nn.MultiheadAttention(8, 2),
    "TransformerEncoderLayer": lambda nn: nn.TransformerEncoderLayer(8, 2),
}
FILLS = {
    "uniform_": lambda init, x: init.uniform_(x, -1, 2),
    "normal_": lambda init, x: init.normal_(x, 1, 2),
    "xavier_uniform_": lambda init, x: init.xavier_uniform_(x, 2.0),
    "xavier_normal_": lambda init, x: init.xavier_normal_(x),
    "kaiming_uniform_": lambda init, x: init.kaiming_uniform_(x, 0.1),
    "kaiming_normal_": lambda init, x: init.kaiming_normal_(x, mode="fan_out"),
    "sparse_": lambda init, x: init.sparse_(x, 0.3),
    "trunc_normal_": lambda init, x: init.trunc_normal_(x, std=0.02, a=-0.04, b=0.03),
    "trunc_normal_ of a tail": lambda init, x: init.trunc_normal_(x, 0, 1, 2, 3),
}
FUNCTIONS = {
    "dropout": lambda f, x: f.dropout(x, 0.3, True),
    "dropout1d": lambda f, x: f.dropout1d(x, 0.3, True),
    "alpha_dropout": lambda f, x: f.alpha_dropout(x, 0.3, True),
    "feature_alpha_dropout": lambda f, x: f.feature_alpha_dropout(x, 0.3, True),
    "rrelu": lambda f, x: f.rrelu(x - 1, training=True),
    "gumbel_softmax": lambda f, x: f.gumbel_softmax(x),
}


VIEWS = {
    "turned": lambda library: library.ones(6, 4, 10).transpose(0, 1),
    "turned twice": lambda library: library.ones(6, 10, 4).permute(2, 0, 1),
    "repeated": lambda library: library.ones(4, 1, 10).expand(4, 6, 10),
    "with gaps": lambda library: library.ones(4, 12, 10)[:, ::2],
    "channels last": lambda library: library.ones(2, 5, 6, 3).permute(0, 3, 1, 2),
    "one row": lambda library: library.ones(1, 7, 3).transpose(0, 2),
}


def outcomes(program):
    """The program's arrays and the state that it leaves, on both sides."""
    found = []
    for name, modules in PAIRS.items():
        modules[0].manual_seed(4)
        arrays = [each.detach().numpy() for each in program(name, *modules)]
        found.append((arrays, modules[0].get_rng_state().numpy().tobytes()))
    (mine, my_state), (theirs, their_state) = found
    assert len(mine) == len(theirs)
    assert my_state == their_state
    return zip(mine, theirs)


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS.keys())
def test_start_values_of_layers(make):
    for mine, theirs in outcomes(lambda _, library, nn, data: make(nn).parameters()):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("fill", FILLS.values(), ids=FILLS.keys())
def test_init(fill):
    for mine, theirs in outcomes(
        lambda _, library, nn, data: [fill(nn.init, library.empty(20, 30))]
    ):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("name", ["dropout", "alpha_dropout", "rrelu"])
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS.keys())
def test_masks_are_drawn_in_the_order_of_memory(view, name):
    """Of views too, whose elements do not lie in row-major order."""

    def program(_, library, nn, data):
        return [FUNCTIONS[name](nn.functional, view(library))]

    for mine, theirs in outcomes(program):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6)


@pytest.mark.xfail(
    strict=True,
    reason="PyTorch's elementwise results lie in memory as their operands do, ours always row-major: "
    "a dropout behind one draws in another order",
)
def test_masks_behind_an_elementwise_function_of_a_view():
    def program(_, library, nn, data):
        turned = library.ones(6, 4, 10).transpose(0, 1)
        return [nn.functional.dropout(nn.functional.relu(turned), 0.3, True)]

    for mine, theirs in outcomes(program):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6)


def test_a_transformer_layer_in_training_with_dropout():
    """Its attention gives a view to the dropout behind it."""

    def program(_, library, nn, data):
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        optimizer = library.optim.SGD(layer.parameters(), lr=0.1)
        x, losses = library.randn(3, 5, 16), []
        for _ in range(3):
            optimizer.zero_grad()
            loss = (layer(x) - x.flip(0)).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss)
        return losses

    for mine, theirs in outcomes(program):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_functions(function):
    def program(_, library, nn, data):
        return [function(nn.functional, library.ones(4, 6, 10))]

    for mine, theirs in outcomes(program):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6)
        np.testing.assert_array_equal(mine == 0, theirs == 0)


def test_shuffled_batches():
    def program(_, library, nn, data):
        source = data.TensorDataset(library.arange(100))
        loader = data.DataLoader(source, batch_size=7, shuffle=True)
        return [batch[0] for _ in range(2) for batch in loader]

    for mine, theirs in outcomes(program):
        assert mine.tolist() == theirs.tolist()


def test_samplers():
    def program(_, library, nn, data):
        parts = data.random_split(range(100), [0.3, 0.7])
        sampler = data.WeightedRandomSampler([0.1, 0.9, 0.4], 20)
        subset = data.SubsetRandomSampler(range(5, 20))
        chosen = [part.indices for part in parts] + [list(sampler), list(subset)]
        return [library.tensor(list(each)) for each in chosen]

    for mine, theirs in outcomes(program):
        assert mine.tolist() == theirs.tolist()
