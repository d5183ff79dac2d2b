"""Families of distributions beside PyTorch's: values, gradients, samples, texts, shapes and errors."""

import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest

import lampas
from tests.parity.families import (
    FAMILIES,
    assert_alike,
    evaluate,
    gradients_alike,
    kind_of,
    outcome,
    parameters_of,
    phrase_of,
)

torch = pytest.importorskip("torch")

FACTS = (
    "support has_rsample has_enumerate_support batch_shape event_shape arg_constraints "
    "mean mode variance stddev"
).split()
# Where PyTorch's own numbers are of less precision: polynomials for Bessel functions, in single
# precision, and coefficients of expansions near one half.
COARSE = {"VonMises": 3e-7, "Multinomial": 1e-6}


UTILITIES = (
    "broadcast_all clamp_probs euler_constant lazy_property logits_to_probs probs_to_logits "
    "tril_matrix_to_vec vec_to_tril_matrix _standard_normal _sum_rightmost"
).split()
# Families whose samples have implicit gradients, for which PyTorch's approximations are coarse.
IMPLICIT = "Beta Chi2 Dirichlet FisherSnedecor Gamma InverseGamma StudentT".split()
# In its first turn PyTorch's Wishart takes all samples for singular, and says so.
pytestmark = pytest.mark.filterwarnings("ignore:Singular sample detected")


def both(name: str) -> tuple[Any, Any, Any, Any]:
    """The distribution of either library, and the parameters that it was made of."""
    expression, kind = FAMILIES[name], kind_of(name)
    ours, theirs = parameters_of(lampas, kind), parameters_of(torch, kind)
    return evaluate(lampas, expression, ours), evaluate(torch, expression, theirs), ours, theirs


@pytest.mark.parametrize("name", FAMILIES)
def test_facts_and_text(name: str) -> None:
    ours, theirs, _, _ = both(name)
    assert repr(ours) == repr(theirs)
    for fact in FACTS:
        found, wanted = (outcome(partial(getattr, d, fact)) for d in (ours, theirs))
        assert_alike(found, wanted, COARSE.get(name, 1e-9), fact)


@pytest.mark.parametrize("name", FAMILIES)
def test_entropy_and_enumeration(name: str) -> None:
    ours, theirs, our_leaves, their_leaves = both(name)
    found, wanted = (outcome(d.entropy) for d in (ours, theirs))
    assert_alike(found, wanted, COARSE.get(name, 1e-9))
    if not isinstance(wanted, str) and wanted.requires_grad:
        found.sum().backward()
        wanted.sum().backward()
        gradients_alike(our_leaves, their_leaves)
    if theirs.has_enumerate_support:
        for expand in (True, False):
            assert_alike(ours.enumerate_support(expand), theirs.enumerate_support(expand))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("method", ["log_prob", "cdf", "icdf"])
def test_functions_of_values(name: str, method: str) -> None:
    ours, theirs, our_leaves, their_leaves = both(name)
    torch.manual_seed(5)
    value = theirs.sample((2,)).detach()
    if method == "icdf":
        value = torch.rand(value.shape, dtype=getattr(torch, kind_of(name)))
    copied = lampas.from_numpy(value.numpy())
    found, wanted = (
        outcome(lambda d=d, v=v: getattr(d, method)(v))
        for d, v in ((ours, copied), (theirs, value))
    )
    assert_alike(found, wanted, COARSE.get(name, 1e-9))
    if not isinstance(wanted, str) and wanted.requires_grad:
        assert outcome(found.sum().backward) == outcome(wanted.sum().backward)
        gradients_alike(our_leaves, their_leaves, COARSE.get(name, 1e-7), method)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_samples_are_pytorchs_numbers(name: str, kind: str) -> None:
    tolerance = 2e-5 if kind == "float32" else 1e-9
    for shape in ((), (2, 3), (20,)):
        drawn = []
        for library in (lampas, torch):
            d = evaluate(library, FAMILIES[name], parameters_of(library, kind))
            library.manual_seed(11)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Wishart, of samples that are drawn anew
                drawn.append([d.sample(shape), library.rand(1)])
        for found, wanted in zip(*drawn, strict=True):
            assert_alike(found, wanted, tolerance, f"{name} {kind} {shape}")
        assert not drawn[0][0].requires_grad


@pytest.mark.parametrize(
    "name",
    [name for name in FAMILIES if evaluate(torch, FAMILIES[name]).has_rsample and name[:7] != "Wishart"],
)  # fmt: skip
def test_gradients_of_samples(name: str) -> None:
    made = []
    for library in (lampas, torch):
        leaves = parameters_of(library, kind_of(name))
        d = evaluate(library, FAMILIES[name], leaves)
        library.manual_seed(13)
        drawn = d.rsample((3,))
        weights = library.arange(1, drawn.numel() + 1, dtype=drawn.dtype).reshape(drawn.shape)
        (drawn * weights).sum().backward() if drawn.requires_grad else None
        made.append((drawn, leaves))
    assert made[0][0].requires_grad == made[1][0].requires_grad
    assert_alike(made[0][0], made[1][0])
    gradients_alike(made[0][1], made[1][1], 1e-3 if name in IMPLICIT else 1e-6, name)


@pytest.mark.parametrize("name", FAMILIES)
def test_expansion(name: str) -> None:
    ours, theirs, _, _ = both(name)
    shape = (4, *theirs.batch_shape)
    ours, theirs = ours.expand(shape), theirs.expand(shape)
    assert repr(ours) == repr(theirs)
    assert (ours.batch_shape, ours.event_shape) == (tuple(theirs.batch_shape), tuple(theirs.event_shape))  # fmt: skip
    torch.manual_seed(5)
    value = theirs.sample()
    assert_alike(
        ours.log_prob(lampas.from_numpy(value.numpy())),
        theirs.log_prob(value),
        COARSE.get(name, 1e-9),
    )


ERRORS = """
D.Normal(0.0, -1.0) | D.Normal(a, b).log_prob(T.zeros(2)) | D.Normal(0.0, 1.0).log_prob(1.0) | D.Normal('a', 1.0)
D.Normal(0.0, 1.0).log_prob(T.tensor(float('nan'))) | D.Normal(0.0, 1.0).enumerate_support() | D.Normal(0.0, 1.0).sample(2)
D.Bernoulli() | D.Bernoulli(p, p) | D.Bernoulli(1.5) | D.Bernoulli(0.5).log_prob(T.tensor(0.3)) | D.Bernoulli(0.5).rsample() | D.Bernoulli(0.5).cdf(a)
D.Binomial(3) | D.Binomial(-1, p) | D.Binomial(T.tensor([1.0, 2.0]), p[:2]).entropy() | D.Binomial(T.tensor([1.0, 2.0]), p[:2]).enumerate_support()
D.Categorical(T.tensor(0.5)) | D.Categorical(logits=T.tensor(0.5)) | D.Categorical(T.tensor([-1.0, 2.0])) | D.Categorical(p).log_prob(T.tensor(3))
D.Categorical(P).log_prob(T.zeros(3)) | D.Geometric(0.0) | D.Geometric(p, p) | D.ContinuousBernoulli() | D.ContinuousBernoulli(1.5, validate_args=True)
D.Exponential(1.0).log_prob(T.tensor(-1.0)) | D.Uniform(1.0, 0.0) | D.Uniform(0.0, 1.0).cdf(T.tensor(5.0)) | D.Dirichlet(T.tensor(1.0)) | D.Dirichlet(-a)
D.MultivariateNormal(a) | D.MultivariateNormal(t, S) | D.MultivariateNormal(a, b) | D.MultivariateNormal(a, -S) | D.MultivariateNormal(a, S, S)
D.LowRankMultivariateNormal(t, S, a) | D.LowRankMultivariateNormal(a, b, b) | D.LowRankMultivariateNormal(a, P, b) | D.LowRankMultivariateNormal(a, S, b[:2])
D.Wishart(t, S) | D.Wishart(n, a) | D.Wishart(n) | D.LKJCholesky(1) | D.LKJCholesky(3, -a) | D.Multinomial(T.tensor([1, 2]), p) | D.Multinomial(2, p).mode
D.Independent(D.Normal(0.0, 1.0), 1) | D.Independent(D.Bernoulli(p), 1).enumerate_support() | D.Independent(D.Normal(a, b), 1).cdf(a)
D.TransformedDistribution(D.Normal(a, b), 1) | D.TransformedDistribution(D.Normal(a, b), [1]) | D.TransformedDistribution(D.Normal(0.0, 1.0), D.StickBreakingTransform())
D.TransformedDistribution(D.Normal(a, b), D.AbsTransform()).log_prob(a) | D.TransformedDistribution(D.Normal(a, b), D.AbsTransform()).cdf(a)
D.MixtureSameFamily(D.Normal(a, b), D.Normal(a, b)) | D.MixtureSameFamily(D.Categorical(p), 1) | D.MixtureSameFamily(D.Categorical(p), D.Normal(a[:2], 1.0))
D.MixtureSameFamily(D.Categorical(P), D.Normal(T.zeros(4, 3), 1.0)) | D.MixtureSameFamily(D.Categorical(p), D.Uniform(a, a + 1)).log_prob(T.tensor(0.6))
D.Distribution.set_default_validate_args(3) | D.Distribution(validate_args=False).sample() | D.Distribution(validate_args=False).log_prob(a)
type('Sub', (D.Normal,), {'__init__': lambda self: D.Normal.__init__(self, 0.0, 1.0)})().expand((2,)) | D.NegativeBinomial(1.0) | D.NegativeBinomial(1.0, T.ones(2))
D.RelaxedBernoulli(t) | D.RelaxedOneHotCategorical(t) | D.OneHotCategorical(T.tensor(1.0)) | D.VonMises(a, -b) | D.GeneralizedPareto(0.0, 1.0, p).log_prob(-a)
""".replace("\n", " | ").split(" | ")  # fmt: skip


@pytest.mark.parametrize("expression", [each for each in ERRORS if each.strip()])
def test_errors(expression: str) -> None:
    with pytest.raises(Exception) as theirs:
        evaluate(torch, expression)
    with pytest.raises(theirs.type) as ours:
        evaluate(lampas, expression)
    assert phrase_of(theirs.value) in str(ours.value)


def test_values_outside_of_the_support_without_checks() -> None:
    for expression in (
        "D.Uniform(0.0, 1.0, validate_args=False).log_prob(T.tensor([0.0, 1.0, 2.0]))",
        "D.Uniform(0.0, 1.0, validate_args=False).cdf(T.tensor([-1.0, 0.5, 2.0]))",
        "D.HalfNormal(1.0, validate_args=False).log_prob(T.tensor([-1.0, 1.0]))",
        "D.HalfCauchy(1.0, validate_args=False).log_prob(T.tensor([-1.0, 1.0]))",
        "D.Poisson(0.0).log_prob(T.tensor([0.0, 1.0]))",
        "D.Geometric(1.0).log_prob(T.tensor(0.0))",
        "D.Categorical(T.tensor([1.0, 0.0])).entropy()",
        "D.Multinomial(3, T.tensor([0.4, 0.6, 0.0])).log_prob(T.tensor([1.0, 2.0, 0.0]))",
        "D.Bernoulli(T.tensor([0.5, 0.0, 1.0])).mode",
        "D.Dirichlet(T.tensor([[0.5, 0.5], [2.0, 3.0], [1.0, 0.4]])).mode",
        "D.ContinuousBernoulli(T.tensor([0.1, 0.499, 0.5, 0.501])).cdf(T.tensor(0.3))",
    ):
        assert_alike(evaluate(lampas, expression), evaluate(torch, expression), 1e-6, expression)


def test_samples_of_integer_parameters_and_types() -> None:
    for expression in (
        "D.Normal(0, 1)",
        "D.Gamma(2, 3)",
        "D.Bernoulli(True)",
        "D.Poisson(3)",
        "D.Wishart(5, T.eye(2))",
    ):
        ours, theirs = (evaluate(library, f"{expression}.sample()") for library in (lampas, torch))
        assert (str(ours.dtype), ours.shape) == (str(theirs.dtype), tuple(theirs.shape))


def test_every_public_name() -> None:
    for module in ("", ".constraints", ".transforms", ".kl", ".utils"):
        theirs: Any = torch.distributions
        ours: Any = lampas.distributions
        for part in module.split(".")[1:]:
            theirs, ours = getattr(theirs, part), getattr(ours, part)
        names = getattr(theirs, "__all__", UTILITIES)
        missing = [name for name in names if not hasattr(ours, name)]
        assert not missing
        assert set(getattr(theirs, "__all__", [])) <= set(ours.__all__)


def test_large_samples_agree_in_their_moments() -> None:
    d = lampas.distributions.Gamma(lampas.tensor(2.0), 1.0)
    lampas.manual_seed(0)
    drawn = d.sample((4000,)).numpy()
    assert abs(drawn.mean() - 2.0) < 0.1
    assert abs(np.var(drawn) - 2.0) < 0.2
