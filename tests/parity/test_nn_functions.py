"""Values, gradients and second derivatives of `nn.functional` beside PyTorch's, in float64."""

from typing import Any

import numpy as np
import pytest

import lampas

torch = pytest.importorskip("torch")

# expression -> shapes of x, y, z; `F` is nn.functional, `T` the library.
VALUES = {
    "F.relu(x)": ((3, 4),),
    "F.relu6(3 * x)": ((3, 4),),
    "F.elu(x, 0.7)": ((3, 4),),
    "F.selu(x)": ((3, 4),),
    "F.celu(x, 0.7)": ((3, 4),),
    "F.gelu(x)": ((3, 4),),
    "F.gelu(x, approximate='tanh')": ((3, 4),),
    "F.silu(x)": ((3, 4),),
    "F.mish(x)": ((3, 4),),
    "F.softplus(x, 2.0, 1.0)": ((3, 4),),
    "F.logsigmoid(x)": ((3, 4),),
    "F.hardswish(4 * x)": ((3, 4),),
    "F.hardsigmoid(4 * x)": ((3, 4),),
    "F.softshrink(x, 0.3)": ((3, 4),),
    "F.hardshrink(x, 0.3)": ((3, 4),),
    "F.glu(x, 1)": ((3, 4),),
    "F.prelu(x, y)": ((3, 4), (4,)),
    "F.leaky_relu(x, 0.2)": ((3, 4),),
    "F.threshold(x, 0.1, -2.0)": ((3, 4),),
    "F.softmax(x, 1)": ((3, 4),),
    "F.log_softmax(x, 0)": ((3, 4),),
    "F.linear(x, y, z)": ((3, 4), (5, 4), (5,)),
    "F.linear(x, y, z)[0]": ((2, 3, 4), (5, 4), (5,)),
    "F.linear(x, y)": ((4,), (5, 4)),
    "F.linear(x.t(), y.t(), z)": ((4, 3), (4, 5), (5,)),
    "F.bilinear(x, y, z)": ((2, 3), (2, 4), (5, 3, 4)),
    "F.embedding(T.tensor([[0, 2], [2, 1]]), x, 1)": ((4, 3),),
    "F.conv1d(x, y, z, 2, 1)": ((2, 4, 9), (6, 4, 3), (6,)),
    "F.conv1d(x.view(2, 4, 9), y, z.view(6), 2, 1, groups=2)": ((72,), (6, 2, 3), (2, 3)),
    "F.conv2d(x, y, z, (2, 1), 1, (1, 2))": ((2, 3, 7, 8), (4, 3, 3, 2), (4,)),
    "F.conv2d(x, y, padding='same')": ((3, 6, 5), (4, 3, 5, 3)),
    "F.conv3d(x, y)": ((1, 2, 4, 5, 4), (3, 2, 2, 3, 2)),
    "F.conv_transpose1d(x, y, z, 3, 1, 2)": ((2, 4, 5), (4, 3, 4), (3,)),
    "F.conv_transpose2d(x, y, z, 2, 1, 1, 2)": ((1, 4, 4, 3), (4, 3, 3, 3), (6,)),
    "F.conv_transpose2d(x, y, None, 2, 1, 2, 1, 3)": ((1, 2, 4, 3), (2, 3, 3, 3)),
    "F.max_pool1d(x, 3, 2, 1)": ((2, 3, 9),),
    "F.max_pool2d(x, (2, 3), 1, (1, 0), ceil_mode=True)": ((2, 3, 7, 8),),
    "F.max_pool3d(x, 2)": ((1, 2, 4, 5, 4),),
    "F.avg_pool1d(x, 3, 2, 1, True, False)": ((2, 3, 8),),
    "F.avg_pool2d(x, 2)": ((2, 3, 6, 5),),
    "F.avg_pool2d(x.view(1, 2, 4, 6), 3, 2, 1, True)": ((48,),),
    "F.avg_pool3d(x, 2, 1, divisor_override=3)": ((1, 2, 4, 3, 4),),
    "F.lp_pool2d(x.abs() + 0.1, 3.0, 2)": ((1, 2, 4, 6),),
    "F.adaptive_avg_pool2d(x, (2, 3))": ((2, 3, 5, 6),),
    "F.adaptive_avg_pool2d(x, 1)": ((2, 3, 5, 6),),
    "F.adaptive_max_pool2d(x, (2, 3))": ((2, 3, 5, 7),),
    "F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2)": ((1, 2, 4, 6),),
    "F.pad(x, (1, 2, 0, -1), value=0.5)": ((2, 3, 4),),
    "F.pad(x, (2, 1), 'reflect')": ((2, 3, 4),),
    "F.pad(x, (2, 1, 0, 3), 'replicate')": ((2, 3, 4),),
    "F.pad(x, (2, 1, 1, 0), 'circular')": ((1, 2, 3, 4),),
    "F.layer_norm(x, (3, 4), y, z)": ((2, 3, 4), (3, 4), (3, 4)),
    "F.layer_norm(x.t(), (4,))": ((4, 6),),
    "F.batch_norm(x, None, None, y, z, True)": ((4, 3, 5), (3,), (3,)),
    "F.batch_norm(x, y.detach(), z.detach() ** 2, z)": ((4, 3), (3,), (3,)),
    "F.group_norm(x, 2, y, z)": ((3, 4, 5), (4,), (4,)),
    "F.instance_norm(x, weight=y, bias=z)": ((2, 3, 7), (3,), (3,)),
    "F.rms_norm(x, (4,), y)": ((3, 4), (4,)),
    "F.local_response_norm(x, 3)": ((2, 5, 4),),
    "F.mse_loss(x, y)": ((3, 4), (3, 4)),
    "F.l1_loss(x, y, reduction='sum')": ((3, 4), (3, 4)),
    "F.smooth_l1_loss(x, y, beta=0.7)": ((3, 4), (3, 4)),
    "F.huber_loss(x, y, reduction='none')": ((3, 4), (3, 4)),
    "F.binary_cross_entropy(x.sigmoid(), y.sigmoid())": ((3, 4), (3, 4)),
    "F.binary_cross_entropy_with_logits(x, y.sigmoid())": ((3, 4), (3, 4)),
    "F.binary_cross_entropy_with_logits(x, y.sigmoid(), pos_weight=z.detach())": (
        (3, 4),
        (3, 4),
        (4,),
    ),
    "F.kl_div(x.log_softmax(1), y.softmax(1), reduction='batchmean')": ((3, 4), (3, 4)),
    "F.cross_entropy(x, T.tensor([1, 0, 3]))": ((3, 4),),
    "F.cross_entropy(x, T.tensor([1, -100, 3]), y.abs().detach(), label_smoothing=0.1)": (
        (3, 4),
        (4,),
    ),
    "F.cross_entropy(x, y.softmax(1), label_smoothing=0.2)": ((3, 4), (3, 4)),
    "F.cross_entropy(x, T.tensor([[1, 0], [3, 2]]), reduction='none')": ((2, 4, 2),),
    "F.cross_entropy(x, T.tensor([71, 3]))": ((2, 90),),
    "F.nll_loss(x, T.tensor(2))": ((4,),),
    "F.poisson_nll_loss(x, y.abs(), full=True)": ((3, 4), (3, 4)),
    "F.gaussian_nll_loss(x, y, z ** 2 + 0.1)": ((3, 4), (3, 4), (3, 4)),
    "F.triplet_margin_loss(x, y, z, swap=True)": ((3, 4), (3, 4), (3, 4)),
    "F.cosine_similarity(x, y, 0)": ((3, 4), (3, 4)),
    "F.multi_margin_loss(x, T.tensor([1, 0, 3]), 2)": ((3, 4),),
    "F.soft_margin_loss(x, y.sign().detach())": ((3, 4), (3, 4)),
    "F.unfold(x, (2, 3), (1, 2), 1, 2)": ((2, 3, 5, 7),),
    "F.fold(x, (4, 5), 2)": ((2, 12, 12),),
    "F.interpolate(x, scale_factor=1.6)": ((1, 2, 4, 5),),
    "F.interpolate(x, (7, 3), mode='bilinear')": ((1, 2, 4, 5),),
    "F.interpolate(x, (7, 9), mode='bicubic', align_corners=True)": ((1, 2, 4, 5),),
    "F.interpolate(x, (3, 2), mode='bilinear', antialias=True)": ((1, 2, 8, 9),),
    "F.grid_sample(x, y, align_corners=False)": ((1, 2, 4, 5), (1, 3, 3, 2)),
    "F.grid_sample(x, y, 'bicubic', 'reflection', True)": ((1, 2, 4, 5), (1, 3, 3, 2)),
    "F.affine_grid(x, [2, 1, 3, 4], align_corners=False)": ((2, 2, 3),),
    "F.pixel_shuffle(x, 2)": ((2, 8, 3, 2),),
    "F.scaled_dot_product_attention(x, y, z, is_causal=True)": ((2, 4, 3), (2, 5, 3), (2, 5, 6)),
    "F.ctc_loss(x.log_softmax(2), T.tensor([[1, 2], [3, 3]]), [6, 5], [2, 2])": ((6, 2, 4),),
}
ONCE_ONLY = ("hardsigmoid", "multi_margin", "ctc_loss", "grid_sample", "embedding", "interpolate")


def _derivatives(library, text, shapes, twice):
    numbers = np.random.default_rng(len(text))
    arrays = [numbers.standard_normal(shape) for shape in shapes]
    inputs = [library.tensor(array).requires_grad_() for array in arrays]
    names = dict(zip("xyz", inputs, strict=False))
    value = eval(text, {"F": library.nn.functional, "T": library, **names})
    first = library.autograd.grad(
        (value * value).sum(), inputs, create_graph=twice, allow_unused=True
    )
    results = [value, *first]
    if twice:
        total = sum((grad * grad).sum() for grad in first if grad is not None)
        results += library.autograd.grad(total, inputs, allow_unused=True)
    return [None if result is None else result.detach().numpy() for result in results]


@pytest.mark.parametrize("text", VALUES)
def test_values_and_derivatives(text):
    twice = not any(name in text for name in ONCE_ONLY)
    ours = _derivatives(lampas, text, VALUES[text], twice)
    theirs = _derivatives(torch, text, VALUES[text], twice)
    for place, (mine, expected) in enumerate(zip(ours, theirs, strict=True)):
        if expected is None or mine is None:
            rest = mine if expected is None else expected
            assert rest is None or not rest.any(), f"result {place}"
            continue
        np.testing.assert_allclose(mine, expected, 1e-6, 1e-8, err_msg=f"result {place}")


RUNNING = (
    ("nn.BatchNorm1d(3, momentum=None)", (5, 3)),
    ("nn.BatchNorm2d(3, momentum=0.3)", (4, 3, 2, 2)),
    ("nn.InstanceNorm1d(3, track_running_stats=True, affine=True)", (4, 3, 6)),
)


@pytest.mark.parametrize(("text", "shape"), RUNNING)
def test_running_statistics(text, shape):
    states = []
    for library in (lampas, torch):
        layer = eval(text, {"nn": library.nn}).double()
        numbers = np.random.default_rng(1)
        for _ in range(3):
            layer(library.tensor(numbers.standard_normal(shape) * 3 + 1))
        states.append({name: value.numpy() for name, value in layer.named_buffers()})
    assert list(states[0]) == list(states[1])
    for name, expected in states[1].items():
        np.testing.assert_allclose(states[0][name], expected, 1e-10, err_msg=name)


HALF = ("F.layer_norm(x, (8,))", "F.gelu(x)", "F.softmax(x, 1)", "F.linear(x, x)", "F.silu(x)")


@pytest.mark.parametrize("text", HALF)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_rounds_once(text, dtype):
    values = np.random.default_rng(2).standard_normal((8, 8)).astype("f4")
    made = []
    for library in (lampas, torch):
        x = library.tensor(values).to(getattr(library, dtype))
        made.append(eval(text, {"F": library.nn.functional, "x": x}))
    assert str(made[0].dtype) == str(made[1].dtype)
    bound = 2e-3 if dtype == "float16" else 1.6e-2
    np.testing.assert_allclose(made[0].float().numpy(), made[1].float().numpy(), bound, bound / 4)


@pytest.mark.parametrize(
    ("shapes", "mask", "causal", "scale"),
    [
        (((2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6)), None, False, None),
        (((2, 200, 8), (2, 200, 8), (2, 200, 8)), None, True, 0.3),
        (((2, 90, 8), (2, 40, 8), (2, 40, 8)), None, True, None),
        (((70, 8), (150, 8), (150, 5)), None, True, None),
        (((2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6)), "float", False, None),
        (((2, 3, 5, 4), (1, 3, 7, 4), (1, 3, 7, 6)), "bool", False, 2.0),
    ],
)
def test_attention_and_its_derivatives(
    shapes: Any, mask: str | None, causal: bool, scale: Any
) -> None:
    """Values, gradients of all operands, and second derivatives, causal in blocks of rows too."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape) for shape in shapes]
    found = []
    for lib in (torch, lampas):
        q, k, v = (lib.tensor(array).requires_grad_() for array in arrays)
        given = None
        if mask is not None:
            numbers = np.linspace(-2, 2, 35).reshape(5, 7)
            given = lib.tensor(numbers if mask == "float" else np.tri(5, 7, 1) > 0)
            given.requires_grad_(mask == "float")
        made = lib.nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=given, is_causal=causal, scale=scale
        )
        leaves = [q, k, v] + ([given] if mask == "float" else [])
        weights = lib.tensor(np.cos(np.arange(made.numel())).reshape(tuple(made.shape)))
        first = lib.autograd.grad((made * weights).sum(), leaves, create_graph=lib is lampas)
        found.append([made, *first])
        if lib is lampas:
            second = lib.autograd.grad(sum(g.square().sum() for g in first), [q])
            assert second[0].isfinite().all()
    for theirs, ours in zip(*found, strict=True):
        np.testing.assert_allclose(
            ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-9, atol=1e-11
        )
