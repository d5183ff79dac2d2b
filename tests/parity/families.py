"""Distributions of every family, written once and made by either library, and comparison of results."""

import re
from typing import Any

import numpy as np

VALUES = {
    "a": [0.5, 1.5, 3.0],
    "b": [2.0, 0.7, 1.2],
    "c": [0.7, 2.0, 1.1],
    "d": [0.9, 1.3, 2.5],
    "p": [0.2, 0.5, 0.9],
    "r": [0.3, 0.6, 0.45],
    "P": [[0.2, 0.3, 0.5], [0.6, 0.1, 0.3]],
    "Q": [[0.3, 0.3, 0.4], [0.2, 0.5, 0.3]],
    "S": [[2.0, 0.5, 0.1], [0.5, 1.5, 0.2], [0.1, 0.2, 1.0]],
    "R": [[1.0, 0.3, 0.1], [0.3, 1.5, 0.4], [0.1, 0.4, 2.0]],
    "t": 0.7,
    "n": [4.0, 6.5],
}
FAMILIES = {
    "Bernoulli": "D.Bernoulli(p)",
    "Bernoulli of logits": "D.Bernoulli(logits=a)",
    "Beta": "D.Beta(a, b)",
    "Binomial": "D.Binomial(9, p)",
    "Binomial of logits": "D.Binomial(60, logits=c)",
    "Categorical": "D.Categorical(P)",
    "Categorical of logits": "D.Categorical(logits=P)",
    "Cauchy": "D.Cauchy(a, b)",
    "Chi2": "D.Chi2(a)",
    "ContinuousBernoulli": "D.ContinuousBernoulli(p)",
    "ContinuousBernoulli of logits": "D.ContinuousBernoulli(logits=a)",
    "Dirichlet": "D.Dirichlet(a)",
    "Exponential": "D.Exponential(a)",
    "FisherSnedecor": "D.FisherSnedecor(a, b + 4)",
    "Gamma": "D.Gamma(a, b)",
    "GeneralizedPareto": "D.GeneralizedPareto(a, b, p - 0.5)",
    "Geometric": "D.Geometric(p)",
    "Geometric of logits": "D.Geometric(logits=a)",
    "Gumbel": "D.Gumbel(a, b)",
    "HalfCauchy": "D.HalfCauchy(a)",
    "HalfNormal": "D.HalfNormal(a)",
    "Independent": "D.Independent(D.Normal(a, b), 1)",
    "InverseGamma": "D.InverseGamma(a, b)",
    "Kumaraswamy": "D.Kumaraswamy(a, b)",
    "LKJCholesky": "D.LKJCholesky(3, a)",
    "LKJCholesky of a number": "D.LKJCholesky(4)",
    "Laplace": "D.Laplace(a, b)",
    "LogNormal": "D.LogNormal(a, b)",
    "LogisticNormal": "D.LogisticNormal(a, b)",
    "LogitRelaxedBernoulli": "D.relaxed_bernoulli.LogitRelaxedBernoulli(t, p)",
    "LowRankMultivariateNormal": "D.LowRankMultivariateNormal(a, S[:, :2], b)",
    "MixtureSameFamily": "D.MixtureSameFamily(D.Categorical(p), D.Normal(a, b))",
    "MixtureSameFamily of vectors": "D.MixtureSameFamily(D.Categorical(a[:2]), D.MultivariateNormal(P, S))",
    "Multinomial": "D.Multinomial(7, P)",
    "MultivariateNormal": "D.MultivariateNormal(a, S)",
    "MultivariateNormal of precision": "D.MultivariateNormal(P, precision_matrix=S)",
    "MultivariateNormal of factors": "D.MultivariateNormal(a, scale_tril=T.stack([S, R]).tril())",
    "NegativeBinomial": "D.NegativeBinomial(b, p)",
    "NegativeBinomial of logits": "D.NegativeBinomial(b, logits=a)",
    "Normal": "D.Normal(a, b)",
    "Normal of numbers": "D.Normal(0.5, 2)",
    "OneHotCategorical": "D.OneHotCategorical(P)",
    "OneHotCategoricalStraightThrough": "D.OneHotCategoricalStraightThrough(logits=P)",
    "Pareto": "D.Pareto(a, b + 1)",
    "Poisson": "D.Poisson(T.stack([a, 12 * a]))",
    "RelaxedBernoulli": "D.RelaxedBernoulli(t, p)",
    "RelaxedOneHotCategorical": "D.RelaxedOneHotCategorical(t, P)",
    "StudentT": "D.StudentT(a, b, c)",
    "TransformedDistribution": "D.TransformedDistribution(D.Laplace(a, b), [D.AffineTransform(1.0, -2.0), D.SigmoidTransform()])",
    "Uniform": "D.Uniform(a - 1, a + b)",
    "VonMises": "D.VonMises(a, b)",
    "Weibull": "D.Weibull(a, b)",
    "Wishart": "D.Wishart(n, S)",
    "Wishart of a factor": "D.Wishart(n[0], scale_tril=S.tril())",
}  # fmt: skip
# One distribution of each class that has a KL divergence, and another with other parameters.
PAIRS = {
    "Bernoulli": ("D.Bernoulli(p)", "D.Bernoulli(r)"),
    "Beta": ("D.Beta(a, b)", "D.Beta(c, d)"),
    "Binomial": ("D.Binomial(9, p)", "D.Binomial(9, r)"),
    "Categorical": ("D.Categorical(P)", "D.Categorical(Q)"),
    "Cauchy": ("D.Cauchy(a, b)", "D.Cauchy(c, d)"),
    "ContinuousBernoulli": ("D.ContinuousBernoulli(p)", "D.ContinuousBernoulli(r)"),
    "Dirichlet": ("D.Dirichlet(a)", "D.Dirichlet(c)"),
    "Exponential": ("D.Exponential(a)", "D.Exponential(c)"),
    "ExponentialFamily": ("D.Chi2(a)", "D.Chi2(c)"),
    "Gamma": ("D.Gamma(a, b)", "D.Gamma(c, d)"),
    "Geometric": ("D.Geometric(p)", "D.Geometric(r)"),
    "Gumbel": ("D.Gumbel(a, b)", "D.Gumbel(c, d)"),
    "HalfNormal": ("D.HalfNormal(a)", "D.HalfNormal(c)"),
    "Independent": ("D.Independent(D.Normal(a, b), 1)", "D.Independent(D.Normal(c, d), 1)"),
    "Laplace": ("D.Laplace(a, b)", "D.Laplace(c, d)"),
    "LowRankMultivariateNormal": ("D.LowRankMultivariateNormal(a, S[:, :2], b)", "D.LowRankMultivariateNormal(P, R[:, :1], d)"),
    "MultivariateNormal": ("D.MultivariateNormal(a, S)", "D.MultivariateNormal(P, R)"),
    "Normal": ("D.Normal(a, b)", "D.Normal(c, d)"),
    "OneHotCategorical": ("D.OneHotCategorical(P)", "D.OneHotCategorical(Q)"),
    "Pareto": ("D.Pareto(a, b)", "D.Pareto(p * 0.1, d)"),
    "Poisson": ("D.Poisson(a)", "D.Poisson(c)"),
    "TransformedDistribution": ("D.LogNormal(a, b)", "D.LogNormal(c, d)"),
    "Uniform": ("D.Uniform(p * 0.5, p)", "D.Uniform(p * 0.4, p + 0.05)"),
}  # fmt: skip


# PyTorch compares this one's concentration with a number of single precision, and fails in double.
KINDS = {"GeneralizedPareto": "float32"}


def kind_of(name: str) -> str:
    """The type in which a family is compared."""
    return KINDS.get(name, "float64")


def parameters_of(library: Any, kind: str = "float64") -> dict[str, Any]:
    """The tensors that expressions name, as leaves that take gradients."""
    chosen = getattr(library, kind)
    return {
        name: library.tensor(value, dtype=chosen, requires_grad=True)
        for name, value in VALUES.items()
    }


def evaluate(library: Any, expression: str, parameters: dict[str, Any] | None = None) -> Any:
    """An expression in `T`, the library, `D`, its distributions, and the parameters."""
    names = parameters_of(library) if parameters is None else parameters
    scope = {"T": library, "D": library.distributions, "C": library.distributions.constraints}
    return eval(expression, {**scope, **names})


def outcome(call: Any) -> Any:
    """What a call gives, or the name of the exception's type that it raises."""
    try:
        return call()
    except Exception as error:
        return type(error).__name__


def assert_alike(ours: Any, theirs: Any, tolerance: float = 1e-9, note: str = "") -> None:
    """Both are tensors of one shape and type with close values, or have one repr."""
    if not hasattr(theirs, "detach"):
        assert _plain(ours) == _plain(theirs), note
        return
    found, wanted = ours.detach().numpy(), theirs.detach().numpy()
    assert found.shape == wanted.shape, note
    assert found.dtype == wanted.dtype, note
    if found.dtype == np.float32:
        tolerance = max(tolerance, 2e-6)
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance, err_msg=note)


def _plain(value: Any) -> str:
    """A repr without what tensors in it say of their gradient."""
    return re.sub(r",\s+(grad_fn=<\w+>|requires_grad=True)", "", repr(value))


def phrase_of(error: BaseException) -> str:
    """The key phrase of PyTorch's message: up to the first value or line's end."""
    if isinstance(error, AssertionError):
        return ""
    text = str(error).replace("<class 'torch.", "<class 'lampas.")
    return re.split(r"[\n({\[:=0-9]|tensor", text)[0].strip()


def gradients_alike(
    ours: dict[str, Any], theirs: dict[str, Any], tolerance: float = 1e-7, note: str = ""
) -> None:
    """Parameters have close gradients; none is as good as zeros, and PyTorch's NaN asks nothing."""
    for name, leaf in theirs.items():
        if leaf.grad is None:
            continue
        wanted = leaf.grad.numpy()
        gradient = ours[name].grad
        found = np.zeros_like(wanted) if gradient is None else gradient.numpy()
        found = np.where(np.isnan(wanted), wanted, found)
        message = f"{note}: gradient by {name}"
        if wanted.dtype == np.float32:
            tolerance = max(tolerance, 2e-6)
        np.testing.assert_allclose(
            found, wanted, rtol=tolerance, atol=tolerance, err_msg=message, equal_nan=True
        )
