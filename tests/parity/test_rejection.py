"""Samplers that reject, against PyTorch: values and the state after each call."""

import numpy as np
import pytest

from lampas.engine.tensor import rejection
from lampas.engine.tensor.mt19937 import MersenneTwister

torch = pytest.importorskip("torch")


def require_same(function, theirs, *tensors):
    engine = MersenneTwister(0)
    engine.load_state_bytes(torch.get_rng_state().numpy().tobytes())
    mine = function(engine, *[each.numpy() for each in tensors])
    wanted = theirs(*tensors).numpy()
    assert mine.dtype == wanted.dtype
    assert mine.tobytes() == wanted.tobytes()
    assert engine.state_bytes() == torch.get_rng_state().numpy().tobytes()


@pytest.mark.parametrize("kind", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(1,), (3,), (17, 2), (300,)])
@pytest.mark.parametrize("scale", [0.3, 5, 50, 1000])
def test_samples(kind, shape, scale):
    torch.manual_seed(int(scale) + len(shape))
    weights = torch.rand(shape, dtype=getattr(torch, kind)) * scale
    torch.randn(3)  # leaves a normal number behind, which gamma takes first
    require_same(rejection.poisson, torch.poisson, weights)
    require_same(rejection.standard_gamma, torch._standard_gamma, weights)
    rows = weights.reshape(shape[0], -1) + torch.tensor([0.1, 1], dtype=weights.dtype)
    require_same(rejection.dirichlet, torch._sample_dirichlet, rows)
    chances = torch.rand(shape, dtype=weights.dtype)
    require_same(rejection.binomial, torch.binomial, weights.ceil(), chances)


def test_long_rows_differ_only_by_the_order_of_their_sum():
    torch.manual_seed(0)
    rows = torch.rand(3, 500, dtype=torch.float64)
    engine = MersenneTwister(0)
    engine.load_state_bytes(torch.get_rng_state().numpy().tobytes())
    mine = rejection.dirichlet(engine, rows.numpy())
    np.testing.assert_allclose(mine, torch._sample_dirichlet(rows).numpy(), rtol=1e-15)


def test_edges():
    torch.manual_seed(0)
    counts = torch.tensor([0.0, 5, 5, 5, -1, 5])
    chances = torch.tensor([0.5, 0, 1, -0.5, 0.5, float("nan")])
    require_same(rejection.binomial, torch.binomial, counts, chances)
    require_same(rejection.poisson, torch.poisson, torch.tensor([0.0, 10, 9.999, 1e6]))
    require_same(rejection.standard_gamma, torch._standard_gamma, torch.tensor([0.0, 1e-4, 1]))


def test_negative_rates_are_refused():
    with pytest.raises(RuntimeError, match="invalid Poisson rate"):
        rejection.poisson(MersenneTwister(0), torch.tensor([1.0, -1.0]).numpy())
