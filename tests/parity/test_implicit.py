"""Derivatives of gamma and Dirichlet samples: PyTorch approximates them to about four digits."""

import numpy as np
import pytest

import lampas
from lampas.engine.tensor import implicit
from lampas.engine.tensor.conversion import array_of

torch = pytest.importorskip("torch")

RANGES = [(0.001, 0.3), (0.3, 1), (1, 8), (8, 50), (50, 1000), (1e4, 1e5)]


@pytest.mark.parametrize("bounds", RANGES)
@pytest.mark.parametrize("kind", ["float64", "float32"])
def test_gamma(bounds, kind):
    torch.manual_seed(0)
    shapes = torch.empty(500, dtype=getattr(torch, kind)).uniform_(*bounds)
    samples = torch._standard_gamma(shapes)
    mine = implicit.gamma_slope(shapes.numpy(), samples.numpy())
    theirs = torch._standard_gamma_grad(shapes, samples).numpy()
    assert mine.dtype == theirs.dtype
    np.testing.assert_allclose(mine, theirs, rtol=5e-3, atol=1e-30)


@pytest.mark.parametrize("bounds", RANGES[:-1])
def test_dirichlet(bounds):
    torch.manual_seed(0)
    weights = torch.empty(200, 4, dtype=torch.float64).uniform_(*bounds)
    samples = torch._sample_dirichlet(weights)
    totals = weights.sum(-1, True).expand_as(weights)
    mine = implicit.dirichlet_slope(samples.numpy(), weights.numpy(), totals.numpy())
    theirs = torch._dirichlet_grad(samples, weights, totals).numpy()
    np.testing.assert_allclose(mine, theirs, rtol=5e-3, atol=1e-30)


def test_series_and_differences_meet():
    shapes = np.linspace(0.5, 3, 50)
    samples = np.full(50, 0.8)
    np.testing.assert_allclose(
        implicit._small_slope(shapes, samples), implicit._large_slope(shapes, samples), rtol=1e-8
    )


def test_gradient_reaches_the_shape():
    gradients = []
    for library in (lampas, torch):
        library.manual_seed(0)
        shape = library.full((20,), 2.5, requires_grad=True)
        made = library._standard_gamma(shape)
        assert "Gamma" in repr(made)
        (made * made).sum().backward()
        gradients.append(shape.grad)
    np.testing.assert_allclose(array_of(gradients[0]), gradients[1].numpy(), rtol=2e-3)


def test_samples_without_a_derivative_say_so():
    for library in (lampas, torch):
        weights = library.full((3, 2), 0.5, requires_grad=True)
        for made in (library._sample_dirichlet(weights), library.binomial(weights * 4, weights)):
            with pytest.raises(RuntimeError, match="is not implemented"):
                made.sum().backward()
