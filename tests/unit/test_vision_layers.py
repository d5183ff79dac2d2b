"""Shared layers of the models, inner outputs, and what the constructors refuse."""

from collections import OrderedDict

import pytest

import lampas
from lampas import nn
from lampas.vision import models, ops
from lampas.vision.models import _utils, feature_extraction
from lampas.vision.models.vision_transformer import interpolate_embeddings


@pytest.fixture
def small() -> nn.Sequential:
    layers = {"first": nn.Linear(3, 4), "act": nn.ReLU(), "last": nn.Linear(4, 2)}
    return nn.Sequential(OrderedDict(layers))


def test_inner_outputs(small: nn.Sequential) -> None:
    extractor = feature_extraction.create_feature_extractor(small, {"act": "features", "last": "y"})
    given = lampas.randn(5, 3)
    outputs = extractor(given)
    assert list(outputs) == ["features", "y"]
    assert lampas.equal(outputs["y"], small(given))
    assert outputs["features"].shape == (5, 4)
    with pytest.raises(ValueError, match="not present in model"):
        feature_extraction.create_feature_extractor(small, ["middle"])
    with pytest.raises(ValueError, match="should be specified"):
        feature_extraction.create_feature_extractor(small)
    assert feature_extraction.get_graph_node_names(small)[0] == ["first", "act", "last"]


def test_children_in_order(small: nn.Sequential) -> None:
    getter = _utils.IntermediateLayerGetter(small, {"act": "features"})
    assert list(getter) == ["first", "act"]
    assert list(getter(lampas.randn(1, 3))) == ["features"]
    with pytest.raises(ValueError, match="not present"):
        _utils.IntermediateLayerGetter(small, {"middle": "x"})


def test_convolution_block() -> None:
    block = ops.Conv2dNormActivation(3, 8, kernel_size=5, stride=2, dilation=2)
    assert block(lampas.randn(1, 3, 16, 16)).shape == (1, 8, 8, 8)
    assert [type(layer).__name__ for layer in block] == ["Conv2d", "BatchNorm2d", "ReLU"]
    bare = ops.Conv2dNormActivation(3, 8, norm_layer=None, activation_layer=None)
    assert bare[0].bias is not None
    cube = ops.Conv3dNormActivation(2, 4)
    assert cube(lampas.randn(1, 2, 4, 4, 4)).shape == (1, 4, 4, 4, 4)


def test_frozen_norm_is_the_norm_in_evaluation() -> None:
    norm = nn.BatchNorm2d(3).eval()
    norm.running_mean.add_(0.3)
    norm.weight.data.mul_(1.7)
    frozen = ops.FrozenBatchNorm2d(3)
    frozen.load_state_dict(norm.state_dict())
    given = lampas.randn(2, 3, 4, 4)
    assert lampas.allclose(frozen(given), norm(given), atol=1e-6)
    assert not list(frozen.parameters())


def test_perceptron_and_gate() -> None:
    perceptron = ops.MLP(4, [8, 2], norm_layer=nn.LayerNorm, dropout=0.1)
    names = ["Linear", "LayerNorm", "ReLU", "Dropout", "Linear", "Dropout"]
    assert [type(layer).__name__ for layer in perceptron] == names
    gate = ops.SqueezeExcitation(6, 2)
    given = lampas.randn(2, 6, 3, 3)
    ratio = gate(given) / given
    assert lampas.allclose(ratio, ratio[..., :1, :1].expand_as(ratio), rtol=1e-4)


def test_stochastic_depth_keeps_the_mean() -> None:
    ones = lampas.ones(4000, 2)
    dropped = ops.stochastic_depth(ones, 0.25, "row")
    assert sorted(set(dropped[:, 0].tolist())) == pytest.approx([0.0, 1 / 0.75])
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.05)
    assert ops.StochasticDepth(0.5, "batch").eval()(ones) is ones


def test_constructors_refuse() -> None:
    with pytest.raises(ValueError, match="3-element tuple"):
        models.resnet18(replace_stride_with_dilation=[True])
    with pytest.raises(NotImplementedError, match="Dilation"):
        models.resnet18(replace_stride_with_dilation=[False, False, True])
    with pytest.raises(ValueError, match="not be empty"):
        models.MobileNetV3([], 10)
    with pytest.raises(ValueError, match="indivisible"):
        models.VisionTransformer(30, 16, 1, 2, 8, 16)
    with pytest.raises(ValueError, match="alpha should be"):
        models.MNASNet(0.0)


def test_small_transformer() -> None:
    model = models.VisionTransformer(32, 16, 2, 2, 8, 16, num_classes=3, representation_size=6)
    assert model(lampas.randn(2, 3, 32, 32)).shape == (2, 3)
    with pytest.raises(AssertionError, match="Wrong image height"):
        model(lampas.randn(2, 3, 48, 32))
    larger = interpolate_embeddings(64, 16, model.state_dict())
    assert larger["encoder.pos_embedding"].shape == (1, 17, 8)


def test_training_of_a_small_resnet_lowers_the_loss() -> None:
    model = models.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=4)
    optimizer = lampas.optim.SGD(model.parameters(), lr=0.05)
    images, targets = lampas.randn(4, 3, 32, 32), lampas.arange(4)
    losses = []
    for _ in range(3):
        loss = nn.functional.cross_entropy(model(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
