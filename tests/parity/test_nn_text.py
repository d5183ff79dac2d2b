"""What people read: printed modules, errors of loading and of wrong calls, equal to PyTorch's."""

import pytest

import lampas

torch = pytest.importorskip("torch")

PRINTED = """
nn.Linear(2, 3)
nn.Linear(2, 3, bias=False)
nn.Bilinear(1, 2, 3)
nn.Identity()
nn.Flatten()
nn.Unflatten(1, (2, 3))
nn.Conv1d(1, 2, 3, padding=1)
nn.Conv2d(1, 2, 3, padding=1, dilation=2, bias=False, padding_mode='reflect')
nn.Conv2d(2, 2, (3, 5), groups=2, padding='same')
nn.ConvTranspose2d(1, 2, 3, stride=2, output_padding=1)
nn.MaxPool2d(2)
nn.AvgPool1d(2)
nn.AvgPool2d(3, 1, 1)
nn.LPPool2d(2, 3)
nn.AdaptiveAvgPool2d((1, 1))
nn.MaxUnpool2d(2)
nn.FractionalMaxPool2d(2, output_size=3)
nn.BatchNorm2d(4)
nn.BatchNorm1d(4, affine=False, track_running_stats=False)
nn.InstanceNorm2d(3)
nn.LayerNorm((3, 4))
nn.GroupNorm(2, 4)
nn.RMSNorm(3)
nn.LocalResponseNorm(2)
nn.Dropout(0.1)
nn.Embedding(5, 3, padding_idx=0)
nn.EmbeddingBag(5, 3, max_norm=1.0)
nn.ReLU(inplace=True)
nn.LeakyReLU(0.2)
nn.ELU(0.5, True)
nn.Hardtanh(-2, 2)
nn.ReLU6()
nn.Softplus()
nn.Softmax(-1)
nn.GELU('tanh')
nn.PReLU(3)
nn.Threshold(0.1, 20)
nn.ZeroPad2d(2)
nn.ConstantPad1d((1, 2), 3.5)
nn.ReflectionPad2d(1)
nn.Upsample(scale_factor=2, mode='bilinear')
nn.UpsamplingNearest2d(size=4)
nn.PixelShuffle(2)
nn.ChannelShuffle(2)
nn.Fold((4, 5), 2)
nn.Unfold(3)
nn.RNN(2, 3)
nn.LSTM(2, 3, 2, bias=False, batch_first=True, dropout=0.5, bidirectional=True, proj_size=1)
nn.GRUCell(2, 3)
nn.MultiheadAttention(4, 2)
nn.TransformerEncoderLayer(4, 2, 8)
nn.CrossEntropyLoss()
nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1), nn.ReLU()])
nn.ModuleDict({'a': nn.ReLU(), 'b': nn.Sequential(nn.Tanh(), nn.Linear(1, 2))})
nn.ParameterList([T.zeros(2), T.ones(3, 2)])
nn.Sequential(nn.Linear(1, 2), nn.Sequential(nn.ReLU(), nn.Dropout()))
nn.Parameter(T.arange(3.0))
nn.Parameter(T.zeros(2, 2), requires_grad=False)
nn.Linear(1, 1).load_state_dict(nn.Linear(1, 1).state_dict())
""".strip().splitlines()


@pytest.mark.parametrize("text", PRINTED)
def test_prints_alike(text):
    ours, theirs = (
        repr(eval(text, {"nn": library.nn, "T": library})) for library in (lampas, torch)
    )
    assert ours == theirs


FAILING = {
    "missing and unexpected": (
        "m = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))\n"
        "s = m.state_dict(); s.pop('0.bias'); s['zzz'] = T.zeros(1); m.load_state_dict(s)"
    ),
    "size mismatch": (
        "m = nn.Linear(2, 3); s = m.state_dict(); s['weight'] = T.zeros(9, 9); m.load_state_dict(s)"
    ),
    "no tensor": "m = nn.Linear(2, 3); s = m.state_dict(); s['bias'] = 5; m.load_state_dict(s)",
    "no mapping": "nn.Linear(1, 1).load_state_dict([1])",
    "unknown attribute": "nn.Linear(1, 1).nothing",
    "no forward": "nn.Module()(1)",
    "early parameter": (
        "class M(nn.Module):\n"
        "    def __init__(self):\n"
        "        self.p = nn.Parameter(T.zeros(1))\n"
        "M()"
    ),
    "early module": (
        "class M(nn.Module):\n    def __init__(self):\n        self.p = nn.Linear(1, 1)\nM()"
    ),
    "tensor over parameter": "m = nn.Linear(1, 1); m.weight = T.zeros(1)",
    "number over module": "m = nn.Sequential(nn.ReLU()); setattr(m, '0', 3)",
    "dotted parameter": "nn.Module().register_parameter('a.b', None)",
    "empty buffer": "nn.Module().register_buffer('', None)",
    "buffer of a list": "nn.Module().register_buffer('a', [1])",
    "taken name": "nn.Linear(1, 1).register_buffer('weight', None)",
    "no module": "nn.Module().add_module('a', 3)",
    "integer dtype": "nn.Linear(1, 1).to(T.int64)",
    "mode": "nn.Linear(1, 1).train(3)",
    "dropout probability": "nn.Dropout(1.5)",
    "groups": "nn.Conv2d(3, 4, 3, groups=2)",
    "conv channels": "nn.Conv2d(3, 4, 3)(T.zeros(1, 2, 5, 5))",
    "conv rank": "nn.Conv2d(3, 4, 3)(T.zeros(5, 5))",
    "conv kernel": "nn.Conv2d(3, 4, 7)(T.zeros(1, 3, 5, 5))",
    "batch norm rank": "nn.BatchNorm2d(3)(T.zeros(2, 3))",
    "batch norm single": "nn.BatchNorm1d(3)(T.zeros(1, 3))",
    "class count": "nn.CrossEntropyLoss()(T.zeros(3, 4), T.tensor([0, 1]))",
    "class range": "nn.CrossEntropyLoss()(T.zeros(2, 4), T.tensor([0, 4]))",
    "bce sizes": "nn.BCEWithLogitsLoss()(T.zeros(2, 4), T.zeros(2))",
    "unknown gain": "nn.init.calculate_gain('swoosh')",
    "fan of a vector": "nn.init.kaiming_uniform_(T.zeros(3))",
    "lstm width": "nn.LSTM(3, 4)(T.zeros(5, 2, 7))",
    "heads": "nn.MultiheadAttention(5, 2)",
    "submodule": "nn.Sequential(nn.ReLU()).get_submodule('0.a')",
    "index of a list": "nn.ModuleList([nn.ReLU()])[3]",
    "reduction": "nn.functional.mse_loss(T.zeros(2), T.zeros(2), reduction='all')",
    "pad length": "nn.functional.pad(T.zeros(2, 2), (1, 2, 3))",
    "pool size": "nn.functional.max_pool2d(T.zeros(1, 1, 2, 2), 3)",
    "layer norm shape": "nn.LayerNorm(4)(T.zeros(2, 3))",
    "unsorted lengths": ("nn.utils.rnn.pack_padded_sequence(T.zeros(4, 2, 1), T.tensor([2, 4]))"),
    "hook kinds": (
        "m = nn.ReLU(); m.register_backward_hook(print); m.register_full_backward_hook(print)"
    ),
}


def _failure(library, text):
    with pytest.raises(Exception) as caught:
        exec(text, {"nn": library.nn, "T": library})
    return type(caught.value), str(caught.value)


@pytest.mark.parametrize("text", FAILING.values(), ids=FAILING)
def test_fails_alike(text):
    ours, theirs = _failure(lampas, text), _failure(torch, text)
    assert ours[0] is theirs[0]
    assert ours[1].replace("lampas.", "torch.") == theirs[1]
