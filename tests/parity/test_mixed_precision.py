"""Autocast chooses the dtypes that PyTorch chooses; the scaler keeps the same books."""

import warnings

import pytest

import lampas
import lampas.amp
import lampas.nn.functional

torch = pytest.importorskip("torch")

LOW = {
    "mm": "T.mm(m, m)", "matmul": "m @ m", "bmm": "T.bmm(x[0], x[0])", "mv": "T.mv(m, m[0])",
    "dot": "T.dot(m[0], m[0])", "addmm": "T.addmm(m, m, m)", "addmv": "T.addmv(m[0], m, m[0])",
    "baddbmm": "T.baddbmm(x[0], x[0], x[0])", "einsum": "T.einsum('ij,jk->ik', m, m)",
    "outer": "T.outer(m[0], m[0])", "linear": "F.linear(m, m)", "method": "m.mm(m)",
    "conv1d": "F.conv1d(x[0], T.ones(3, 8, 3))", "conv2d": "F.conv2d(x, T.ones(3, 4, 3, 3))",
    "transposed": "F.conv_transpose2d(x, T.ones(4, 3, 3, 3))", "add": "m + m", "exp": "m.exp()",
    "attention": "F.scaled_dot_product_attention(x, x, x)", "tensordot": "T.tensordot(m, m, 1)",
    "prelu": "F.prelu(m, T.tensor([0.1]))", "bilinear": "F.bilinear(m, m, T.ones(3, 8, 8))",
    "double": "m.double() @ m.double()", "module": "T.nn.Linear(8, 8)(m)",
}  # fmt: skip
FULL = {
    name: f"F.{name}(h, h)"
    for name in (
        "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div", "poisson_nll_loss",
        "hinge_embedding_loss", "soft_margin_loss", "binary_cross_entropy_with_logits",
    )
}  # fmt: skip
FULL |= {
    "cross_entropy": "F.cross_entropy(h, t)", "nll_loss": "F.nll_loss(h, t)",
    "prod": "h.prod()", "softmax": "h.softmax(0)", "layer_norm": "F.layer_norm(h, (8,))",
    "sum": "h.sum()", "mean": "h.mean()", "cumsum": "h.cumsum(0)", "cat": "T.cat([h, m])",
    "add": "h + m", "gelu": "F.gelu(h)", "avg_pool3d": "F.avg_pool3d(h.view(1, 1, 2, 4, 8), 2)",
    "avg_pool2d": "F.avg_pool2d(h.view(1, 1, 8, 8), 2)", "fft": "T.fft.fft(h)",
    "pad": "F.pad(h.view(1, 1, 8, 8), (1, 1, 1, 1), mode='reflect')",
}  # fmt: skip


def dtype_under(library, code: str, kind: str) -> str:
    generator = library.manual_seed(0)
    assert generator is not None
    names = {
        "T": library,
        "F": library.nn.functional,
        "x": library.randn(2, 4, 8, 8),
        "m": library.randn(8, 8),
        "t": library.randint(0, 8, (8,)),
    }
    names["h"] = names["m"].to(getattr(library, kind))
    with warnings.catch_warnings(), library.amp.autocast("cpu", getattr(library, kind)):
        warnings.simplefilter("ignore")
        return str(eval(code, names).dtype)


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
@pytest.mark.parametrize("code", [*LOW.values(), *FULL.values()])
def test_autocast_chooses_the_same_dtype(code: str, kind: str) -> None:
    assert dtype_under(lampas, code, kind) == dtype_under(torch, code, kind)


def scaled_training(library) -> list[object]:
    library.manual_seed(0)
    model = library.nn.Linear(4, 2)
    optimizer = library.optim.SGD(model.parameters(), lr=0.1)
    scaler = library.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2)
    inputs = library.randn(8, 4)
    seen: list[object] = []
    for turn in range(6):
        optimizer.zero_grad()
        loss = (model(inputs) ** 2).mean() * (float("inf") if turn == 3 else 1.0)
        scaler.scale(loss).backward()
        if turn == 1:
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        seen.append((scaler.get_scale(), [round(v, 5) for v in model.weight.view(-1).tolist()]))
    return [*seen, scaler.state_dict()]


def test_scaler_keeps_the_same_books() -> None:
    import lampas.optim

    assert scaled_training(lampas) == scaled_training(torch)


def test_gradients_arrive_in_the_parameters_dtype() -> None:
    model = lampas.nn.Linear(4, 2)
    with lampas.amp.autocast("cpu"):
        out = model(lampas.randn(3, 4))
        assert out.dtype is lampas.bfloat16
        with lampas.amp.autocast("cpu", enabled=False):
            assert model(lampas.randn(3, 4)).dtype is lampas.float32
    out.float().sum().backward()
    assert model.weight.grad.dtype is lampas.float32


def test_regions_for_cuda_are_off_with_a_warning() -> None:
    from lampas.cuda.amp import GradScaler, autocast

    with pytest.warns(FutureWarning), pytest.warns(UserWarning, match="not available"):
        region = autocast()
    with region:
        assert lampas.mm(lampas.ones(2, 2), lampas.ones(2, 2)).dtype is lampas.float32
    with pytest.warns(FutureWarning), pytest.warns(UserWarning, match="not available"):
        scaler = GradScaler()
    assert not scaler.is_enabled()
    assert scaler.get_scale() == 1.0
