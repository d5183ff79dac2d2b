"""`nn.utils`: gradients, vectors, packed sequences, parametrisations, pruning, fusion."""

import pytest

import lampas
from lampas import nn
from lampas.nn.utils import parametrizations, parametrize, prune, rnn
from lampas.nn.utils.stateless import functional_call


def with_gradient(values):
    made = nn.Parameter(lampas.zeros(len(values)))
    made.grad = lampas.tensor(values)
    return made


def test_clip_gradients():
    a, b = with_gradient([3.0, 0.0]), with_gradient([4.0])
    assert float(nn.utils.clip_grad_norm_([a, b], 1.0)) == pytest.approx(5)
    assert a.grad.tolist() == pytest.approx([0.6, 0.0], abs=1e-5)
    assert b.grad.tolist() == pytest.approx([0.8], abs=1e-5)
    assert float(nn.utils.clip_grad_norm_([a, b], 1.0, norm_type=float("inf"))) < 1
    nn.utils.clip_grad_value_([a, b], 0.5)
    assert a.grad.tolist() == pytest.approx([0.5, 0.0])
    c = with_gradient([float("nan")])
    with pytest.raises(RuntimeError, match="non-finite"):
        nn.utils.clip_grad_norm_([c], 1.0, error_if_nonfinite=True)
    assert float(nn.utils.clip_grad_norm_([], 1.0)) == 0


def test_vector_of_parameters():
    net = nn.Linear(2, 3)
    vector = nn.utils.parameters_to_vector(net.parameters())
    assert vector.shape == (9,)
    nn.utils.vector_to_parameters(vector.detach() * 0 + 2, net.parameters())
    assert net.weight.tolist() == [[2, 2]] * 3
    with pytest.raises(TypeError, match=r"expected torch\.Tensor"):
        nn.utils.vector_to_parameters([1.0], net.parameters())


def test_packing_round_trip():
    parts = [lampas.arange(size * 2.0).reshape(size, 2) + size for size in (2, 4, 1)]
    packed = rnn.pack_sequence(parts, enforce_sorted=False)
    assert packed.batch_sizes.tolist() == [3, 2, 1, 1]
    assert packed.sorted_indices.tolist() == [1, 0, 2]
    for before, after in zip(parts, rnn.unpack_sequence(packed), strict=True):
        assert lampas.equal(before, after)
    padded, lengths = rnn.pad_packed_sequence(packed, total_length=5, padding_value=-1.0)
    assert padded.shape == (5, 3, 2)
    assert lengths.tolist() == [2, 4, 1]
    assert padded[4].tolist() == [[-1, -1]] * 3
    left = rnn.pad_sequence(parts, batch_first=True, padding_side="left")
    assert left[2, :3].tolist() == [[0, 0]] * 3


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_packed_sequences_run_as_each_alone(kind):
    layer = getattr(nn, kind)(2, 3, num_layers=2, bidirectional=True)
    parts = [lampas.randn(size, 2) for size in (3, 1, 4)]
    output, state = layer(rnn.pack_sequence(parts, enforce_sorted=False))
    final = state[0] if kind == "LSTM" else state
    for place, (part, made) in enumerate(zip(parts, rnn.unpack_sequence(output), strict=True)):
        alone, end = layer(part)
        end = end[0] if kind == "LSTM" else end
        assert lampas.allclose(made, alone, atol=1e-6)
        assert lampas.allclose(final[:, place], end, atol=1e-6)


class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).t()

    def right_inverse(self, x):
        return x.triu()


def test_parametrization():
    layer = nn.Linear(3, 3)
    original = layer.weight
    parametrize.register_parametrization(layer, "weight", Symmetric())
    assert parametrize.is_parametrized(layer, "weight")
    assert parametrize.type_before_parametrizations(layer) is nn.Linear
    assert lampas.equal(layer.weight, layer.weight.t())
    assert [name for name, _ in layer.named_parameters()] == [
        "bias",
        "parametrizations.weight.original",
    ]
    layer.weight = lampas.ones(3, 3)
    assert layer.weight.tolist() == [[1] * 3] * 3
    with parametrize.cached():
        assert layer.weight is layer.weight
    assert layer.weight is not layer.weight
    layer(lampas.ones(1, 3)).sum().backward()
    assert layer.parametrizations.weight.original.grad is not None
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear
    assert layer.weight.shape == original.shape
    with pytest.raises(ValueError, match="does not have a parameter"):
        parametrize.register_parametrization(layer, "nothing", Symmetric())


def test_a_parametrization_may_not_change_the_shape():
    class Half(nn.Module):
        def forward(self, x):
            return x[:1]

    with pytest.raises(ValueError, match="may not change the shape"):
        parametrize.register_parametrization(nn.Linear(2, 2), "weight", Half())


def test_weight_norms_agree():
    plain = nn.Linear(4, 3)
    weight = plain.weight.detach().clone()
    parametrizations.weight_norm(plain)
    assert lampas.allclose(plain.weight, weight)
    hooked = nn.utils.weight_norm(nn.Linear(4, 3))
    assert sorted(dict(hooked.named_parameters())) == ["bias", "weight_g", "weight_v"]
    before = hooked.weight.detach().clone()
    nn.utils.remove_weight_norm(hooked)
    assert lampas.allclose(hooked.weight, before)
    with pytest.raises(ValueError, match="not found"):
        nn.utils.remove_weight_norm(hooked)


@pytest.mark.parametrize("apply", [nn.utils.spectral_norm, parametrizations.spectral_norm])
def test_spectral_norm_is_one(apply):
    layer = apply(nn.Linear(5, 4), n_power_iterations=60)
    layer(lampas.ones(1, 5))
    largest = lampas.linalg.matrix_norm(layer.weight.detach(), 2)
    assert float(largest) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3)])
@pytest.mark.parametrize("kind", ["matrix_exp", "cayley"])
def test_orthogonal(shape, kind):
    layer = parametrizations.orthogonal(nn.Linear(*shape), orthogonal_map=kind)
    with lampas.no_grad():
        layer.parametrizations.weight.original.normal_()
    weight = layer.weight
    product = weight @ weight.t() if weight.size(0) <= weight.size(1) else weight.t() @ weight
    assert lampas.allclose(product, lampas.eye(min(shape)), atol=1e-5)


def test_pruning():
    layer = nn.Linear(4, 3)
    prune.l1_unstructured(layer, "weight", 5)
    assert int((layer.weight == 0).sum()) == 5
    prune.random_unstructured(layer, "weight", 2)
    assert int((layer.weight == 0).sum()) == 7
    assert sorted(layer.state_dict()) == ["bias", "weight_mask", "weight_orig"]
    assert prune.is_pruned(layer)
    prune.remove(layer, "weight")
    assert not prune.is_pruned(layer)
    assert int((layer.weight == 0).sum()) == 7
    prune.ln_structured(layer, "weight", 1, 2, 0)
    rows = layer.weight.abs().sum(1)
    assert int((rows == 0).sum()) >= 1
    with pytest.raises(ValueError, match="should be smaller than the number"):
        prune.l1_unstructured(nn.Linear(1, 1), "weight", 5)


def test_global_pruning():
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))
    places = [(net[0], "weight"), (net[1], "weight")]
    prune.global_unstructured(places, prune.L1Unstructured, amount=0.5)
    zeros = sum(int((layer.weight == 0).sum()) for layer, _ in places)
    assert zeros == 10


def test_fusion():
    conv, norm = nn.Conv2d(2, 3, 3).eval(), nn.BatchNorm2d(3).eval()
    with lampas.no_grad():
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.5, 2)
        norm.weight.uniform_(0.5, 2)
    x = lampas.randn(2, 2, 5, 5)
    fused = nn.utils.fuse_conv_bn_eval(conv, norm)
    assert lampas.allclose(fused(x), norm(conv(x)), atol=1e-5)
    linear, flat = nn.Linear(2, 3).eval(), nn.BatchNorm1d(3).eval()
    y = lampas.randn(4, 2)
    made = nn.utils.fuse_linear_bn_eval(linear, flat)
    assert lampas.allclose(made(y), flat(linear(y)), atol=1e-5)


def test_functional_call():
    net = nn.Sequential(nn.Linear(1, 1, bias=False))
    before = net[0].weight
    made = functional_call(net, {"0.weight": lampas.full((1, 1), 3.0)}, lampas.ones(1, 1))
    assert made.tolist() == [[3.0]]
    assert net[0].weight is before
    with pytest.raises(KeyError):
        functional_call(net, {"1.weight": lampas.ones(1)}, lampas.ones(1, 1))
