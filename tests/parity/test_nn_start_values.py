"""The same seed gives the same start values as PyTorch, layer by layer and function by function."""

import numpy as np
import pytest

import lampas

torch = pytest.importorskip("torch")

# Normal draws go through logarithms and cosines, which may differ in the last place.
LAYERS = {
    "linear": "nn.Linear(37, 21)",
    "linear without bias": "nn.Linear(5, 3, bias=False)",
    "bilinear": "nn.Bilinear(3, 4, 5)",
    "conv1d": "nn.Conv1d(3, 8, 5)",
    "conv2d": "nn.Conv2d(3, 8, 3, groups=1)",
    "conv2d grouped": "nn.Conv2d(4, 8, (3, 5), groups=2, bias=False)",
    "conv3d": "nn.Conv3d(2, 3, 3)",
    "conv_transpose2d": "nn.ConvTranspose2d(4, 6, 3, groups=2)",
    "embedding": "nn.Embedding(11, 7)",
    "embedding padded": "nn.Embedding(11, 7, padding_idx=3)",
    "embedding bag": "nn.EmbeddingBag(9, 5)",
    "rnn": "nn.RNN(4, 5, 2, bidirectional=True)",
    "lstm": "nn.LSTM(4, 5, 2)",
    "lstm projected": "nn.LSTM(4, 6, proj_size=3)",
    "gru": "nn.GRU(3, 7)",
    "gru cell": "nn.GRUCell(3, 7)",
    "batch norm": "nn.BatchNorm2d(5)",
    "layer norm": "nn.LayerNorm((3, 4))",
    "prelu": "nn.PReLU(3)",
    "attention": "nn.MultiheadAttention(8, 2)",
    "attention apart": "nn.MultiheadAttention(8, 2, kdim=4, vdim=6, add_bias_kv=True)",
    "encoder layer": "nn.TransformerEncoderLayer(8, 2, 16)",
    "decoder layer": "nn.TransformerDecoderLayer(8, 2, 16)",
    "transformer": "nn.Transformer(8, 2, 1, 1, 16)",
    "adaptive softmax": "nn.AdaptiveLogSoftmaxWithLoss(32, 20, [4, 9])",
    "sequence": "nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 10))",
    "spectral norm": "nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3))",
    "weight norm": "nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))",
}


def _state(library, text):
    library.manual_seed(11)
    made = eval(text, {"nn": library.nn})
    return {name: value.detach().numpy() for name, value in made.state_dict().items()}


@pytest.mark.parametrize("text", LAYERS.values(), ids=LAYERS)
@pytest.mark.filterwarnings("ignore:.*nested_tensor")
def test_layers_start_alike(text):
    ours, theirs = _state(lampas, text), _state(torch, text)
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=3e-7, atol=1e-7, err_msg=name)


@pytest.mark.parametrize(
    "text", [LAYERS[name] for name in ("linear", "conv2d", "lstm", "attention", "sequence")]
)
def test_uniform_starts_are_equal_bit_for_bit(text):
    ours, theirs = _state(lampas, text), _state(torch, text)
    for name, value in theirs.items():
        assert np.array_equal(ours[name], value), name


FUNCTIONS = (
    "uniform_(w, -2, 3)",
    "normal_(w, 1, 2)",
    "trunc_normal_(w, 0.5, 2, -1, 1)",
    "constant_(w, 3)",
    "ones_(w)",
    "zeros_(w)",
    "eye_(w)",
    "xavier_uniform_(w, 1.5)",
    "xavier_normal_(w)",
    "kaiming_uniform_(w, 0.3)",
    "kaiming_uniform_(w, mode='fan_out', nonlinearity='relu')",
    "kaiming_normal_(w, nonlinearity='tanh')",
    "orthogonal_(w, 2)",
    "sparse_(w, 0.4)",
)


@pytest.mark.parametrize("text", FUNCTIONS)
@pytest.mark.parametrize("shape", [(7, 5), (5, 7)])
def test_init_functions_draw_alike(text, shape):
    drawn = []
    for library in (lampas, torch):
        library.manual_seed(5)
        w = library.empty(shape)
        result = eval("init." + text, {"init": library.nn.init, "w": w})
        assert result is w
        drawn.append(w.numpy())
    np.testing.assert_allclose(drawn[0], drawn[1], rtol=2e-6, atol=5e-7)


@pytest.mark.parametrize("groups", [1, 2])
def test_dirac_passes_channels(groups):
    ours, theirs = (
        library.nn.init.dirac_(library.empty(4, 3, 3, 5), groups).numpy()
        for library in (lampas, torch)
    )
    assert np.array_equal(ours, theirs)


def test_dropout_draws_alike():
    drawn = []
    for library in (lampas, torch):
        library.manual_seed(3)
        drawn.append(library.nn.functional.dropout(library.ones(1000), 0.3).numpy())
    assert np.array_equal(drawn[0], drawn[1])
