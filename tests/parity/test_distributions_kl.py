"""KL divergences of all registered pairs beside PyTorch's, with gradients."""

import numpy as np
import pytest

import lampas
from tests.parity.families import PAIRS, assert_alike, evaluate, gradients_alike, parameters_of

torch = pytest.importorskip("torch")

REGISTERED = sorted((p.__name__, q.__name__) for p, q in torch.distributions.kl._KL_REGISTRY)


def test_all_pairs_are_registered() -> None:
    ours = lampas.distributions.kl._KL_REGISTRY
    assert sorted((p.__name__, q.__name__) for p, q in ours) == REGISTERED


@pytest.mark.parametrize(("first", "second"), REGISTERED)
def test_divergences(first: str, second: str) -> None:
    expression = f"D.kl_divergence({PAIRS[first][0]}, {PAIRS[second][1]})"
    made = []
    for library in (lampas, torch):
        leaves = parameters_of(library)
        result = evaluate(library, expression, leaves)
        if result.requires_grad and np.isfinite(result.detach().numpy()).all():
            result.sum().backward()
        made.append((result, leaves))
    assert_alike(made[0][0], made[1][0], 1e-8)
    gradients_alike(made[0][1], made[1][1], 1e-6)


@pytest.mark.parametrize(
    "expression",
    [
        "D.Normal(0.0, 1.0), D.Cauchy(0.0, 1.0)",
        "D.Normal(0.0, 1.0), D.Bernoulli(0.5)",
        "D.Binomial(2, p), D.Binomial(3, p)",
        "D.LogNormal(0.0, 1.0), D.HalfNormal(1.0)",
        "D.Independent(D.Normal(a, b), 1), D.Independent(D.Normal(P, 1.0), 2)",
        "D.MultivariateNormal(a, S), D.MultivariateNormal(a[:2], S[:2, :2])",
    ],
)
def test_pairs_that_have_none(expression: str) -> None:
    with pytest.raises(Exception) as theirs:
        evaluate(torch, f"D.kl_divergence({expression})")
    with pytest.raises(theirs.type):
        evaluate(lampas, f"D.kl_divergence({expression})")


@pytest.mark.parametrize(
    "expression",
    [
        "D.Binomial(4, p), D.Binomial(3, p)",
        "D.Categorical(T.tensor([1.0, 0.0])), D.Categorical(T.tensor([0.0, 1.0]))",
        "D.Categorical(T.tensor([1.0, 0.0])), D.Categorical(T.tensor([0.5, 0.5]))",
        "D.Bernoulli(T.tensor([0.0, 1.0, 0.5])), D.Bernoulli(T.tensor([0.0, 0.0, 1.0]))",
        "D.ContinuousBernoulli(0.3), D.Uniform(0.0, 1.0)",
        "D.ContinuousBernoulli(0.3), D.Uniform(-1.0, 2.0)",
        "D.Beta(1.0, 2.0), D.Uniform(0.2, 1.0)",
        "D.Uniform(-1.0, 0.5), D.Exponential(1.0)",
        "D.Uniform(-1.0, 0.5), D.Beta(1.0, 2.0)",
        "D.Uniform(0.0, 0.5), D.Beta(1.0, 2.0)",
        "D.Uniform(0.2, 0.5), D.Pareto(0.3, 1.0)",
        "D.Pareto(1.0, 0.5), D.Exponential(1.0)",
        "D.Pareto(1.0, 1.5), D.Normal(0.0, 1.0)",
        "D.Chi2(1.0), D.Gamma(1.0, 2.0)",
    ],
)
def test_edges(expression: str) -> None:
    call = f"D.kl_divergence({expression})"
    assert_alike(evaluate(lampas, call), evaluate(torch, call), 1e-6)
